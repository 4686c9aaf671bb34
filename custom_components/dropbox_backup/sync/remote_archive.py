"""An archive in Dropbox, read where it lies: a few ranges of it instead of the whole."""

import asyncio
import io
from typing import Any, override

from homeassistant.components.backup import AgentBackup

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import read_range
from .archive import read_metadata
from .models import RemoteFile

_READ_AHEAD = 64 * 1024
# Seconds until a worker thread stops waiting for a ranged read that the event loop never finished.
_READ_TIMEOUT = 600.0


async def read_remote_metadata(client: DropboxClient, file: RemoteFile) -> AgentBackup:
    """Return what an archive says of itself. Raises `ArchiveError` or `DropboxError`."""
    loop = asyncio.get_running_loop()
    reader = io.BufferedReader(_RangeReader(client, file, loop), _READ_AHEAD)
    return await loop.run_in_executor(None, read_metadata, reader, file.size)


class _RangeReader(io.RawIOBase):
    """A remote file as one that can be read anywhere, from a worker thread, by ranged requests."""

    def __init__(
        self, client: DropboxClient, file: RemoteFile, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._client = client
        self._file = file
        self._loop = loop
        self._position = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    @override
    def tell(self) -> int:
        return self._position

    @override
    def readinto(self, buffer: Any, /) -> int:
        end = min(self._position + len(buffer), self._file.size)
        reading = read_range(self._client, self._file.rev, self._position, end)
        data = asyncio.run_coroutine_threadsafe(reading, self._loop).result(_READ_TIMEOUT)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
