"""What archives in Dropbox say of themselves, read where they lie: a few ranges of each."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
import io
import logging
from typing import Any, override

from homeassistant.components.backup import AgentBackup

from .. import untrusted
from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import read_range
from ..dropbox_api.errors import NotFoundError, RefusedError
from ..dropbox_api.threads import in_thread
from .archive import ArchiveError, backup_from_dict, read_metadata
from .models import RemoteFile

_LOGGER = logging.getLogger(__name__)

_AT_ONCE = 4
# HA core's `dropbox` integration writes the metadata of `x.tar` into `x.metadata.json`.
_SIDECAR_ENDING = ".metadata.json"
_LARGEST_SIDECAR = 4 * 1024 * 1024
_READ_AHEAD = 64 * 1024
# Seconds until a worker thread stops waiting for a ranged read that the event loop never finished.
_READ_TIMEOUT = 600.0


class ArchiveReader:
    """Reads metadata, and never twice of what turned out to be no backup."""

    def __init__(self, client: DropboxClient) -> None:
        """Nothing is read yet."""
        self._client = client
        self._unreadable: set[RemoteFile] = set()

    async def read(
        self, archives: Collection[RemoteFile], beside: Mapping[str, RemoteFile]
    ) -> list[tuple[RemoteFile, AgentBackup]]:
        """Return what each archive says of itself, without those that are no backups.

        `beside`: all files of the folder, by lower-case name. Raises `DropboxError` if Dropbox does
        not let us find out.
        """
        self._unreadable &= set(archives)
        limit = asyncio.Semaphore(_AT_ONCE)

        async def read(file: RemoteFile) -> AgentBackup | None:
            async with limit:
                return await self._recognise(file, beside)

        files = [file for file in archives if file not in self._unreadable]
        # All are waited for, so that none goes on when another one fails.
        results = await asyncio.gather(*(read(file) for file in files), return_exceptions=True)
        found = []
        for file, result in zip(files, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                found.append((file, result))
        return found

    async def _recognise(
        self, file: RemoteFile, beside: Mapping[str, RemoteFile]
    ) -> AgentBackup | None:
        try:
            return await self._read_sidecar(file, beside) or await self._read_archive(file)
        except (ArchiveError, NotFoundError, RefusedError) as err:
            _LOGGER.info("%s in the backup folder is left alone: %s", file.name, err)
            self._unreadable.add(file)
            return None

    async def _read_sidecar(
        self, file: RemoteFile, beside: Mapping[str, RemoteFile]
    ) -> AgentBackup | None:
        sidecar = beside.get((file.name.removesuffix(".tar") + _SIDECAR_ENDING).lower())
        if sidecar is None or sidecar.size > _LARGEST_SIDECAR:
            return None
        text = await read_range(self._client, sidecar.rev, 0, sidecar.size)
        try:
            backup = backup_from_dict(untrusted.json_value(text))
        except ValueError, ArchiveError:
            return None  # the archive itself will tell
        return replace(backup, size=file.size)

    async def _read_archive(self, file: RemoteFile) -> AgentBackup:
        loop = asyncio.get_running_loop()
        reader = io.BufferedReader(_RangeReader(self._client, file, loop), _READ_AHEAD)
        return await in_thread(read_metadata, reader, file.size)


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
