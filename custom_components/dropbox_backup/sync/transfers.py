"""Uploading one backup, whoever wants it: the worker, or Home Assistant itself. Never the same one
twice.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
import logging
from weakref import WeakValueDictionary

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ..dropbox_api.chunks import digests_of
from ..dropbox_api.client import DropboxClient, UploadCommit
from ..dropbox_api.content_hash import content_hash
from ..dropbox_api.errors import DropboxError, NotFoundError, RefusedError
from ..dropbox_api.upload import Source, UploadLimits, UploadSession, upload
from .journal import Journal
from .listing import remote_file
from .models import BackupId, RemoteBackup, date_of, id_of
from .plan import owner_of, same_backup
from .remote import BackupFolder
from .sources import EncryptedSource, arrived

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Transfer:
    """An upload in progress: `sent` of `size` bytes."""

    backup: AgentBackup
    size: int
    sent: int = 0


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
        self._locks: WeakValueDictionary[BackupId, asyncio.Lock] = WeakValueDictionary()
        self._active: dict[BackupId, Transfer] = {}

    @property
    def active(self) -> Collection[Transfer]:
        """The uploads in progress."""
        return self._active.values()

    async def upload(
        self,
        backup: AgentBackup,
        source: Source,
        *,
        limits: UploadLimits,
        patience: float,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> RemoteBackup:
        """Upload a backup unless it is there already; return it as it lies in Dropbox, verified.

        `patience`: for how many seconds a call that fails is tried again. Raises `DropboxError`
        (`StoppedError` if the limits are stopped), and what the source raises.
        """
        backup_id = id_of(backup)
        async with self._locks.setdefault(backup_id, asyncio.Lock()):
            if (there := await self._find(backup_id, patience)) is not None:
                return await self._compare(backup, source, there)
            transfer = self._active[backup_id] = Transfer(backup, source.size)

            def progressed(sent: int) -> None:
                transfer.sent = sent
                on_progress(sent)
                self._on_change(self.active)

            try:
                self._on_change(self.active)
                return await self._upload(backup, source, limits, patience, progressed)
            finally:
                del self._active[backup_id]
                self._on_change(self.active)

    async def verify(self, backup: AgentBackup, source: Source) -> RemoteBackup:
        """Compare a backup that is in Dropbox with `source`; return it, verified.

        Raises `NotFoundError` if it is gone, `RefusedError` if it is another one, and what the
        source raises.
        """
        backup_id = id_of(backup)
        async with self._locks.setdefault(backup_id, asyncio.Lock()):
            return await self._compare(backup, source, self._folder.find(backup_id))

    async def _find(self, backup_id: BackupId, patience: float) -> RemoteBackup | None:
        """Return the backup if it is in Dropbox. What is only remembered may be gone by now."""
        if self._folder.get(backup_id) is not None and self._folder.cursor is None:
            try:
                await self._folder.refresh(patience, adopt=False)
            except NotFoundError:
                return None  # it went with the whole folder
        return self._folder.get(backup_id)

    async def _upload(
        self,
        backup: AgentBackup,
        source: Source,
        limits: UploadLimits,
        patience: float,
        on_progress: Callable[[int], None],
    ) -> RemoteBackup:
        backup_id = id_of(backup)
        notes = self._journal.notes

        if isinstance(source, EncryptedSource):
            source.root = notes.key_root

        async def keep_session(session: UploadSession | None) -> None:
            if session is None:
                notes.sessions.pop(backup_id, None)
                self._journal.changed()
            else:
                notes.sessions[backup_id] = session
                await self._journal.save()

        async def expect(expected: str) -> None:
            # Should the answer get lost together with us, this proves whose the file is.
            notes.uploaded[backup_id] = expected
            notes.newly_verified.add(backup_id)
            await self._journal.save()

        metadata = await upload(
            self._client.with_patience(patience),
            source,
            UploadCommit(
                self._folder.path_for(backup),
                # Dropbox keeps whole seconds, in UTC.
                client_modified=date_of(backup).astimezone(dt_util.UTC).replace(tzinfo=None),
            ),
            limits=limits,
            session=notes.sessions.get(backup_id),
            on_progress=on_progress,
            on_session=keep_session,
            on_expected=expect,
        )
        backup, protection = arrived(backup, source)
        remote = RemoteBackup(
            backup=replace(backup, size=metadata.size),
            file=remote_file(metadata),
            owner=owner_of(backup, self._instance_id),
            verified=dt_util.utcnow(),
            protection=protection,
        )
        notes.dismissed.discard(backup_id)
        notes.results.last_upload = dt_util.utcnow()
        self._journal.changed()
        await self._record(remote)
        return remote

    async def _compare(
        self, backup: AgentBackup, source: Source, there: RemoteBackup
    ) -> RemoteBackup:
        """Return the backup that is in Dropbox if it is the same as the one to be uploaded."""
        if not same_backup(backup, there.backup):
            raise RefusedError("another backup with the same id is in Dropbox already")
        if await _hash_of(source) == there.file.content_hash:
            if there.verified is None:
                owner = there.owner or owner_of(backup, self._instance_id)
                there = replace(there, verified=dt_util.utcnow(), owner=owner)
                self._journal.notes.newly_verified.add(id_of(backup))
                self._journal.changed()
                await self._record(there)
            return there
        # Encrypting draws new keys every time: the same backup never gives the same bytes again.
        if (backup.protected or there.backup.protected) and there.verified is not None:
            return there
        raise RefusedError("the same backup with other content is in Dropbox already")

    async def _record(self, remote: RemoteBackup) -> None:
        try:
            await self._folder.insert(remote)
        except DropboxError as err:
            # The backup itself is safe; the next check finds it and writes the catalog.
            _LOGGER.info("The catalog could not be written, it will be later: %s", err)


async def _hash_of(source: Source) -> str:
    digests: list[bytes] = []
    async for chunk in source.chunks(UploadLimits().chunk_size):
        digests += await digests_of(chunk)
    return content_hash(digests)
