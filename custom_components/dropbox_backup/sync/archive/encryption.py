"""Encrypts an archive on its way: every inner archive, as Home Assistant reads it again.

Home Assistant's own streamer leaves out inner archives that it does not expect, and draws new keys
whenever it begins. Here nothing is left out, and keys and nonces follow from the content itself:
the same archive gives the same bytes again, also after a restart, and no key ever meets two
contents, whatever became of files, clocks and notes in between. Therefore an archive is read twice:
first for the digests from which its keys follow, then to be encrypted, each piece only if it has
the digest that it had before.
"""

from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager
import copy
from dataclasses import dataclass, field
from hashlib import blake2b
import io
import tarfile
import threading
from typing import IO, cast, override

from securetar import (
    InvalidPasswordError,
    SecureTarArchive,
    SecureTarDerivedKeyMaterial,
    SecureTarError,
    SecureTarHeader,
    SecureTarRootKeyContext,
    get_archive_max_ciphertext_size,
)

from .contents import (
    BLOCK,
    Contents,
    is_inner_archive,
    is_metadata,
    metadata_as_encrypted,
    needs_encryption,
    protection_of,
)
from .metadata import ArchiveError, ArchiveFault

# The version that Home Assistant writes itself. Its header (securetar/__init__.py) begins with what
# belongs to the password (two salts and a check value), followed by a salt and a nonce.
_VERSION = 3
_OF_THE_PASSWORD = 64
_OF_THE_CONTENT = 40
# What SecureTar encrypts at once: it reads exactly so much each time.
_PIECE = 1024 * 1024
_DIGEST = 16
_TAR_BUFFER = 1024 * 1024
# What a member that is passed on may need for headers in another format.
_HEADER_GROWTH = 4 * BLOCK


class ChangedError(ArchiveError):
    """The archive is not what it was when it was read first."""


def encrypted_size(contents: Contents, size: int, *, flagged: bool) -> int:
    """Return how many bytes an archive of `size` bytes has when it is encrypted: what is missing is
    filled with zeros.
    """
    return (
        get_archive_max_ciphertext_size(size, _VERSION, contents.to_encrypt(flagged=flagged) + 1)
        + contents.members * _HEADER_GROWTH
        + -(-max(0, contents.metadata_growth) // BLOCK) * BLOCK
    )


@dataclass(slots=True)
class Root:
    """Where all keys of one password come from, kept so that they are the same after a restart.

    `salts`, in hex: what every archive that was encrypted with it begins with, readable for
    everybody: neither the password nor a key can be told from it. If it is lost, or the password is
    changed, another one is drawn, and uploads that were begun start over.
    """

    salts: str = ""
    _keys: dict[str, ContentKeys] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def keys(self, password: str) -> ContentKeys:
        """Return the keys of a password. Blocking: deriving them takes a tenth of a second."""
        with self._lock:
            if password not in self._keys:
                self._keys = {password: self._derive(password)}
            return self._keys[password]

    def _derive(self, password: str) -> ContentKeys:
        try:
            return ContentKeys(password, bytes.fromhex(self.salts))
        except InvalidPasswordError, ValueError:
            drawn = SecureTarRootKeyContext(password).derive_key_material(None, _VERSION)
            salts = drawn.cipher_initialization[:_OF_THE_PASSWORD]
            self.salts = salts.hex()
            return ContentKeys(password, salts)


class ContentKeys(SecureTarRootKeyContext):
    """Gives each content a key and a nonce of its own. `key_id` is the digest of the content.

    They are as good as drawn at random for who does not know the password: they are told by a keyed
    hash function, whose key follows from the password.
    """

    def __init__(self, password: str, salts: bytes) -> None:
        """Derive what all keys follow from. Raises `InvalidPasswordError` if the salts are another
        password's, and `ValueError` if they are none.
        """
        super().__init__(password)
        if len(salts) != _OF_THE_PASSWORD:
            raise ValueError("not what a password's archives begin with")
        self._salts = salts
        self._secret = self._material(bytes(_OF_THE_CONTENT)).key

    @override
    def derive_key_material(
        self, key_id: Hashable | None, version: int
    ) -> SecureTarDerivedKeyMaterial:
        if not isinstance(key_id, bytes) or version != _VERSION:
            raise SecureTarError("A key is only for a content")
        return self._material(
            blake2b(key_id, digest_size=_OF_THE_CONTENT, key=self._secret).digest()
        )

    def _material(self, of_the_content: bytes) -> SecureTarDerivedKeyMaterial:
        return self.restore_key_material(
            SecureTarHeader(self._salts + of_the_content, None, _VERSION)
        )


@dataclass(frozen=True, slots=True)
class Digests:
    """What was read: how many members, for each inner archive that is to be encrypted the digests
    of its pieces, and one of all that there is.
    """

    members: int
    pieces: tuple[bytes, ...]
    whole: bytes

    def key_id(self, index: int) -> bytes:
        """Return the digest of an inner archive as a part of this very archive."""
        own = blake2b(self.pieces[index]).digest()
        return blake2b(b"%b %d %b" % (self.whole, index, own)).digest()


@contextmanager
def _in_our_words() -> Generator[None]:
    """Also of what is only noticed when a member is read: an archive that breaks off."""
    try:
        yield
    except tarfile.TarError as err:
        raise ArchiveError(ArchiveFault.NOT_READABLE) from err


@_in_our_words()
def read_digests(file: IO[bytes], *, flagged: bool) -> Digests:
    """Read an archive. Raises `ArchiveError`, and what reading raises. Blocking."""
    pieces: list[bytes] = []
    whole = blake2b()
    members = 0
    for member, data in _members(file):
        members += 1
        whole.update(
            repr((member.name, member.type, member.size)).encode(errors="backslashreplace")
        )
        if data is None:
            continue
        wanted = is_inner_archive(member) and _to_be_encrypted(data, flagged=flagged)
        digests = bytearray()
        while piece := data.read(_PIECE):
            digests += _digest(piece)
        whole.update(digests)
        if wanted:
            pieces.append(bytes(digests))
    return Digests(members, tuple(pieces), whole.digest())


@_in_our_words()
def encrypt(
    source: IO[bytes],
    target: IO[bytes],
    keys: ContentKeys,
    digests: Digests,
    size: int,
    *,
    flagged: bool,
) -> None:
    """Write the archive with all inner archives encrypted, in the same order, filled with zeros up
    to `size` bytes.

    What is encrypted already, and what is no inner archive, is passed on as it is. Raises
    `ChangedError` before anything is encrypted that was not there when `digests` were read,
    `ArchiveError`, and what reading and writing raise. Blocking.
    """
    index = 0
    with SecureTarArchive(
        fileobj=target,
        mode="w",
        bufsize=_TAR_BUFFER,
        streaming=True,
        root_key_context=keys,
        create_version=_VERSION,
    ) as archive:
        for member, data in _members(source):
            if data is None:
                archive.tar.addfile(member)
            elif is_metadata(member):
                text = metadata_as_encrypted(data.read())
                about = _of_another_size(member)
                about.size = len(text)
                archive.tar.addfile(about, io.BytesIO(text))
            elif is_inner_archive(member) and _to_be_encrypted(data, flagged=flagged):
                if index == len(digests.pieces):
                    raise ChangedError(ArchiveFault.CHANGED)
                checked = _Checked(data, digests.pieces[index])
                archive.import_tar(
                    cast("IO[bytes]", checked),
                    _of_another_size(member),
                    derived_key_id=digests.key_id(index),
                )
                checked.check_end()
                index += 1
            else:
                archive.tar.addfile(member, data)
    if index != len(digests.pieces):
        raise ChangedError(ArchiveFault.CHANGED)
    missing = size - target.tell()
    if missing < 0:
        raise ArchiveError(ArchiveFault.GREW)
    while missing:
        missing -= target.write(bytes(min(missing, _PIECE)))


def _members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, io.BufferedReader | None]]:
    """Go through an archive; yield each member with its data, or None if it has none."""
    with tarfile.open(fileobj=file, mode="r|", bufsize=_TAR_BUFFER) as archive:
        for member in archive:
            if member.issparse():
                raise ArchiveError(ArchiveFault.HOLES)
            if not member.isreg():
                yield member, None
                continue
            data = archive.extractfile(member)
            assert isinstance(data, io.BufferedReader)
            yield member, data


def _of_another_size(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member whose size can be set: an extended header, which more than 8 GiB need, would
    stand above it (older versions of SecureTar leave it there).
    """
    changed = copy.copy(member)
    changed.pax_headers = {key: value for key, value in member.pax_headers.items() if key != "size"}
    return changed


def _to_be_encrypted(data: io.BufferedReader, *, flagged: bool) -> bool:
    return needs_encryption(protection_of(data.peek(BLOCK)[:BLOCK]), flagged=flagged)


def _digest(piece: bytes) -> bytes:
    return blake2b(piece, digest_size=_DIGEST).digest()


class _Checked(io.RawIOBase):
    """An inner archive whose pieces are handed out only if they have the digests that they had."""

    def __init__(self, data: IO[bytes], digests: bytes) -> None:
        self._data = data
        self._digests = digests
        self._position = 0

    @override
    def read(self, size: int = -1, /) -> bytes:
        piece = self._data.read(size)
        if piece:
            expected = self._digests[self._position : self._position + _DIGEST]
            self._position += _DIGEST
            if _digest(piece) != expected:
                raise ChangedError(ArchiveFault.CHANGED)
        return piece

    def check_end(self) -> None:
        """Raise `ChangedError` if there was more when it was read first."""
        if self._position != len(self._digests):
            raise ChangedError(ArchiveFault.CHANGED)
