"""The bytes of a backup that is to be uploaded, whoever has it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
import io
import os
from pathlib import Path
from typing import Any, Self, override

from homeassistant.components.backup import AgentBackup, BackupAgent, BackupAgentError
from homeassistant.components.backup.util import EncryptedBackupStreamer
from homeassistant.core import HomeAssistant

from ..dropbox_api.chunks import Buffer, FileSource, Source, memory_for
from ..dropbox_api.errors import CorruptError
from .encryption import Cipher, use_cipher
from .problems import text_of

_STALLED_AFTER = 300.0

type OpenStream = Callable[[], Coroutine[Any, Any, AsyncIterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Version:
    """Tells a file from what it was before: `size` in bytes, `changed` in nanoseconds."""

    size: int
    changed: int

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
        return cls(stat.st_size, stat.st_mtime_ns)


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

    `failure` is what broke the last reading.
    """

    hass: HomeAssistant
    agent: BackupAgent
    backup: AgentBackup
    path: Path | None
    version: Version | None
    failure: Exception | None = None
    _opened: _Closable | None = None

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.backup.size

    @property
    def identity(self) -> str:
        """Return what is the same only for the same archive, read in the same way."""
        backup = self.backup
        return sha256(
            repr(
                (
                    self.agent.agent_id,
                    backup.backup_id,
                    backup.date,
                    backup.size,
                    self.version.changed if self.version else None,
                    # What Home Assistant encrypts, and what it leaves out, follows from these.
                    backup.homeassistant_included,
                    sorted(addon.slug for addon in backup.addons),
                    sorted(folder.value for folder in backup.folders),
                )
            ).encode()
        ).hexdigest()

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
        async with aclosing(self._watched(reading)) as stream:
            async for piece in stream:
                yield piece

    @override
    def chunks(self, chunk_size: int, buffer: Buffer = memory_for) -> AsyncGenerator[memoryview]:
        """Yield the archive in chunks. Raises as `read`, and `CorruptError`."""
        if (file := self._file) is not None:
            return self._watched(file.chunks(chunk_size, buffer))
        return Source.chunks(self, chunk_size, buffer)

    @property
    def _file(self) -> FileSource | None:
        if self.path is None:
            return None
        return FileSource(self.path, self.size, partial(_check_version, version=self.version))

    async def _watched[T](self, reading: AsyncGenerator[T]) -> AsyncGenerator[T]:
        self.failure = None
        try:
            async with aclosing(reading) as stream:
                async for piece in stream:
                    yield piece
        except (BackupAgentError, CorruptError, OSError) as err:
            self.failure = err
            raise
        except Exception as err:
            # Supervisor's client lets errors of its own and of its connection through.
            self.failure = BackupAgentError(f"It can't be read: {text_of(err)}")
            raise self.failure from err


@dataclass(slots=True)
class StreamSource(Source):
    """An archive that Home Assistant hands out, as often as it is asked for."""

    open_stream: OpenStream
    size: int

    def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive."""
        return _read_stream(self.open_stream)


@dataclass(slots=True)
class EncryptedSource(Source):
    """An archive that is encrypted on its way out.

    One object gives the same bytes at every reading; another object does only if it has the same
    cipher.
    """

    streamer: EncryptedBackupStreamer
    plain: LocalSource
    password: str

    @property
    def size(self) -> int:
        """Bytes of the encrypted archive."""
        return self.streamer.size()

    def choose_cipher(self, earlier: Cipher | None) -> Cipher | None:
        """Go on with an earlier cipher if it is that of this archive, else with a new one; return
        it. None if Home Assistant does not let us choose: others can't give the same bytes then.
        """
        identity = self.plain.identity
        cipher = earlier if earlier and earlier.source == identity else Cipher(identity)
        return cipher if use_cipher(self.streamer, self.password, cipher) else None

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the encrypted archive. Raises what reading the plain one raises."""
        try:
            async with aclosing(_read_stream(self.streamer.open_stream)) as stream:
                async for piece in stream:
                    yield piece
        finally:
            # Without it the thread that encrypts may wait for a reader for ever.
            await self.streamer.wait()
            await self.plain.close()
        if self.plain.failure is not None:
            # The thread ends early then, and keeps to itself why.
            raise self.plain.failure


def _check_version(file: io.BufferedReader, version: Version | None) -> None:
    """Refuse any other version of a file than the expected one: no key must meet two of them."""
    if version not in {None, Version.of_open(file)}:
        raise BackupAgentError("The backup was changed while it was being uploaded")


async def _read_stream(open_stream: OpenStream) -> AsyncGenerator[bytes]:
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
    except TimeoutError as err:
        raise BackupAgentError("Home Assistant stopped sending the backup") from err
    finally:
        # Home Assistant 2026.10 leaves closing to the agent. Not every stream can be closed.
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()
