"""One Home Assistant with our integration, whose power can go at any moment."""

import asyncio
from collections.abc import AsyncIterator, Callable
import json
from types import SimpleNamespace
from typing import Any, cast, override
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.dropbox_backup.backup import DropboxBackupAgent
from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.sync import parts
from custom_components.dropbox_backup.sync.decide.models import Policy
from custom_components.dropbox_backup.sync.engine import Engine
from custom_components.dropbox_backup.sync.parts import Parts
from custom_components.dropbox_backup.sync.pruner import Pruner, Pruning
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import ListingCache
from custom_components.dropbox_backup.sync.storage.journal import Journal
from tests.faults.storm.dropbox import StormyClient, StormyDropbox, Watcher
from tests.support.memory_dropbox import Power
from tests.support.memory_home import NOTES, Made, Shelf, journal_on, listing_on

FOLDER = "/f"


class StormyHome:
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
        self.worker: Engine
        self.agent: DropboxBackupAgent

    async def start(self, listen: Callable[[Any], None], pruned: Callable[[], None]) -> None:
        """Load the integration."""
        hass = HomeAssistant("/nowhere")
        hass.import_executor.shutdown()
        client = StormyClient(self._dropbox, self.power, self._watcher)
        if self._journal is None:
            self._journal, _ = journal_on(hass, self.disk, self.power, 1.0)
            await self._journal.load()
        journal = self._journal
        self._cache = cache = listing_on(hass, self.disk, self.power, 10.0)
        self.folder = BackupFolder(
            client, FOLDER, self.instance_id, journal.notes.uploaded.get, cache
        )
        await self.folder.recall()

        class HeardPruner(Pruner):
            """Says when it is done."""

            @override
            async def apply_retention(self, *, consent: bool = False) -> Pruning:
                try:
                    return await super().apply_retention(consent=consent)
                finally:
                    pruned()

        with patch.object(parts, "Pruner", HeardPruner):
            self.worker = Engine(
                Parts(
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
            )
        self.worker.subscribe(listen)
        entry = MockConfigEntry(domain=DOMAIN, title="Dropbox", unique_id=self.instance_id)
        entry.runtime_data = SimpleNamespace(engine=self.worker)
        self.agent = DropboxBackupAgent(hass, cast("Any", entry))

    async def remembered(self) -> Any:
        """Return the notes as they are on the disk."""
        return json.loads(self.disk.get(NOTES, "null"))

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
        self.worker.stop()

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

        async def open_stream() -> AsyncIterator[bytes]:
            return made.pieces()

        return open_stream
