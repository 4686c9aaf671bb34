"""The bytes of a backup that is encrypted on its way to Dropbox."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import IO, Protocol, Self, cast

from homeassistant.util.async_iterator import Abort, AsyncIteratorReader, AsyncIteratorWriter

from ...codes import Reason
from ...dropbox_api.upload.source import Source
from ..archive.contents import Contents, needs_encryption
from ..archive.encryption import ChangedError, Digests, Root, encrypt, encrypted_size, read_digests
from ..archive.metadata import ArchiveError, ArchiveFault
from ..decide.models import Protection, Trouble
from ..report.problems import UnreadableError


class PlainSource(Source, Protocol):
    """An archive as somebody has it."""

    def read_plain(self) -> AsyncGenerator[bytes]:
        """Yield the archive, whether others may read it or not. Raises as `read`."""

    async def contents(self) -> Contents:
        """Tell what it holds. Raises `ArchiveError`, and what reading raises."""


@dataclass(slots=True)
class EncryptedSource(Source):
    """An archive that is encrypted on its way out: the same content gives the same bytes, as long
    as `root` and the password are the same.

    `flagged`: Home Assistant says of the plain archive that it is encrypted.
    """

    plain: PlainSource
    contents: Contents
    password: str
    flagged: bool
    root: Root = field(default_factory=Root)
    _digests: Digests | None = None

    @property
    def size(self) -> int:
        """Bytes of the encrypted archive."""
        return encrypted_size(self.contents, self.plain.size, flagged=self.flagged)

    @property
    def protection(self) -> Protection:
        """What the inner archives are when they arrive."""
        known = self.contents.to_encrypt(flagged=self.flagged)
        others = [
            one
            for one in self.contents.inner
            if not needs_encryption(one.protection, flagged=self.flagged)
        ]
        if known and not others:
            return Protection.ENCRYPTED
        return Contents(tuple(others), len(others)).protection

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the encrypted archive. Raises what reading the plain one raises, and
        `BackupAgentError` if it changes meanwhile or can't be encrypted.
        """
        try:
            if self._digests is None:
                self._digests = await self._read_digests()
            async with aclosing(_worked(self.plain.read_plain(), self._encrypt)) as stream:
                async for piece in stream:
                    yield piece
        except ArchiveError as err:
            self._digests = None
            raise UnreadableError(Reason.of(Trouble.NOT_ENCRYPTABLE, reason=err.why)) from err

    async def _read_digests(self) -> Digests:
        found: list[Digests] = []

        def read(source: IO[bytes], _: IO[bytes]) -> None:
            found.append(read_digests(source, flagged=self.flagged))

        async with aclosing(_worked(self.plain.read_plain(), read)) as stream:
            async for _ in stream:
                pass
        [digests] = found
        if digests.members != self.contents.members:
            raise ChangedError(ArchiveFault.CHANGED)
        return digests

    def _encrypt(self, source: IO[bytes], target: IO[bytes]) -> None:
        assert self._digests is not None
        keys = self.root.keys(self.password)
        encrypt(source, target, keys, self._digests, self.size, flagged=self.flagged)


async def _worked(
    plain: AsyncGenerator[bytes], work: Callable[[IO[bytes], IO[bytes]], None]
) -> AsyncGenerator[bytes]:
    """Yield what `work` writes when it reads an archive, in a thread of its own: it waits for the
    event loop and for other threads that read.
    """
    loop = asyncio.get_running_loop()
    stream = _Closable(plain)
    reader = AsyncIteratorReader(loop, stream)
    writer = AsyncIteratorWriter(loop)
    done: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        failure: Exception | None = None
        try:
            work(cast("IO[bytes]", reader), cast("IO[bytes]", writer))
        except Exception as err:  # noqa: BLE001  (raised where it is waited for)
            failure = err
        with suppress(Abort):
            writer.write(b"")  # the end
        with suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(_settle, done, failure)

    thread = Thread(target=run, name="dropbox_backup encryption", daemon=True)
    thread.start()
    try:
        async for piece in writer:
            yield piece
        await done
    finally:
        # Without it the thread may wait for a reader for ever.
        reader.abort()
        writer.abort()
        await asyncio.wait([done])
        await stream.aclose()
        if not done.cancelled():
            done.exception()  # was raised, or is of no interest any more


def _settle(done: asyncio.Future[None], failure: Exception | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)


class _Closable:
    """A stream that can be closed while a piece is being read: when that has ended.

    Home Assistant 2026.10 breaks the reading off and leaves the closing to others.
    """

    def __init__(self, stream: AsyncGenerator[bytes]) -> None:
        self._stream = stream
        self._reading = asyncio.Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        async with self._reading:
            return await anext(self._stream)

    async def aclose(self) -> None:
        async with self._reading:
            await self._stream.aclose()
