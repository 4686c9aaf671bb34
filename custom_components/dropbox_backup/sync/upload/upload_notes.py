"""What the journal must know while a backup is uploaded, so that nothing is lost or doubled
whenever that ends.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ...codes import CodedError
from ...dropbox_api.upload.upload import Source, UploadSession
from ..decide.models import BackupId, Trouble, date_of, id_of
from ..storage.journal import Journal
from ..storage.notes import Commit


class DeletedMeanwhileError(CodedError):
    """Somebody deleted the backup while it was on its way."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(Trouble.DELETED_MEANWHILE)


@dataclass(slots=True, eq=False)
class Transfer:
    """An upload in progress: `sent` of `size` bytes.

    `committing`: it may be a file any moment. `unwanted`: it was deleted meanwhile.
    """

    backup: AgentBackup
    size: int
    sent: int = 0
    committing: bool = False
    unwanted: bool = False
    stop: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def backup_id(self) -> BackupId:
        """The id that Home Assistant gave it."""
        return id_of(self.backup)


@dataclass(slots=True)
class UploadNotes:
    """The notes of one upload that is to become a file of this `name`."""

    journal: Journal
    transfer: Transfer
    source: Source
    name: str = ""

    @property
    def modified(self) -> datetime:
        """When the backup was made, in the whole seconds of UTC that Dropbox keeps."""
        made = date_of(self.transfer.backup)
        return made.astimezone(dt_util.UTC).replace(microsecond=0)

    @property
    def session(self) -> UploadSession | None:
        """The upload session to go on with."""
        return self.journal.notes.sessions.get(self.transfer.backup_id)

    async def keep_session(self, session: UploadSession | None) -> None:
        """Note what has arrived."""
        notes, backup_id = self.journal.notes, self.transfer.backup_id
        if session is None:
            notes.sessions.pop(backup_id, None)
            self.journal.changed()
        else:
            self._check_wanted()
            notes.sessions[backup_id] = session
            await self.journal.save()

    async def expect(self, content_hash: str) -> None:
        """Note which file is about to be made. Should the answer get lost together with us, this
        proves whose it is.
        """
        self._check_wanted()
        notes, backup_id = self.journal.notes, self.transfer.backup_id
        notes.uploaded[backup_id] = content_hash
        notes.newly_verified.add(backup_id)
        notes.commits[backup_id] = Commit(
            self.name, content_hash, self.source.size, self.modified, dt_util.utcnow()
        )
        await self.journal.save()
        self.transfer.committing = True

    def _check_wanted(self) -> None:
        if self.transfer.unwanted:
            raise DeletedMeanwhileError
