"""What archives in Dropbox say of themselves, read where they lie: a few ranges of each."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
import io
import logging
from typing import override

from homeassistant.components.backup import AgentBackup

from ... import untrusted
from ...dropbox_api.client import DropboxClient
from ...dropbox_api.download import read_range
from ...dropbox_api.errors import DropboxError, Fault, UnreachableError
from ...dropbox_api.retry import RETRY_FOR, Waiter
from ...dropbox_api.threads import in_thread
from ...waits import WAITS
from ..archive.metadata import (
    LARGEST_METADATA,
    ArchiveError,
    ArchiveFault,
    backup_from_dict,
    read_metadata,
)
from ..decide.models import RemoteFile

_LOGGER = logging.getLogger(__name__)

_AT_ONCE = 4
# HA core's `dropbox` integration writes the metadata of `x.tar` into `x.metadata.json`.
_SIDECAR_ENDING = ".metadata.json"
_READ_AHEAD = 64 * 1024
# A backup of Core takes one, one of Supervisor two.
_MOST_REQUESTS = 30
# In seconds.
_LONGEST_READING = 120.0


class ArchiveReader:
    """Reads metadata in tasks of its own. What turned out to be no backup is not read again.

    `on_news` is called when something was read after the call that asked for it had returned, or
    when it is time to try again.
    """

    def __init__(self, client: DropboxClient) -> None:
        """Nothing is read yet."""
        self.on_news: Callable[[], object] = lambda: None
        # Revisions that are no backups.
        self.foreign: frozenset[str] = frozenset()
        self._client = client.retrying_for(RETRY_FOR[Waiter.ARCHIVES])
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[RemoteFile, asyncio.Task[None]] = {}
        self._found: dict[RemoteFile, AgentBackup] = {}
        self._retries = _Retries()
        self._stopped = False

    async def read(
        self, archives: Collection[RemoteFile], beside: Mapping[str, RemoteFile]
    ) -> list[tuple[RemoteFile, AgentBackup]]:
        """Return what archives say of themselves, as far as it is found out in a moment; the rest
        goes on by itself. What is no backup is left out; no trouble with one stops another.

        `beside`: all files of the folder, by lower-case name.
        """
        revisions = {file.rev for file in archives}
        self.foreign &= revisions
        self._retries.keep(revisions)
        for file in self._tasks.keys() - set(archives):
            self._tasks.pop(file).cancel()
        begun = [self._begin(file, beside) for file in archives if self._is_news(file)]
        if begun:
            _, late = await asyncio.wait(begun, timeout=WAITS.for_archives)
            for task in late:
                task.add_done_callback(self._tell)
        if not self._stopped:
            self._retries.wake_up(self.on_news)
        found = [(file, self._found[file]) for file in archives if file in self._found]
        self._found.clear()
        return found

    def stop(self) -> None:
        """Stop reading."""
        self._stopped = True
        self._retries.stop()
        for task in self._tasks.values():
            task.cancel()

    def _is_news(self, file: RemoteFile) -> bool:
        return not (
            self._stopped
            or file.rev in self.foreign
            or file in self._tasks
            or file in self._found
            or self._retries.rests(file.rev)
        )

    def _begin(self, file: RemoteFile, beside: Mapping[str, RemoteFile]) -> asyncio.Task[None]:
        self._retries.begun(file.rev)
        task = asyncio.get_running_loop().create_task(self._read(file, beside))
        self._tasks[file] = task
        task.add_done_callback(lambda _: self._tasks.pop(file, None))
        return task

    def _tell(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._stopped and not self._tasks:
            self.on_news()

    async def _read(self, file: RemoteFile, beside: Mapping[str, RemoteFile]) -> None:
        try:
            async with self._limit, asyncio.timeout(_LONGEST_READING):
                sidecar = await self._read_sidecar(file, beside)
                self._found[file] = sidecar or await self._read_archive(file)
        except ArchiveError as err:
            _LOGGER.info("%s in the backup folder is left alone: %s", file.name, err)
            self.foreign |= {file.rev}
        except (DropboxError, TimeoutError) as err:
            _LOGGER.info("%s in the backup folder can't be read now: %s", file.name, err)
            self._retries.failed(file.rev)
        except Exception:
            _LOGGER.exception("Unexpected error while reading %s in the backup folder", file.name)
            self._retries.failed(file.rev)

    async def _read_sidecar(
        self, file: RemoteFile, beside: Mapping[str, RemoteFile]
    ) -> AgentBackup | None:
        sidecar = beside.get((file.name.removesuffix(".tar") + _SIDECAR_ENDING).lower())
        if sidecar is None or sidecar.size > LARGEST_METADATA:
            return None
        text = await read_range(self._client, sidecar.rev, 0, sidecar.size)
        try:
            backup = backup_from_dict(await in_thread(untrusted.json_value, text))
        except ValueError, ArchiveError:
            return None  # then the archive itself is read
        return replace(backup, size=file.size)

    async def _read_archive(self, file: RemoteFile) -> AgentBackup:
        known = _KnownRanges(file.size)
        for _ in range(_MOST_REQUESTS):
            try:
                return await in_thread(read_metadata, known, file.size)
            except _MissingRangeError as missing:
                start, end = missing.start, missing.end
            data = await read_range(self._client, file.rev, start, end)
            if len(data) != end - start:
                raise UnreachableError(Fault.ANOTHER_RANGE)
            known.add(start, data)
        raise ArchiveError(ArchiveFault.TOO_MANY_FILES)


class _Retries:
    """When to try again what failed, by revision: later and later."""

    def __init__(self) -> None:
        self._waits: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, revisions: Collection[str]) -> None:
        """Forget all others."""
        self._waits = {rev: wait for rev, wait in self._waits.items() if rev in revisions}
        self._due = {rev: at for rev, at in self._due.items() if rev in revisions}

    def begun(self, rev: str) -> None:
        """Note that it is being tried now, so it is no longer due."""
        self._due.pop(rev, None)

    def failed(self, rev: str) -> None:
        wait = min(2 * self._waits.get(rev, WAITS.first_rereading / 2), WAITS.longest_rereading)
        self._waits[rev] = wait
        self._due[rev] = asyncio.get_running_loop().time() + wait

    def rests(self, rev: str) -> bool:
        """Tell whether it is too early to try again."""
        return rev in self._due and self._due[rev] > asyncio.get_running_loop().time()

    def wake_up(self, call: Callable[[], object]) -> None:
        """Call when the first of them is to be tried again."""
        self.stop()
        if self._due:
            self._timer = asyncio.get_running_loop().call_at(min(self._due.values()), call)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _MissingRangeError(Exception):
    """These bytes have yet to be read from Dropbox."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(start, end)
        self.start = start
        self.end = end


class _KnownRanges(io.RawIOBase):
    """A remote file that can be read at any offset whose bytes have been fetched. Reading others
    raises `_MissingRangeError`.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0
        self._ranges: list[tuple[int, bytes]] = []

    def add(self, start: int, data: bytes) -> None:
        """Take note of what lies there."""
        self._ranges.append((start, data))

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    @override
    def tell(self) -> int:
        return self._position

    @override
    def read(self, size: int = -1, /) -> bytes:
        end = self._size if size < 0 else min(self._position + size, self._size)
        pieces = []
        while self._position < end:
            piece = self._known(self._position, end)
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def _known(self, position: int, end: int) -> bytes:
        """Return some of the bytes from here on."""
        for start, data in self._ranges:
            if start <= position < start + len(data):
                return data[position - start : end - start]
        ahead = min(max(end, position + _READ_AHEAD), self._size)
        raise _MissingRangeError(position, ahead)
