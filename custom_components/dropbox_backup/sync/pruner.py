"""Deletes from Dropbox: what a person asks for, and what retention says."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
import logging

from ..codes import Code, Reason
from ..dropbox_api.errors import ConflictError, RefusedError
from ..dropbox_api.threads import in_thread
from .decide.consent import Answer, Revision, decide, revision_of
from .decide.file_names import is_our_name
from .decide.models import BackupId, Policy, RemoteBackup, Trouble
from .decide.retention import Verdict, counts, judge
from .remote.folder import BackupFolder
from .report.events import BackupEvent, EventKind, Events
from .storage.journal import Journal
from .store import StateStore

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pruning:
    """What became of retention: the verdicts, and, of those to be deleted, which were, and which
    wait for consent; newest first.
    """

    verdicts: tuple[Verdict, ...]
    deleted: tuple[RemoteBackup, ...] = ()
    unconfirmed: tuple[RemoteBackup, ...] = ()


class Asked(Code):
    """Who asked to delete a backup."""

    BY_ACTION = "by_action"
    BY_HOME_ASSISTANT = "by_home_assistant"


class OwnCopyError(Exception):
    """A file that a person named is not to be deleted unless a person says so."""

    def __init__(self, file_name: str) -> None:
        """Keep the name of the file."""
        super().__init__(file_name)
        self.file_name = file_name


class Pruner:
    """Everything that deletes goes through here, one after the other, and right after Dropbox was
    asked what lies there.
    """

    def __init__(
        self,
        folder: BackupFolder,
        journal: Journal,
        policy: Policy,
        store: StateStore,
        events: Events,
        instance_id: str,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        """Delete nothing yet. `refresh` lists the folder."""
        self._folder = folder
        self._journal = journal
        self._policy = policy
        self._store = store
        self._events = events
        self._instance_id = instance_id
        self._refresh = refresh
        self._one_at_a_time = asyncio.Lock()
        # Would be deleted by the rules, and a person has to say whether.
        self._unconfirmed: tuple[RemoteBackup, ...] = ()

    def apply(self, policy: Policy) -> None:
        """Judge by other rules from now on. A question asked under the old ones is withdrawn."""
        before, self._policy = self._policy, policy
        if policy.keep != before.keep:
            self._ask_about(())

    async def judge(self) -> tuple[Verdict, ...]:
        """Return what retention says of every backup in Dropbox as of the last refresh, newest
        first.
        """
        facts = self._facts()
        verdicts = await in_thread(judge, *facts)
        # Judge again if backups or rules have changed while the verdicts were computed.
        return verdicts if facts == self._facts() else judge(*self._facts())

    def _facts(self) -> tuple[tuple[RemoteBackup, ...], int, str, frozenset[Revision]]:
        return self._folder.backups, self._policy.keep, self._instance_id, self.declined

    # A person's answers

    @property
    def declined(self) -> frozenset[Revision]:
        """What a person chose to keep, under the rules and in the folder of today."""
        declined = self._journal.notes.declined
        on_same_terms = declined is not None and declined.on_same_terms(self.answer_about(()))
        return declined.revisions if declined and on_same_terms else frozenset()

    @property
    def unconfirmed(self) -> Answer:
        """What the open question is about: the terms that an answer would be bound to."""
        return self.answer_about(self._unconfirmed)

    def answer_about(self, backups: Iterable[RemoteBackup]) -> Answer:
        """Return what an answer to the question about these backups holds for."""
        revisions = frozenset(revision_of(one.file) for one in backups)
        return Answer(self._policy.keep, self._folder.path, revisions)

    def approve(self, answer: Answer) -> bool:
        """Let the next pruning delete what a person was shown; return whether that still holds."""
        if not answer.on_same_terms(self.answer_about(())):
            return False
        notes = self._journal.notes
        notes.approved = answer.joined_to(notes.approved)
        self._answered(answer)
        return True

    def decline(self, answer: Answer) -> bool:
        """Keep what a person was shown, on top of all others; return whether that still holds."""
        if not answer.on_same_terms(self.answer_about(())):
            return False
        notes = self._journal.notes
        earlier = notes.declined.revisions if notes.declined else frozenset()
        # What was declined under other rules must still not be deleted without asking.
        notes.declined = Answer(answer.keep, answer.folder, answer.revisions | earlier)
        self._answered(answer)
        return True

    def _answered(self, answer: Answer) -> None:
        self._journal.changed()
        self._ask_about(
            one for one in self._unconfirmed if revision_of(one.file) not in answer.revisions
        )

    def _ask_about(self, unconfirmed: Iterable[RemoteBackup]) -> None:
        self._unconfirmed = tuple(unconfirmed)
        self._store.publish(unconfirmed=self._unconfirmed)

    # Deleting

    async def delete(
        self,
        backup_ids: Iterable[BackupId],
        reason: Reason,
        *,
        spare_own_copies: bool = False,
    ) -> list[RemoteBackup]:
        """Delete backups on a person's behalf; return them. They are not uploaded again by
        themselves. `reason`: who asked for it. `spare_own_copies`: who asks
        may be no person.

        Raises before anything is deleted: `NotFoundError` if one is not there, `RefusedError` if
        one is pinned, `OwnCopyError` if one is a person's own copy and is to be spared. And other
        `DropboxError`s.
        """
        async with self._one_at_a_time:
            await self._refresh()
            backups = [self._folder.find(backup_id) for backup_id in backup_ids]
            if pinned := [one.backup.name for one in backups if one.pinned]:
                raise RefusedError(Reason.of(Trouble.PINNED_BACKUPS, backups=tuple(pinned)))
            if spare_own_copies and (own := [one for one in backups if self._is_own_copy(one)]):
                raise OwnCopyError(own[0].file.name)
            # Note this first: what was deleted on purpose must not be uploaded again.
            ids = {one.backup_id for one in backups}
            self._journal.notes.dismissed |= ids
            self._journal.notes.wanted -= ids
            await self._journal.save()
            try:
                for one in backups:
                    await self._delete(one, reason)
                await self._delete_copies(ids, reason)
            finally:
                await self._deleted(backups)
            return backups

    def _is_own_copy(self, one: RemoteBackup) -> bool:
        return one.owner == self._instance_id and not is_our_name(one.file.name, one.backup)

    async def apply_retention(self, *, consent: bool = False) -> Pruning:
        """Delete what retention says, as far as it needs no consent or has it.

        `consent`: a person agrees to all that is found now. Raises `DropboxError`; what is left
        then is the next pruning's.
        """
        async with self._one_at_a_time:
            verdicts = await self.judge()
            if _to_delete(verdicts):
                # Hours may have passed since the last listing.
                await self._refresh()
                verdicts = await self.judge()
            to_delete = _to_delete(verdicts)
            if consent:
                self.approve(self.answer_about(to_delete))
            decision = decide(
                to_delete,
                newly_verified=len(self._newly_verified()),
                approved=self._approved(),
                once_declined=self._once_declined(),
            )
            self._ask_about(decision.unconfirmed)
            if not decision.unconfirmed:
                self._spend(self.answer_about(decision.approved))
            answered = self._approved()
            if decision.approved:
                # Before anything is deleted: after a power cut the same new backup must not pay
                # for as many again.
                await self._journal.save()
            deleted = await self._prune(decision.approved)
            self._carried_out(answered)
            return Pruning(verdicts, deleted, decision.unconfirmed)

    async def _delete_copies(self, backup_ids: Iterable[BackupId], reason: Reason) -> None:
        """Delete what else lies under a name that we gave to these backups: who deletes one must
        not find a cut-off copy of it in its place. What a person has named stays.
        """
        for backup_id in backup_ids:
            while (copy := self._folder.get(backup_id)) is not None:
                if copy.pinned or not is_our_name(copy.file.name, copy.backup):
                    break
                await self._delete(copy, reason)

    async def _prune(self, approved: tuple[RemoteBackup, ...]) -> tuple[RemoteBackup, ...]:
        """Delete those of the approved that are still to be deleted by the listing right before,
        the oldest first; return them.
        """
        deleted: list[RemoteBackup] = []
        try:
            for one in reversed(approved):
                if one is not approved[-1]:
                    await self._refresh()
                reason = await self._reason_to_delete(one)
                if reason is None:
                    continue
                try:
                    await self._delete(one, reason)
                except ConflictError as err:
                    # Another file has taken its place since the listing: judged next time.
                    _LOGGER.info("%s was replaced, and is not deleted: %s", one.file.name, err)
                else:
                    deleted.append(one)
        finally:
            await self._deleted(deleted)
        return tuple(reversed(deleted))

    async def _reason_to_delete(self, one: RemoteBackup) -> Reason | None:
        """Return why this very file is to be deleted by the newest listing, None if it is not."""
        for verdict in await self.judge():
            if revision_of(verdict.backup.file) == revision_of(one.file) and not verdict.keep:
                return verdict.reason
        return None

    async def _delete(self, one: RemoteBackup, reason: Reason) -> None:
        await self._folder.delete(one)
        self._events.emit(BackupEvent.of(EventKind.DELETED, one, reason))

    async def _deleted(self, backups: list[RemoteBackup]) -> None:
        if backups:
            await self._folder.save_catalog()
        self._store.publish()

    # What pays for deletions

    def _newly_verified(self) -> set[BackupId]:
        """Return what was verified since the last pruning, and is there."""
        return {
            backup_id
            for backup_id in self._journal.notes.newly_verified
            if (there := self._folder.get(backup_id)) is not None
            and counts(there, self._instance_id)
        }

    def _approved(self) -> frozenset[Revision]:
        approved = self._journal.notes.approved
        on_same_terms = approved is not None and approved.on_same_terms(self.answer_about(()))
        return approved.revisions if approved and on_same_terms else frozenset()

    def _once_declined(self) -> frozenset[Revision]:
        declined = self._journal.notes.declined
        return declined.revisions if declined else frozenset()

    def _spend(self, answer: Answer) -> None:
        """Take note of what is going to be deleted, and that it has been paid for: should that be
        interrupted it goes on without asking, and nothing pays twice.
        """
        notes = self._journal.notes
        if answer.revisions or notes.newly_verified:
            notes.newly_verified -= self._newly_verified()
            notes.approved = answer
            self._journal.changed()

    def _carried_out(self, answered: frozenset[Revision]) -> None:
        """Forget what was approved: whatever of it is left is not to be deleted any more. What
        somebody approved meanwhile is the next pruning's.
        """
        if self._journal.notes.approved is not None:
            left = self._approved() - answered
            self._journal.notes.approved = (
                replace(self.answer_about(()), revisions=left) if left else None
            )
            self._journal.changed()


def _to_delete(verdicts: Iterable[Verdict]) -> tuple[RemoteBackup, ...]:
    return tuple(verdict.backup for verdict in verdicts if not verdict.keep)
