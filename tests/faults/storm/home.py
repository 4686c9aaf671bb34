"""One Home Assistant with our integration, whose power can go at any moment."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
import json
from types import SimpleNamespace
from typing import Any, cast, override

from homeassistant.components.backup import AgentBackup, BackupNotFound
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.dropbox_backup.backup import DropboxBackupAgent
from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.dropbox_api.chunks import Source
from custom_components.dropbox_backup.sync.backup_settings import BackupSettings, Encryption
from custom_components.dropbox_backup.sync.journal import Journal, write_notes
from custom_components.dropbox_backup.sync.keeper import Pruning
from custom_components.dropbox_backup.sync.listing import ListingCache
from custom_components.dropbox_backup.sync.local import LocalBackups, LocalListing
from custom_components.dropbox_backup.sync.models import LocalBackup, Policy
from custom_components.dropbox_backup.sync.reconciler import Reconciler
from custom_components.dropbox_backup.sync.remote import BackupFolder
from tests.faults.memory_dropbox import Power

from .dropbox import StormyClient, StormyDropbox, Watcher

FOLDER = "/f"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that a Home Assistant made, with its archive."""

    backup: AgentBackup
    data: bytes
    content_hash: str
    when: datetime  # by a clock that is right


class Shelf(LocalBackups):
    """The local backups, in memory."""

    def __init__(self) -> None:
        """Nothing was made yet."""
        self.made: dict[str, Made] = {}

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
        return local.backup, _Archive(self.made[local.backup.backup_id].data)


@dataclass(frozen=True, slots=True)
class _Archive(Source):
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def read(self) -> AsyncGenerator[bytes]:
        for start in range(0, len(self.data), _PIECE):
            await asyncio.sleep(0)
            yield self.data[start : start + _PIECE]


class _DiskFile:
    """A file of Home Assistant's storage, on a disk that outlives the power."""

    writable = True

    def __init__(
        self,
        disk: dict[str, str],
        name: str,
        power: Power,
        content: Callable[[], Any],
        delay: float,
    ) -> None:
        self._disk = disk
        self._name = name
        self._power = power
        self._content = content
        self._delay = delay
        self._timer: asyncio.TimerHandle | None = None

    async def load(self) -> Any:
        return json.loads(self._disk[self._name]) if self._name in self._disk else None

    def changed(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._write)

    async def save(self) -> None:
        self._power.check()
        await asyncio.sleep(0)
        self._power.check()
        self._write()

    async def close(self) -> None:
        if self._timer is not None:
            await self.save()

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._power.on:
            self._disk[self._name] = json.dumps(self._content())


class Home:
    """A Home Assistant with the id `instance_id`, and what it remembers over a restart."""

    def __init__(
        self, instance_id: str, dropbox: StormyDropbox, watcher: Watcher, keep: int
    ) -> None:
        """Do nothing before `start`."""
        self.instance_id = instance_id
        self.keep = keep
        self.shelf = Shelf()
        self.disk: dict[str, str] = {}
        self.power = Power()
        self._dropbox = dropbox
        self._watcher = watcher
        self._journal: Journal | None = None
        self._run: asyncio.Task[None] | None = None
        self._cache: ListingCache
        self.folder: BackupFolder
        self.worker: Reconciler
        self.agent: DropboxBackupAgent

    async def start(self, listen: Callable[[Any], None], pruned: Callable[[], None]) -> None:
        """Load the integration."""
        hass = HomeAssistant("/nowhere")
        hass.import_executor.shutdown()
        client = StormyClient(self._dropbox, self.power, self._watcher)
        if self._journal is None:
            self._journal = Journal(hass, "notes")
            journal = self._journal
            journal._file = self._file("notes", lambda: write_notes(journal.notes), 1.0)
            await journal.load()
        journal = self._journal
        self._cache = cache = ListingCache(hass, "notes")
        cache._file = self._file("listing", cache._content, 10.0)
        self.folder = BackupFolder(
            client, FOLDER, self.instance_id, journal.notes.uploaded.get, cache
        )
        await self.folder.recall()
        self.worker = Reconciler(
            hass,
            client,
            self.folder,
            self.shelf,
            journal,
            Policy(keep=self.keep, chunks_at_once=2),
            instance_id=self.instance_id,
            agent_id="dropbox_backup.x",
            on_change=lambda _: None,
            on_sign_in_needed=lambda: None,
        )
        self.worker.publisher.subscribe(listen)
        prune = self.worker.keeper.apply_retention

        async def prune_and_tell(*, consent: bool = False) -> Pruning:
            try:
                return await prune(consent=consent)
            finally:
                pruned()

        self.worker.keeper.apply_retention = prune_and_tell  # type: ignore[method-assign]  # heard
        entry = MockConfigEntry(domain=DOMAIN, title="Dropbox", unique_id=self.instance_id)
        entry.runtime_data = SimpleNamespace(reconciler=self.worker)
        self.agent = DropboxBackupAgent(hass, cast("Any", entry))

    async def remembered(self) -> Any:
        """Return the notes as they are on the disk."""
        return json.loads(self.disk.get("notes", "null"))

    def _file(self, name: str, content: Callable[[], Any], delay: float) -> Any:
        return _DiskFile(self.disk, name, self.power, content, delay)

    def work(self) -> None:
        """Put the worker to work."""
        self._run = asyncio.get_running_loop().create_task(self.worker.run())
        self.worker.request("started")

    async def unload(self) -> None:
        """Unload in good order. Uploads of Home Assistant's own go on."""
        await self.worker.save()
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait([self._run])
        self.stop()
        await self._cache.close()

    def stop(self) -> None:
        """Leave no timer and no task behind."""
        self.worker._schedule.cancel()
        self.folder.stop()

    async def lose_power(self) -> None:
        """End everything as it is."""
        self.power.on = False
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        if others:
            await asyncio.wait(cast("Any", others))
        self.stop()
        self.power = Power()
        self._journal = None

    def stream(self, made: Made) -> Callable[[], Any]:
        """Return how Home Assistant hands a backup out."""

        async def read() -> AsyncIterator[bytes]:
            for start in range(0, len(made.data), _PIECE):
                await asyncio.sleep(0)
                yield made.data[start : start + _PIECE]

        async def open_stream() -> AsyncIterator[bytes]:
            return read()

        return open_stream
