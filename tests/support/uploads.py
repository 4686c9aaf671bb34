"""What uploads backups, without a worker."""

from dataclasses import dataclass
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.backup import CoreLocalBackupAgent
from homeassistant.core import HomeAssistant

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.upload.upload import Lane, UploadPool
from custom_components.dropbox_backup.sync.decide.models import LocalBackup, RemoteBackup
from custom_components.dropbox_backup.sync.local.backups import LocalBackups
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import ListingCache
from custom_components.dropbox_backup.sync.storage.journal import Journal
from custom_components.dropbox_backup.sync.upload.transfers import Transfers
from tests.support.account import (
    LOCAL_AGENT,
)
from tests.support.backups import US

FOLDER = "/HomeAssistant/Backups"
PASSWORD = "correct horse battery staple"


def restart_agent(hass: HomeAssistant) -> None:
    """Have Home Assistant know of its backups only what it reads from its folder."""
    manager = async_get_manager(hass)
    agent: Any = CoreLocalBackupAgent(hass)
    manager.backup_agents[LOCAL_AGENT] = manager.local_backup_agents[LOCAL_AGENT] = agent


@dataclass(slots=True)
class Uploads:
    """What uploads backups, built from what is on disk and in Dropbox: as after a start."""

    hass: HomeAssistant
    client: DropboxClient
    journal: Journal
    folder: BackupFolder
    local: LocalBackups
    transfers: Transfers

    @classmethod
    async def start(
        cls,
        hass: HomeAssistant,
        client: DropboxClient,
        cache: ListingCache | None = None,
        *,
        seen: bool = True,
    ) -> Uploads:
        restart_agent(hass)
        journal = Journal(hass, "entry")
        await journal.load()
        if not seen:
            cache = ListingCache(hass, "entry")
        folder = BackupFolder(client, FOLDER, US, journal.notes.uploaded.get, cache)
        await (folder.refresh() if seen else folder.recall())
        transfers = Transfers(client, folder, journal, US, lambda _: None)
        local = LocalBackups(hass, async_get_manager(hass))
        return cls(hass, client, journal, folder, local, transfers)

    async def only_backup(self) -> LocalBackup:
        [one] = (await self.local.list()).good
        return one

    async def upload(self, password: str = PASSWORD, retry_for: float = 30.0) -> RemoteBackup:
        backup, source = await self.local.source(await self.only_backup(), password)
        lane = Lane(UploadPool(parallel=1, begin=1))  # so that all that arrived is noted
        return await self.transfers.upload(backup, source, lane=lane, retry_for=retry_for)
