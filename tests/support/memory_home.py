"""What a Home Assistant has, in memory: its local backups, and a disk that outlives the power."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
import json
from typing import Any, override

from homeassistant.components.backup import AgentBackup, BackupNotFound
from homeassistant.core import HomeAssistant

from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.upload.source import Source
from custom_components.dropbox_backup.sync.archive.metadata import backup_from_json
from custom_components.dropbox_backup.sync.decide.backup_settings import BackupSettings, Encryption
from custom_components.dropbox_backup.sync.decide.models import LocalBackup
from custom_components.dropbox_backup.sync.local.backups import LocalBackups, LocalListing
from custom_components.dropbox_backup.sync.remote.listing import ListingCache
from custom_components.dropbox_backup.sync.storage.journal import Journal
from tests.support.core_archives import archive
from tests.support.memory_dropbox import Power

SMALL = 1000
LARGE = 5 << 20  # two chunks, so that it takes an upload session
NOTES = "notes"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that a Home Assistant made, with its archive."""

    backup: AgentBackup
    data: bytes
    content_hash: str
    when: datetime  # by a clock that is right

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the archive, as a file is read."""
        for start in range(0, len(self.data), _PIECE):
            await asyncio.sleep(0)
            yield self.data[start : start + _PIECE]


def make(number: int, date: datetime, when: datetime, owner: str | None, size: int = SMALL) -> Made:
    """Make backup number N. `date`: what its archive says; those of Supervisor do not say whose
    they are.
    """
    extra = {"instance_id": owner} if owner else {}
    about = {"slug": f"{number:08x}", "name": f"Backup {number}", "date": date.isoformat()}
    data = archive(size, **about, extra=extra)
    # backup.json is the first member.
    text = data[512:].partition(b"\0")[0]
    return Made(backup_from_json(text, len(data)), data, content_hash(block_digests(data)), when)


class Shelf(LocalBackups):
    """The local backups."""

    def __init__(self) -> None:  # no manager
        """Nothing was made yet."""
        self.made: dict[str, Made] = {}

    def put(self, made: Made) -> None:
        """Have one more."""
        self.made[made.backup.backup_id] = made

    @property
    @override
    def idle(self) -> bool:
        return True

    @override
    async def ready(self) -> bool:
        return True

    @override
    async def list(self) -> LocalListing:
        good = tuple(LocalBackup(one.backup, "backup.local") for one in self.made.values())
        return LocalListing(good, (), {})

    @override
    def password_for(self, agent_id: str) -> str | None:
        return None

    @override
    def settings_for(self, agent_id: str) -> BackupSettings:
        return BackupSettings(Encryption.OFF)

    @override
    async def source(self, local: LocalBackup, password: str | None) -> Any:
        if local.backup.backup_id not in self.made:
            raise BackupNotFound("gone")
        return local.backup, _Archive(self.made[local.backup.backup_id])


@dataclass(frozen=True, slots=True)
class _Archive(Source):
    made: Made

    @property
    def size(self) -> int:
        return len(self.made.data)

    def read(self) -> AsyncGenerator[bytes]:
        return self.made.pieces()


class DiskFile:
    """A file of Home Assistant's storage on `disk`, by its name there.

    `delay`: how many seconds changes may wait; None: until somebody flushes it.
    """

    writable = True

    def __init__(
        self,
        disk: dict[str, str],
        name: str,
        power: Power,
        content: Callable[[], Any],
        delay: float | None = None,
    ) -> None:
        """Nothing is read or written yet."""
        self._disk = disk
        self._name = name
        self._power = power
        self._content = content
        self._delay = delay
        self._timer: asyncio.TimerHandle | None = None

    async def load(self) -> Any:
        """Return what was written, whoever wrote it."""
        return json.loads(self._disk[self._name]) if self._name in self._disk else None

    def changed(self) -> None:
        """Write soon."""
        if self._delay is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._write)

    async def save(self) -> None:
        """Write."""
        self._power.check()
        await asyncio.sleep(0)
        self._power.check()
        self._write()

    async def close(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            await self.save()

    def flush(self) -> None:
        """Let the time have passed that changes may wait, before the power went if it has."""
        self._disk[self._name] = json.dumps(self._content())

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._power.on:
            self.flush()


def journal_on(
    hass: HomeAssistant, disk: dict[str, str], power: Power, delay: float | None = None
) -> tuple[Journal, DiskFile]:
    """Return a journal on such a disk, and its file, called `NOTES` there; nothing is read yet."""
    files: list[DiskFile] = []

    def file(_hass: HomeAssistant, name: str, content: Callable[[], Any], **_: Any) -> Any:
        files.append(DiskFile(disk, name, power, content, delay))
        return files[0]

    journal = Journal(hass, NOTES, file)
    return journal, files[0]


def listing_on(
    hass: HomeAssistant, disk: dict[str, str], power: Power, delay: float
) -> ListingCache:
    """Return the memory of a folder on such a disk."""

    def file(_hass: HomeAssistant, name: str, content: Callable[[], Any], **_: Any) -> Any:
        return DiskFile(disk, name, power, content, delay)

    return ListingCache(hass, NOTES, file=file)
