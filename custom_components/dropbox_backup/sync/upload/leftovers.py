"""Removes from Dropbox what our own uploads left there: damaged files, and backups that somebody
deleted while they were on their way.
"""

from datetime import timedelta
import logging

from homeassistant.util import dt as dt_util

from ...dropbox_api.errors import DropboxError
from ...dropbox_api.types import File
from ..decide.models import BackupId
from ..remote.folder import BackupFolder
from ..remote.listing import remote_file
from ..storage.journal import Journal
from ..storage.notes import Commit

_LOGGER = logging.getLogger(__name__)

# No call takes longer: if the file is not there after that, it will never be made.
_LATEST = timedelta(days=1)


class Leftovers:
    """Files that the journal says we were about to make."""

    def __init__(self, folder: BackupFolder, journal: Journal) -> None:
        """Remove nothing yet."""
        self._folder = folder
        self._journal = journal

    async def remove(self, backup_id: BackupId) -> bool:
        """Remove what the last upload of a backup has left, if that is neither the whole backup nor
        a file of somebody else; return whether something was removed.

        What can't be removed now is tried again: it stays in the journal.
        """
        notes = self._journal.notes
        commit = notes.commits.get(backup_id)
        if commit is None:
            return False
        file = self._folder.file(commit.name)
        if file is None:
            # Dropbox may still be making it.
            if abs(dt_util.utcnow() - commit.noted) > _LATEST:
                self._forget(backup_id)
            return False
        if file.content_hash == commit.content_hash and not commit.unwanted:
            self._forget(backup_id)
            return False
        try:
            return await self._remove(backup_id, commit)
        except DropboxError as err:
            _LOGGER.info("%s could not be removed, it will be later: %s", commit.name, err)
            return False

    async def _remove(self, backup_id: BackupId, commit: Commit) -> bool:
        file = await self._folder.look(commit.name)
        ours = file is not None and _is_ours(file, commit)
        if file is not None and ours:
            await self._folder.delete_file(remote_file(file))
        self._forget(backup_id)
        return ours

    def _forget(self, backup_id: BackupId) -> None:
        self._journal.notes.commits.pop(backup_id, None)
        self._journal.changed()


def _is_ours(file: File, commit: Commit) -> bool:
    """Tell whether a file is what we made under that name: nobody else gives it the size of the
    upload and the very second of the backup.
    """
    return file.size == commit.size and file.client_modified == commit.modified
