"""What lies in the backup folder of the local Dropbox."""

from dataclasses import replace
from datetime import UTC, datetime

from homeassistant.components.backup import AgentBackup

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.sync.decide.models import RemoteBackup, id_of
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import remote_file
from tests.support.archives import CORE, archive
from tests.support.backups import US

FOLDER = "/HomeAssistant/Backups"


async def put(client: DropboxClient, name: str, data: bytes) -> None:
    await client.upload(data, UploadCommit(f"{FOLDER}/{name}"), content_hash(block_digests(data)))


async def put_quietly(
    client: DropboxClient, folder: BackupFolder, made: AgentBackup
) -> RemoteBackup:
    """Upload an archive and record nothing."""
    data = archive({**CORE, "slug": made.backup_id, "name": made.name, "date": made.date})
    metadata = await client.upload(
        data, UploadCommit(folder.path_for(made)), content_hash(block_digests(data))
    )
    return RemoteBackup(
        replace(made, size=len(data)), remote_file(metadata), owner=US, verified=datetime.now(UTC)
    )


async def store(client: DropboxClient, folder: BackupFolder, made: AgentBackup) -> RemoteBackup:
    """Upload an archive and record it, as a transfer does."""
    stored = await put_quietly(client, folder, made)
    await folder.insert(stored)
    return stored


def ids(folder: BackupFolder) -> set[str]:
    return {id_of(one.backup) for one in folder.backups}
