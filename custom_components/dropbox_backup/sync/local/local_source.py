"""The bytes of a backup that lies on this Home Assistant."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
import io
import os
from pathlib import Path
from typing import Self, override

from homeassistant.components.backup import AgentBackup, BackupAgent
from homeassistant.core import HomeAssistant

from ... import untrusted
from ...dropbox_api.threads import in_thread
from ...dropbox_api.upload.source import Buffer, FileSource, Source, cut, memory_for
from ..archive.contents import Contents, examine
from ..decide.models import Protection, Trouble
from ..report.problems import UnreadableError
from .stream_source import contents_of, read_stream
from .supervisor_files import NoRangesError, SupervisorFile


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
    def of(cls, path: Path) -> Self:
        """Look at a file. Raises `OSError`. Blocking."""
        return cls._of(path.stat())

    @classmethod
    def of_open(cls, file: io.BufferedReader) -> Self:
        """Look at an open file. Blocking."""
        return cls._of(os.fstat(file.fileno()))

    @classmethod
    def _of(cls, stat: os.stat_result) -> Self:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


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
    _ranges: SupervisorFile | None = None

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.backup.size

    def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive. Raises `OSError` or `BackupAgentError` if it is gone or can't be
        read.
        """
        if (file := self._file) is not None:
            return file.read()
        return read_stream(lambda: self.agent.async_download_backup(self.backup.backup_id))

    def read_plain(self) -> AsyncGenerator[bytes]:
        """Yield the archive: it lies here as it is."""
        return self.read()

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
        return await contents_of(self.read())

    @property
    def _file(self) -> FileSource | None:
        if self.path is None:
            return None
        return FileSource(self.path, self.size, partial(_check_version, version=self.version))


async def _read_from(file: SupervisorFile, start: int) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(file.read(start)) as stream:
            async for piece in stream:
                yield piece
    except NoRangesError as err:
        raise UnreadableError(Trouble.CHANGED_MEANWHILE) from err


def _examine(path: Path, version: Version | None) -> Contents:
    with path.open("rb") as file:
        _check_version(file, version)
        return examine(file)


def _check_version(file: io.BufferedReader, version: Version | None) -> None:
    """Refuse any other version of a file than the expected one: no key must meet two of them."""
    if version not in {None, Version.of_open(file)}:
        raise UnreadableError(Trouble.CHANGED_MEANWHILE)
