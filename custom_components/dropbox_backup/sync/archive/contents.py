"""What an archive of Home Assistant holds, and which of it is encrypted: the bytes tell, not the
flags. Without I/O, so that files, streams and ranges are all read in the same way.
"""

from collections.abc import Generator
from dataclasses import dataclass
import json
from pathlib import PurePath
import tarfile
from typing import IO

from securetar import GZIP_MAGIC_BYTES, SECURETAR_MAGIC, TAR_MAGIC_BYTES, TAR_MAGIC_OFFSET

from ... import untrusted
from ...codes import Reason
from ..decide.models import Protection
from .metadata import ArchiveError, ArchiveFault

BLOCK = tarfile.BLOCKSIZE
# Home Assistant's and Supervisor's names of inner archives.
_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_METADATA_NAME = PurePath("backup.json")
# Far more than any real archive has.
_LARGEST_METADATA = 1024 * 1024
_LARGEST_HEADER = 1024 * 1024
_LONGEST_LENGTH = len(f"{_LARGEST_HEADER} ")
# Of one that passes nothing is kept but what is said of its parts.
MOST_MEMBERS, _MOST_PASSING = 20_000, 1_000_000
_EXTENDED = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_LONG = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
# Where a header says what kind of member it is of.
_TYPE = 156
# Where it says that another block about the holes of a file follows: in the file's header, and in
# each of these blocks (`isextended` in the structs of GNU tar's tar.h).
_MORE_HOLES_IN_HEADER, _MORE_HOLES_IN_BLOCK = 482, 504


def protection_of(beginning: bytes) -> Protection:
    """Tell what an inner archive is by its first 512 bytes.

    SecureTar 1 has no mark of its own: what begins like nothing that is known may be that.
    """
    if beginning.startswith(SECURETAR_MAGIC):
        return Protection.ENCRYPTED
    magic = beginning[TAR_MAGIC_OFFSET : TAR_MAGIC_OFFSET + len(TAR_MAGIC_BYTES)]
    if beginning.startswith(GZIP_MAGIC_BYTES) or magic == TAR_MAGIC_BYTES:
        return Protection.NOT_ENCRYPTED
    if len(beginning) == BLOCK and not any(beginning):
        return Protection.NOT_ENCRYPTED  # a tar archive without members
    return Protection.UNKNOWN


def is_inner_archive(member: tarfile.TarInfo) -> bool:
    """Tell whether a member is an archive of a part of Home Assistant."""
    return member.isreg() and PurePath(member.name).name.endswith(_SUFFIXES)


def is_metadata(member: tarfile.TarInfo) -> bool:
    """Tell whether a member is the `backup.json`."""
    return member.isreg() and PurePath(member.name) == _METADATA_NAME


def metadata_as_encrypted(text: bytes) -> bytes:
    """Return a `backup.json` that says that the backup is encrypted. Raises `ArchiveError`."""
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ArchiveError(Reason.of(ArchiveFault.METADATA_WRONG, field="/")) from err
    if not isinstance(metadata, dict):
        raise ArchiveError(Reason.of(ArchiveFault.METADATA_WRONG, field="/"))
    return json.dumps({**metadata, "protected": True}).encode()


@dataclass(frozen=True, slots=True)
class InnerArchive:
    """One part of a backup: `size` in bytes, as it lies in the archive."""

    name: str
    size: int
    protection: Protection


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive holds. `metadata_growth`: how many bytes its `backup.json` gets longer when
    it says that the backup is encrypted.
    """

    inner: tuple[InnerArchive, ...]
    members: int
    metadata_growth: int = 0

    @property
    def protection(self) -> Protection:
        """Tell what the inner archives are, all together."""
        kinds = {one.protection for one in self.inner}
        if len(kinds) == 1:
            return kinds.pop()
        return Protection.PARTLY if Protection.NOT_ENCRYPTED in kinds else Protection.UNKNOWN

    def to_encrypt(self, *, flagged: bool) -> int:
        """Count the inner archives that are to be encrypted. See `needs_encryption`."""
        return sum(needs_encryption(one.protection, flagged=flagged) for one in self.inner)


def needs_encryption(protection: Protection, *, flagged: bool) -> bool:
    """Tell whether an inner archive is to be encrypted when a key is set.

    What can't be told goes by the flag of the backup: flagged as encrypted it may be SecureTar 1;
    otherwise Home Assistant takes it for readable as well.
    """
    if protection is Protection.UNKNOWN:
        return not flagged
    return protection is Protection.NOT_ENCRYPTED


type Walk = Generator[tuple[int, int], bytes, Contents]
"""Asks for bytes, by offset and number, ever further on; gets fewer only at the end of the archive.
"""


def walk(inner: list[InnerArchive], most: int = MOST_MEMBERS) -> Walk:
    """Go through an archive, and add to `inner` what is found on the way. Raises `ArchiveError` if
    it is none, or not like a backup: of `most` members, for example.
    """
    offset = members = growth = 0
    header = yield from _next_header(offset)
    while header is not None:
        member, start = header
        members += 1
        if members > most or len(inner) > MOST_MEMBERS:
            raise ArchiveError(ArchiveFault.TOO_MANY_FILES)
        if is_inner_archive(member):
            beginning = yield start, min(BLOCK, member.size)
            inner.append(InnerArchive(member.name, member.size, protection_of(beginning)))
        elif is_metadata(member):
            if member.size > _LARGEST_METADATA:
                raise ArchiveError(ArchiveFault.METADATA_TOO_LARGE)
            text = yield start, member.size
            growth = max(growth, len(metadata_as_encrypted(text)) - member.size)
        has_data = member.isreg() or member.type not in tarfile.SUPPORTED_TYPES
        offset = start + (_in_blocks(member.size) if has_data else 0)
        header = yield from _next_header(offset)
    return Contents(tuple(inner), members, growth)


def _next_header(
    offset: int,
) -> Generator[tuple[int, int], bytes, tuple[tarfile.TarInfo, int] | None]:
    """Return the next member and where its data begins; None at the end of the archive.

    What Home Assistant's reader (tarfile) would read in another way is refused: nobody writes that.
    """
    begin = offset
    extended: dict[str, str] = {}
    long_name: str | None = None
    while True:
        block = yield offset, BLOCK
        if not block or block == bytes(BLOCK):
            return None
        member = _parsed(block)
        offset += BLOCK
        if member.type not in _EXTENDED | _LONG | {tarfile.XGLTYPE}:
            break
        if member.size > _LARGEST_HEADER:
            raise ArchiveError(ArchiveFault.HEADER_TOO_LARGE)
        text = yield offset, member.size
        offset += _in_blocks(member.size)
        if member.type not in _LONG:
            extended = _said_of_next(member, _extended(text), extended)
        elif member.type == tarfile.GNUTYPE_LONGNAME:
            long_name = text.rstrip(b"\0").decode(errors="surrogateescape")
    _check_folder(member, block[_TYPE], alone=offset == begin + BLOCK)
    member.name = extended.get("path", long_name or member.name)
    if any("GNU.sparse" in key for key in extended):
        _check_name(extended.get("GNU.sparse.name", member.name))
    elif member.type == tarfile.GNUTYPE_SPARSE:
        _check_name(member.name)
        offset = yield from _behind_holes(block, offset)
    if (size := extended.get("size")) is not None:
        # Files of more than 8 GiB have their size only here.
        member.size = _size(size)
    return member, offset


def _said_of_next(
    header: tarfile.TarInfo, said: dict[str, str], earlier: dict[str, str]
) -> dict[str, str]:
    """Return what extended headers say of the next member, with this one."""
    for_all = header.type == tarfile.XGLTYPE
    refused = "path" in said if for_all else bool(earlier)
    if refused:
        raise ArchiveError(ArchiveFault.HEADER_UNREADABLE)
    return earlier if for_all else said


def _check_folder(member: tarfile.TarInfo, kind: int, *, alone: bool) -> None:
    # Behind an extended header tarfile does not take this kind for a folder, and expects data.
    if member.isdir() and kind == tarfile.AREGTYPE[0] and not alone:
        raise ArchiveError(ArchiveFault.HEADER_UNREADABLE)


def _check_name(of_file_with_holes: str) -> None:
    if PurePath(of_file_with_holes).name.endswith(_SUFFIXES):
        raise ArchiveError(ArchiveFault.HOLES)


def _behind_holes(header: bytes, offset: int) -> Generator[tuple[int, int], bytes, int]:
    """Return where the data of a file with holes begins: without these, of the size in its header.
    GNU tar describes them in the header, and in as many blocks after it as need be.
    """
    more = header[_MORE_HOLES_IN_HEADER]
    while more:
        block = yield offset, BLOCK
        offset += BLOCK
        more = block[_MORE_HOLES_IN_BLOCK] if len(block) == BLOCK else 0
    return offset


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(untrusted.LARGEST_SIZE)):
        raise ArchiveError(ArchiveFault.WRONG_SIZE)
    return _checked_size(int(text))


def _checked_size(size: int) -> int:
    if not 0 <= size <= untrusted.LARGEST_SIZE:
        raise ArchiveError(ArchiveFault.WRONG_SIZE)
    return size


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as err:
        raise ArchiveError(ArchiveFault.NOT_READABLE) from err
    _checked_size(member.size)
    return member


def _extended(text: bytes) -> dict[str, str]:
    """Return what a PAX header says: lines of "length key=value"."""
    values: dict[str, str] = {}
    end = len(text.rstrip(b"\0"))
    start = 0
    while start < end:
        length, _, _ = text[start : start + _LONGEST_LENGTH].partition(b" ")
        if not length.isdigit() or int(length) <= 0:
            raise ArchiveError(ArchiveFault.HEADER_UNREADABLE)
        line = text[start + len(length) + 1 : start + int(length)]
        key, _, value = line.removesuffix(b"\n").partition(b"=")
        values[key.decode(errors="surrogateescape")] = value.decode(errors="surrogateescape")
        start += int(length)
    return values


def _in_blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def examine(file: IO[bytes]) -> Contents:
    """Go through an open file. Raises `ArchiveError` and `OSError`. Blocking."""
    steps = walk([])
    wanted = next(steps)
    try:
        while True:
            offset, count = wanted
            file.seek(offset)
            wanted = steps.send(file.read(count))
    except StopIteration as done:
        contents: Contents = done.value
        return contents


class Watch:
    """Goes through an archive while it passes in pieces. Costs next to nothing.

    `inner` is what has passed; `contents` is what was found when all has, or None if it is no
    archive like a backup's.
    """

    def __init__(self, most: int = _MOST_PASSING) -> None:
        """Nothing has passed yet. `most`: how many members it may have."""
        self.inner: list[InnerArchive] = []
        self.contents: Contents | None = None
        self._steps = walk(self.inner, most)
        self._wanted: tuple[int, int] | None = next(self._steps)
        self._position = 0
        self._kept = bytearray()

    @property
    def lost(self) -> bool:
        """Tell whether it can't be followed any further: what comes is not examined."""
        return self._wanted is None and self.contents is None

    def passed(self, piece: bytes) -> None:
        """Look at the next piece."""
        while self._wanted is not None:
            offset, count = self._wanted
            begin = max(0, offset + len(self._kept) - self._position)
            self._kept += piece[begin : begin + count - len(self._kept)]
            if len(self._kept) < count:
                break
            self._answer()
        self._position += len(piece)

    def ended(self) -> Contents | None:
        """Return what was found: nothing follows."""
        while self._wanted is not None:
            self._answer()
        return self.contents

    def _answer(self) -> None:
        kept, self._kept = bytes(self._kept), bytearray()
        try:
            self._wanted = self._steps.send(kept)
        except StopIteration as done:
            self._wanted, self.contents = None, done.value
        except ArchiveError:
            self._wanted = None
