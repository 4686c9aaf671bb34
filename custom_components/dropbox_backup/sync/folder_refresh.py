"""Lists the backup folder, and makes it if it is not there."""

import logging

from homeassistant.util import dt as dt_util

from ..dropbox_api.client import DropboxClient
from .remote.folder import BackupFolder
from .remote.remote_files import FolderMissingError
from .storage.journal import Journal
from .store import StateStore

_LOGGER = logging.getLogger(__name__)


class FolderRefresh:
    """What is found is published; that a folder has gone which was there is noted."""

    def __init__(
        self, client: DropboxClient, folder: BackupFolder, journal: Journal, store: StateStore
    ) -> None:
        """Ask nothing yet."""
        self._client = client
        self._folder = folder
        self._journal = journal
        self._store = store

    async def refresh(self, retry_for: float, *, adopt: bool) -> None:
        """Ask Dropbox what lies in the folder. Raises `DropboxError`.

        `retry_for`: for how many seconds a call that fails is repeated. `adopt`: as in
        `BackupFolder.refresh`.
        """
        notes = self._journal.notes
        try:
            await self._folder.refresh(retry_for, adopt=adopt)
        except FolderMissingError:
            if notes.folder_seen:
                _LOGGER.warning("The backup folder is gone from Dropbox; it is made again")
                notes.folder_was_missing = True
                self._journal.changed()
            await self._client.retrying_for(retry_for).create_folder(self._folder.path)
            await self._folder.refresh(retry_for, adopt=adopt)
        if not notes.folder_seen or notes.results.watching_since is None:
            notes.folder_seen = True
            notes.results.watching_since = notes.results.watching_since or dt_util.utcnow()
            self._journal.changed()
        self._store.publish()
