"""Another Home Assistant that uses the same backup folder at the same time: the product's own
folder, catalog and upload, without the rest.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
import io
import tarfile

import aiohttp
from homeassistant.components.backup import AgentBackup

from custom_components.dropbox_backup.const import DEFAULT_FOLDER
from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.errors import DropboxError
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.source import Source
from custom_components.dropbox_backup.dropbox_api.upload.upload import upload
from custom_components.dropbox_backup.sync.archive.metadata import backup_from_json
from custom_components.dropbox_backup.sync.decide.models import RemoteBackup
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import remote_file
from tests.support import core_archives
from tests.support.dropbox_server import ControlClient

INSTANCE = "the neighbours"
_PATIENCE = 60.0
_TRIES = 20


def archive(name: str, backup_id: str, date: datetime, *, instance: str = INSTANCE) -> bytes:
    """Return a backup archive as another Home Assistant makes it."""
    about = {"slug": backup_id, "name": name, "date": date.isoformat()}
    return core_archives.archive(20_000, **about, extra={"instance_id": instance})


class Neighbour:
    """The other one. `backups`: what it has in Dropbox, by file name."""

    def __init__(self, dropbox: ControlClient, session: aiohttp.ClientSession) -> None:
        self._dropbox = dropbox
        self._token = ""
        self._client = DropboxClient(session, self._get_token, retry_for=_PATIENCE)
        self._folder = BackupFolder(self._client, DEFAULT_FOLDER, INSTANCE, lambda _: None)
        self.backups: dict[str, RemoteBackup] = {}
        self.made = 0

    async def make_backup(self, date: datetime) -> None:
        """Upload a backup and write it into the catalog."""
        self.made += 1
        name = f"Neighbours-{self.made:04}"
        source = _Bytes(archive(name, f"feed{self.made:04x}", date))
        backup = _described_by(source)

        async def make() -> None:
            await self._folder.refresh(_PATIENCE)
            commit = UploadCommit(self._folder.path_for(backup))
            file = remote_file(await upload(self._client, source, commit))
            one = RemoteBackup(backup, file, owner=INSTANCE, verified=date)
            self.backups[file.name] = one
            await self._folder.insert(one)

        await _until_done(make)

    async def delete_oldest(self) -> None:
        """Delete its oldest backup, as its retention does."""
        if not self.backups:
            return
        oldest = self.backups.pop(min(self.backups))

        async def delete() -> None:
            await self._folder.refresh(_PATIENCE)
            await self._folder.delete(oldest)
            await self._folder.save_catalog()

        await _until_done(delete)

    async def _get_token(self, refused: str | None) -> str:
        if refused is not None or not self._token:
            self._token = self._dropbox.issue_tokens()["access_token"]
        return self._token


def _described_by(source: _Bytes) -> AgentBackup:
    with tarfile.open(fileobj=io.BytesIO(source.data)) as tar:
        about = tar.extractfile("./backup.json")
        assert about is not None
        return backup_from_json(about.read(), source.size)


class _Bytes(Source):
    """The source of a small upload."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    async def read(self) -> AsyncGenerator[bytes]:
        yield self.data


async def _until_done(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step again until it succeeds, as the worker does."""
    for last_try in (False,) * (_TRIES - 1) + (True,):
        try:
            await step()
        except DropboxError:
            if last_try:
                raise
        else:
            return
