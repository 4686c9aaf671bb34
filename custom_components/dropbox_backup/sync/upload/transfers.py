"""Uploading one backup, whoever wants it: the worker, or Home Assistant itself. Never the same one
twice.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
import logging
from weakref import WeakValueDictionary

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ...codes import Reason
from ...dropbox_api.client import DropboxClient
from ...dropbox_api.content_hash import content_hash
from ...dropbox_api.errors import ConflictError, DropboxError, NotFoundError, RefusedError
from ...dropbox_api.retry import RETRY_FOR, Waiter
from ...dropbox_api.types import File, UploadCommit
from ...dropbox_api.upload.source import digests_of
from ...dropbox_api.upload.upload import Lane, Source, UploadPool, upload
from ..decide.models import BackupId, RemoteBackup, Trouble, date_of, id_of
from ..decide.ownership import owner_of
from ..decide.plan import same_backup
from ..local.encrypted_source import EncryptedSource
from ..local.sources import arrived
from ..remote.folder import BackupFolder
from ..remote.listing import remote_file
from ..storage.journal import Journal
from .leftovers import Leftovers
from .upload_notes import DeletedMeanwhileError, Transfer, UploadNotes

_LOGGER = logging.getLogger(__name__)

# Other files may lie under a name, and under the next one, without a listing having shown them.
_TRIES_OF_NAMES = 5
# What lies in Dropbox may go away, or change, while it is compared.
_TRIES_OF_FILES = 3


class Transfers:
    """All uploads of one config entry."""

    def __init__(
        self,
        client: DropboxClient,
        folder: BackupFolder,
        journal: Journal,
        instance_id: str,
        on_change: Callable[[Collection[Transfer]], None],
    ) -> None:
        """`on_change` is told about every step, several times a second."""
        self._client = client
        self._folder = folder
        self._journal = journal
        self._instance_id = instance_id
        self._on_change = on_change
        self._leftovers = Leftovers(folder, journal)
        self._locks: WeakValueDictionary[BackupId, asyncio.Lock] = WeakValueDictionary()
        self._active: dict[BackupId, Transfer] = {}
        self._called: set[Transfer] = set()

    @property
    def active(self) -> Collection[Transfer]:
        """The uploads in progress."""
        return self._active.values()

    async def upload(
        self,
        backup: AgentBackup,
        source: Source,
        *,
        lane: Lane,
        retry_for: float,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> RemoteBackup:
        """Upload a backup unless it is there already; return it as it lies in Dropbox now,
        verified.

        `retry_for`: for how many seconds a call that fails is tried again. Raises `DropboxError`
        (`StoppedError` if the lane is stopped), `DeletedMeanwhileError`, and what the source
        raises.
        """
        if isinstance(source, EncryptedSource):
            source.root = self._journal.notes.key_root
        transfer = Transfer(backup, source.size)
        self._called.add(transfer)
        try:
            async with transfer.stop, self._lock_of(id_of(backup)):
                if (there := await self._proven(backup, source, retry_for)) is not None:
                    return there
                return await self._begin(transfer, source, lane, retry_for, on_progress)
        except Exception as err:
            if not transfer.unwanted:
                raise
            self._forget_session(id_of(backup))
            raise DeletedMeanwhileError from err
        finally:
            self._called.discard(transfer)
            transfer.ended.set()

    async def drop(self, backup_ids: Collection[BackupId]) -> set[BackupId]:
        """Stop what is on its way of these backups: a person deletes them; return which were.

        What is a file already is deleted when Dropbox has said so, if need be after a restart.
        """
        dropped = [one for one in self._called if one.backup_id in backup_ids]
        ids = {one.backup_id for one in dropped}
        notes = self._journal.notes
        for backup_id in ids:
            notes.dismissed.add(backup_id)
            notes.wanted.discard(backup_id)
            self._forget_session(backup_id)
            if (commit := notes.commits.get(backup_id)) is not None:
                notes.commits[backup_id] = replace(commit, unwanted=True)
        for one in dropped:
            # A call that makes a file is not broken off: nobody would know whether the file exists.
            if not (one.unwanted or one.committing):
                one.stop.reschedule(asyncio.get_running_loop().time())
            one.unwanted = True
        if dropped:
            await self._journal.save()
            with suppress(TimeoutError):
                # Longer ones still end in the background.
                async with asyncio.timeout(RETRY_FOR[Waiter.PERSON]):
                    for one in dropped:
                        await one.ended.wait()
        return ids

    async def verify(self, backup: AgentBackup, source: Source) -> RemoteBackup | None:
        """Compare a backup that is in Dropbox with `source`; return it, verified, or None if it is
        another content.

        Raises `NotFoundError` if it is gone, or another file has taken its place meanwhile, and
        what the source raises.
        """
        async with self._lock_of(id_of(backup)):
            there = self._folder.find(id_of(backup))
            if await hash_of(source) != there.file.content_hash:
                return None
            return await self._verified(there, backup, source)

    async def remove_leftovers(self) -> None:
        """Remove from Dropbox what uploads that ended badly have left there."""
        for backup_id in list(self._journal.notes.commits):
            if not self._lock_of(backup_id).locked():
                async with self._lock_of(backup_id):
                    await self._leftovers.remove(backup_id)

    def _forget_session(self, backup_id: BackupId) -> None:
        self._journal.notes.sessions.pop(backup_id, None)
        self._journal.changed()

    @property
    def under_way(self) -> set[BackupId]:
        """The backups that are being uploaded, compared, or wait for their turn."""
        return {one.backup_id for one in self._called}

    def _lock_of(self, backup_id: BackupId) -> asyncio.Lock:
        return self._locks.setdefault(backup_id, asyncio.Lock())

    # What is there

    async def _proven(
        self, backup: AgentBackup, source: Source, retry_for: float
    ) -> RemoteBackup | None:
        """Return the backup if Dropbox says that it is there now, and if it is proven to be this
        one. What is there unproven counts for nothing.
        """
        for _ in range(_TRIES_OF_FILES):
            if (there := await self._find(id_of(backup), retry_for)) is None:
                break
            if not same_backup(backup, there.backup):
                if there.verified is None:
                    return None
                raise RefusedError(Trouble.SAME_ID)
            # Home Assistant draws new keys whenever it encrypts: the same backup then never gives
            # the same bytes again.
            if there.verified is not None and (backup.protected or there.backup.protected):
                return there
            if there.file.size != source.size:
                return None
            if await hash_of(source) != there.file.content_hash:
                return None
            try:
                return await self._verified(there, backup, source, retry_for)
            except NotFoundError:
                continue  # it went while it was compared, or was replaced
        return None

    async def _find(self, backup_id: BackupId, retry_for: float) -> RemoteBackup | None:
        """Return the backup that stands for an id, if Dropbox says that its file is there now."""
        if self._folder.cursor is None:
            try:
                await self._folder.refresh(retry_for, adopt=False)
            except NotFoundError:
                return None  # it went with the whole folder
        while (there := self._folder.get(backup_id)) is not None:
            if await self._folder.ask(there.file, retry_for):
                break
        return there

    async def _verified(
        self,
        there: RemoteBackup,
        backup: AgentBackup,
        source: Source,
        retry_for: float | None = None,
    ) -> RemoteBackup:
        """Note that what lies in Dropbox is the backup, and that its bytes are those of `source`.
        Comparing took its time: raises `NotFoundError` if that very file is there no more.
        """
        if await self._folder.ask(there.file, retry_for):
            if there.verified is not None:
                return there
            owner = there.owner or owner_of(backup, self._instance_id)
            found, protection = arrived(there.backup, source)
            there = replace(
                there, backup=found, verified=dt_util.utcnow(), owner=owner, protection=protection
            )
            if await self._annotate(there):
                self._journal.notes.newly_verified.add(id_of(backup))
                self._journal.changed()
                return there
        raise NotFoundError(Reason.of(Trouble.REPLACED, file=there.file.name))

    async def _annotate(self, there: RemoteBackup) -> bool:
        try:
            return await self._folder.annotate(
                there.file,
                verified=there.verified,
                owner=there.owner,
                protection=there.protection,
            )
        except DropboxError as err:
            _tell_unwritten(err)
            return True

    # Uploading

    async def _begin(
        self,
        transfer: Transfer,
        source: Source,
        lane: Lane,
        retry_for: float,
        on_progress: Callable[[int], None],
    ) -> RemoteBackup:
        backup_id = transfer.backup_id

        def progressed(sent: int) -> None:
            transfer.sent = sent
            on_progress(sent)
            self._on_change(self.active)

        self._active[backup_id] = transfer
        try:
            self._on_change(self.active)
            file = await self._upload(transfer, source, lane, retry_for, progressed)
            return await self._take_in(transfer, source, file)
        finally:
            del self._active[backup_id]
            self._on_change(self.active)

    async def _upload(
        self,
        transfer: Transfer,
        source: Source,
        lane: Lane,
        retry_for: float,
        on_progress: Callable[[int], None],
    ) -> File:
        """Upload a backup under the best name that is free."""
        backup_id = transfer.backup_id
        await self._leftovers.remove(backup_id)
        notes = UploadNotes(self._journal, transfer, source)
        taken: set[str] = set()
        while True:
            name = self._folder.free_name(transfer.backup, taken)
            notes.name = name
            try:
                return await upload(
                    self._client.retrying_for(retry_for),
                    source,
                    UploadCommit(self._folder.path_of(name), client_modified=notes.modified),
                    lane=lane,
                    session=notes.session,
                    on_progress=on_progress,
                    on_session=notes.keep_session,
                    on_expected=notes.expect,
                )
            except ConflictError:
                if len(taken) == _TRIES_OF_NAMES:
                    raise
            # A file lies there that no listing has shown.
            await self._folder.look(name, retry_for)
            if not await self._leftovers.remove(backup_id):
                _LOGGER.info("Another file is in Dropbox as %s", name)
                taken.add(name)
            transfer.committing = False

    async def _take_in(self, transfer: Transfer, source: Source, file: File) -> RemoteBackup:
        """Take note of the file that an upload has become, unless it is not wanted any more."""
        backup, protection = arrived(transfer.backup, source)
        backup_id = id_of(backup)
        remote = RemoteBackup(
            backup=replace(backup, size=file.size),
            file=remote_file(file),
            owner=owner_of(backup, self._instance_id),
            verified=dt_util.utcnow(),
            protection=protection,
        )
        notes = self._journal.notes
        if transfer.unwanted:
            await self._folder.delete_file(remote.file)
            notes.commits.pop(backup_id, None)
            self._journal.changed()
            raise DeletedMeanwhileError
        notes.commits.pop(backup_id, None)
        notes.dismissed.discard(backup_id)
        if remote.date < date_of(backup):
            notes.first_seen[backup_id] = remote.date
        notes.results.last_upload = dt_util.utcnow()
        self._journal.changed()
        try:
            await self._folder.insert(remote)
        except DropboxError as err:
            _tell_unwritten(err)
        if transfer.unwanted:
            raise DeletedMeanwhileError
        return remote


def _tell_unwritten(err: DropboxError) -> None:
    # The backup itself is safe; the next check finds it and writes the catalog.
    _LOGGER.info("The catalog could not be written, it will be later: %s", err)


async def hash_of(source: Source) -> str:
    """Return the content hash of what is to be uploaded."""
    digests: list[bytes] = []
    async for chunk in source.chunks(UploadPool().chunk_size):
        digests += await digests_of(chunk)
    return content_hash(digests)
