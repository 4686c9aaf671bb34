"""The bytes of a backup that is to be uploaded, whoever has it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
import io
import os
from pathlib import Path
from threading import Thread
from typing import IO, Any, Protocol, Self, cast, override

from homeassistant.components.backup import AgentBackup, BackupAgent, BackupAgentError
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util.async_iterator import Abort, AsyncIteratorReader, AsyncIteratorWriter

from .. import untrusted
from ..dropbox_api.chunks import Buffer, FileSource, Source, cut, memory_for
from ..dropbox_api.threads import in_thread
from .archive import ArchiveError
from .contents import Contents, Watch, examine, needs_encryption
from .encryption import ChangedError, Digests, Root, encrypt, encrypted_size, read_digests
from .models import Protection
from .problems import LocationAwayError, silence_reason
from .supervisor_files import NoRangesError, SupervisorFile

_STALLED_AFTER = 300.0
_CHANGED = "The backup was changed while it was being uploaded"

type OpenStream = Callable[[], Coroutine[Any, Any, AsyncIterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Version:
    """Tells a file from what it was before: `size` in bytes, `changed` and `touched` in
    nanoseconds.

    The latter can't be set back by whoever changes a file. Its number does not count: shares give
    the same file another one now and then.
    """

    size: int
    changed: int
    touched: int

    @property
    def etag(self) -> str:
        """The same as a short text."""
        return f"{self.size:x}-{self.changed:x}-{self.touched:x}"

    @classmethod
    def of(cls, path: Path) -> Version:
        """Look at a file. Raises `OSError`. Blocking."""
        return cls._of(path.stat())

    @classmethod
    def of_open(cls, file: io.BufferedReader) -> Version:
        """Look at an open file. Blocking."""
        return cls._of(os.fstat(file.fileno()))

    @classmethod
    def _of(cls, stat: os.stat_result) -> Version:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class PlainSource(Source, Protocol):
    """An archive as somebody has it."""

    async def open(self) -> AsyncIterator[bytes]:
        """Return the bytes, until `close`."""

    async def close(self) -> None:
        """Let go of what was opened."""

    async def contents(self) -> Contents:
        """Tell what it holds. Raises `ArchiveError`, and what reading raises."""


def arrived(backup: AgentBackup, source: Source) -> tuple[AgentBackup, Protection]:
    """Return a backup whose bytes have been read to their end, and what they are: `protected` then
    says that, not what Home Assistant says of it.
    """
    protection = Protection.UNKNOWN
    if isinstance(source, LocalSource | StreamSource | EncryptedSource):
        protection = source.protection
    flag = protection.as_flag
    return (backup if flag is None else replace(backup, protected=flag)), protection


class ReadableError(Exception):
    """What is to be unreadable to others is not encrypted."""


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


@dataclass(slots=True)
class LocalSource(Source):
    """A local archive as it lies there: a file of Core, in one version only, or a stream of
    Supervisor.

    `protection`: what its inner archives are.
    """

    hass: HomeAssistant
    agent: BackupAgent
    backup: AgentBackup
    path: Path | None
    version: Version | None
    protection: Protection = Protection.UNKNOWN
    _opened: _Closable | None = None
    _ranges: SupervisorFile | None = None

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.backup.size

    async def open(self) -> AsyncIterator[bytes]:
        """Return the bytes as Home Assistant's streamers want them, until `close`."""
        self._opened = _Closable(self.read())
        return self._opened

    async def close(self) -> None:
        """Let go of what was opened."""
        if self._opened is not None:
            await self._opened.aclose()

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive. Raises `OSError` or `BackupAgentError` if it is gone or can't be
        read.
        """
        if (file := self._file) is not None:
            reading = file.read()
        else:
            reading = _read_stream(lambda: self.agent.async_download_backup(self.backup.backup_id))
        async with aclosing(reading) as stream:
            async for piece in stream:
                yield piece

    @override
    async def etag(self) -> str | None:
        """Return what tells this version of the archive from all others, None if its location can't
        tell. From now on no other is read.
        """
        self._ranges = None
        if self.path is not None:
            return self.version.etag if self.version else None
        with suppress(NoRangesError):
            ranges = SupervisorFile.of(self.hass, self.agent, self.backup)
            told = f"{ranges.location} {await ranges.look()}"
            if untrusted.or_none(untrusted.exact, told) is not None:
                self._ranges = ranges
                return told
        return None

    @override
    def chunks(
        self, chunk_size: int, buffer: Buffer = memory_for, start: int = 0
    ) -> AsyncGenerator[memoryview]:
        """Yield the archive in chunks. Raises as `read`, and `CorruptError`."""
        if (file := self._file) is not None:
            return file.chunks(chunk_size, buffer, start)
        if self._ranges is not None:
            rest = _read_from(self._ranges, start)
            return cut(rest, self.size, chunk_size, buffer, start)
        return Source.chunks(self, chunk_size, buffer, start)

    async def contents(self) -> Contents:
        """Tell what it holds: only headers and beginnings are read, where that can be done.

        Raises `ArchiveError`, and what reading raises.
        """
        if self.path is not None:
            return await in_thread(_examine, self.path, self.version)
        with suppress(NoRangesError):
            return await SupervisorFile.of(self.hass, self.agent, self.backup).contents()
        return await _contents_of(self.read())

    @property
    def _file(self) -> FileSource | None:
        if self.path is None:
            return None
        return FileSource(self.path, self.size, partial(_check_version, version=self.version))


@dataclass(slots=True)
class StreamSource(Source):
    """An archive that Home Assistant hands out, as often as it is asked for.

    `secret`: nothing readable may pass, whatever Home Assistant says of it. `protection` is what
    the last reading found.
    """

    open_stream: OpenStream
    size: int
    secret: bool = False
    protection: Protection = Protection.UNKNOWN
    _opened: _Closable | None = None

    async def open(self) -> AsyncIterator[bytes]:
        """Return the bytes, until `close`."""
        self._opened = _Closable(_read_stream(self.open_stream))
        return self._opened

    async def close(self) -> None:
        """Let go of what was opened."""
        if self._opened is not None:
            await self._opened.aclose()

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive. Raises `ReadableError`, before that passes."""
        watch = Watch()
        async with aclosing(_read_stream(self.open_stream)) as stream:
            async for piece in stream:
                watch.passed(piece)
                if self.secret and any(
                    one.protection is Protection.NOT_ENCRYPTED for one in watch.inner
                ):
                    raise ReadableError
                yield piece
        contents = watch.ended()
        self.protection = Protection.UNKNOWN if contents is None else contents.protection

    async def contents(self) -> Contents:
        """Tell what it holds. Reads all of it. Raises `ArchiveError`, and what reading raises."""
        return await _contents_of(_read_stream(self.open_stream))


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
            async with aclosing(_worked(self.plain, self._encrypt)) as stream:
                async for piece in stream:
                    yield piece
        except ArchiveError as err:
            self._digests = None
            raise BackupAgentError(f"It can't be encrypted: {err}") from err

    async def _read_digests(self) -> Digests:
        found: list[Digests] = []

        def read(source: IO[bytes], _: IO[bytes]) -> None:
            found.append(read_digests(source, flagged=self.flagged))

        async with aclosing(_worked(self.plain, read)) as stream:
            async for _ in stream:
                pass
        [digests] = found
        if digests.members != self.contents.members:
            raise ChangedError("it was changed before it was read")
        return digests

    def _encrypt(self, source: IO[bytes], target: IO[bytes]) -> None:
        assert self._digests is not None
        keys = self.root.keys(self.password)
        encrypt(source, target, keys, self._digests, self.size, flagged=self.flagged)


def as_in_dropbox[S: (LocalSource, StreamSource)](
    source: S, backup: AgentBackup, contents: Contents, password: str | None
) -> tuple[AgentBackup, S | EncryptedSource]:
    """Return a backup and its bytes as they are to lie in Dropbox.

    With a password all that is readable is encrypted on its way. `protected` then says what the
    bytes are, not what Home Assistant says of them.
    """
    protection = contents.protection
    if password is not None and contents.to_encrypt(flagged=backup.protected):
        encrypted = EncryptedSource(source, contents, password, flagged=backup.protected)
        return replace(backup, protected=True, size=encrypted.size), encrypted
    source.protection = protection
    flag = protection.as_flag
    return (backup if flag is None else replace(backup, protected=flag)), source


async def _worked(
    plain: PlainSource, work: Callable[[IO[bytes], IO[bytes]], None]
) -> AsyncGenerator[bytes]:
    """Yield what `work` writes when it reads an archive, in a thread of its own: it waits for the
    event loop and for other threads that read.
    """
    loop = asyncio.get_running_loop()
    reader = AsyncIteratorReader(loop, await plain.open())
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
        await plain.close()
        if not done.cancelled():
            done.exception()  # was raised, or is of no interest any more


def _settle(done: asyncio.Future[None], failure: Exception | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)


async def _read_from(file: SupervisorFile, start: int) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(file.read(start)) as stream:
            async for piece in stream:
                yield piece
    except NoRangesError as err:
        raise BackupAgentError(_CHANGED) from err


def _examine(path: Path, version: Version | None) -> Contents:
    with path.open("rb") as file:
        _check_version(file, version)
        return examine(file)


async def _contents_of(reading: AsyncGenerator[bytes]) -> Contents:
    watch = Watch()
    async with aclosing(reading) as stream:
        async for piece in stream:
            watch.passed(piece)
    if (contents := watch.ended()) is None:
        raise ArchiveError("it is not a readable archive")
    return contents


def _check_version(file: io.BufferedReader, version: Version | None) -> None:
    """Refuse any other version of a file than the expected one: no key must meet two of them."""
    if version not in {None, Version.of_open(file)}:
        raise BackupAgentError(_CHANGED)


async def _read_stream(open_stream: OpenStream) -> AsyncGenerator[bytes]:
    """Yield what somebody hands out.

    Raises `HomeAssistantError` as that does, and `LocationAwayError` for everything else:
    Supervisor's client lets errors of its own and of its connection through.
    """
    try:
        async with aclosing(_read_to_its_end(open_stream)) as stream:
            async for piece in stream:
                yield piece
    except HomeAssistantError:
        raise
    except TimeoutError as err:
        raise LocationAwayError("it stopped sending a backup") from err
    except Exception as err:
        raise LocationAwayError(silence_reason(err)) from err


async def _read_to_its_end(open_stream: OpenStream) -> AsyncGenerator[bytes]:
    # Supervisor's streams have no timeout of their own: one that stands still would do so for ever.
    async with asyncio.timeout(_STALLED_AFTER):
        stream = await open_stream()
    try:
        pieces = aiter(stream)
        while True:
            async with asyncio.timeout(_STALLED_AFTER):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    finally:
        # Home Assistant 2026.10 leaves closing to the agent. Not every stream can be closed.
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()
