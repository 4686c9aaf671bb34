"""Uploading many small backups, one after the other."""

from datetime import UTC, datetime
import json
from pathlib import Path

from benchmarks.contenders.job import (
    Job,
    LocalBackup,
    core_auth,
    lead_to_local_dropbox,
    session,
    token_of,
)
from benchmarks.measure import Figures, measured


async def many_with_us(job: Job, figures: Figures) -> None:
    """Upload each file of the folder `job.file` on its own, and write it into the catalog."""
    from benchmarks.seed import OWNER, backups
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
    from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
    from custom_components.dropbox_backup.dropbox_api.upload.source import FileSource
    from custom_components.dropbox_backup.dropbox_api.upload.upload import upload
    from custom_components.dropbox_backup.sync.decide.models import RemoteBackup
    from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
    from custom_components.dropbox_backup.sync.remote.listing import remote_file

    files = sorted(Path(job.file).glob("*.tar"))  # noqa: ASYNC240  (before anything is measured)
    async with session() as http:
        client = DropboxClient(http, token_of(job))
        folder = BackupFolder(client, job.path, OWNER, lambda _: None)
        await client.create_folder(job.path)
        await folder.refresh()
        with measured(figures):
            for file, backup in zip(files, backups(len(files)), strict=True):
                source = FileSource(file, job.size)
                stored = await upload(client, source, UploadCommit(folder.path_for(backup)))
                await folder.insert(
                    RemoteBackup(
                        backup, remote_file(stored), owner=OWNER, verified=datetime.now(UTC)
                    )
                )


async def many_with_core(job: Job, figures: Figures) -> None:
    """Upload each file and its metadata, as Home Assistant's own integration `dropbox` does."""
    from homeassistant.components.dropbox import backup as agent
    from python_dropbox_api import DropboxAPIClient, client as library

    from benchmarks.seed import backups

    files = sorted(Path(job.file).glob("*.tar"))  # noqa: ASYNC240  (before anything is measured)
    lead_to_local_dropbox(library)
    async with session() as http:
        api = DropboxAPIClient(core_auth(job, http))
        with measured(figures):
            for file, backup in zip(files, backups(len(files)), strict=True):
                tar, sidecar = agent._suggested_filenames(backup)
                await api.upload_file(f"/{tar}", LocalBackup(file, job.size).read())
                text = json.dumps(backup.as_dict())
                await api.upload_file(f"/{sidecar}", agent._async_string_iterator(text))
