"""Deletes from Dropbox: what a person asks for, and what retention says."""

import asyncio
from collections.abc import Iterable

from ..dropbox_api.errors import RefusedError
from ..dropbox_api.threads import in_thread
from .journal import Journal
from .models import BackupId, Policy, RemoteBackup, id_of
from .publisher import EventKind, Publisher
from .remote import BackupFolder
from .retention import Verdict, judge

# So many deletions are normal; more of them after a change of policy want to be confirmed.
_FEW = 3


class Keeper:
    """Everything that deletes goes through here, one after the other."""

    def __init__(
        self,
        folder: BackupFolder,
        journal: Journal,
        policy: Policy,
        publisher: Publisher,
        instance_id: str,
    ) -> None:
        """Delete nothing yet."""
        self._folder = folder
        self._journal = journal
        self._policy = policy
        self._publisher = publisher
        self._instance_id = instance_id
        self._one_at_a_time = asyncio.Lock()
        self._confirmed = False

    async def judge(self) -> tuple[Verdict, ...]:
        """Return what retention says of every backup in Dropbox as of the last refresh, newest
        first.
        """
        backups, others = self._folder.backups, (self._policy.keep, self._instance_id)
        verdicts = await in_thread(judge, backups, *others)
        if backups == self._folder.backups:
            return verdicts
        # Nothing is deleted on account of a backup that has gone meanwhile.
        return judge(self._folder.backups, *others)

    def confirm(self) -> None:
        """Let the next retention delete however many it wants: a person agreed."""
        self._confirmed = True
        self._publisher.publish(unconfirmed=())

    async def delete(self, backup_ids: Iterable[BackupId]) -> list[RemoteBackup]:
        """Delete backups on a person's behalf; return them. They are not uploaded again by
        themselves.

        Raises `NotFoundError` before anything is deleted if one is not there, `RefusedError` if one
        is pinned.
        """
        async with self._one_at_a_time:
            if self._folder.cursor is None:
                await self._folder.refresh(adopt=False)  # nothing is judged by what is remembered
            backups = [self._folder.find(backup_id) for backup_id in backup_ids]
            if pinned := [one.backup.name for one in backups if one.pinned]:
                raise RefusedError(f"{', '.join(pinned)}: pinned")
            ids = {id_of(one.backup) for one in backups}
            # First: what was deleted on purpose must not come back, whatever happens in between.
            self._journal.notes.dismissed |= ids
            self._journal.notes.wanted -= ids
            await self._journal.save()
            await self._delete(backups, dict.fromkeys(ids, "asked for"))
            return backups

    async def apply_retention(self) -> tuple[Verdict, ...]:
        """Delete what retention says, unless the user must confirm it first; return the verdicts.

        Raises `DropboxError`.
        """
        notes = self._journal.notes
        async with self._one_at_a_time:
            verdicts = await self.judge()
            doomed = [verdict for verdict in verdicts if not verdict.keep]
            known_policy = notes.confirmed_keep == self._policy.keep
            if len(doomed) > _FEW and not (known_policy or self._confirmed):
                self._publisher.publish(unconfirmed=tuple(one.backup for one in doomed))
                return verdicts
            if doomed:
                reasons = {id_of(one.backup.backup): one.reason for one in doomed}
                await self._delete([one.backup for one in reversed(doomed)], reasons)
                # A policy that has found nothing to delete yet has not been put to the test: old
                # backups may come into its reach with the next upload.
                notes.confirmed_keep = self._policy.keep
                self._journal.changed()
            self._confirmed = False
            self._publisher.publish(unconfirmed=())
            return verdicts

    async def _delete(self, backups: list[RemoteBackup], reasons: dict[BackupId, str]) -> None:
        try:
            for one in backups:
                await self._folder.delete(one)
                self._publisher.tell(EventKind.DELETED, one, reasons[id_of(one.backup)])
        finally:
            if backups:
                await self._folder.save_catalog()
            self._publisher.publish()
