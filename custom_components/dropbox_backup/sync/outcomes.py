"""What became of each backup in one run, and the answers to those who asked for some of them."""

from collections.abc import Collection, Iterable, Set as AbstractSet
from dataclasses import dataclass

from ..codes import Reason
from ..dropbox_api.errors import DropboxError
from ..dropbox_api.retry import RETRY_FOR, Waiter
from .attempt import DELETED_MEANWHILE
from .decide.models import BackupId, LocalBackup, Trouble
from .decide.plan import Skipped
from .inbox import Inbox
from .remote.folder import BackupFolder
from .report.state import Problem
from .requests import Outcome, Outcomes, Selection, UploadRequest


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run knows by now of the backups on this Home Assistant."""

    local: tuple[LocalBackup, ...]
    # Still to be uploaded.
    waiting: tuple[LocalBackup, ...]
    # Can't be uploaded.
    refused: tuple[Skipped, ...]
    # What stopped the run, or a backup in it.
    problem: Problem | None


class RunOutcomes:
    """The outcomes of one run. `known`: of what was tried in it."""

    def __init__(self, folder: BackupFolder, inbox: Inbox) -> None:
        """Nothing was tried, and nobody asked."""
        self._folder = folder
        self._inbox = inbox
        self._requests: list[UploadRequest] = []
        self.known: Outcomes = {}

    def asked_by(self, requests: Iterable[UploadRequest]) -> None:
        """Take note of requests that are to be answered in this run."""
        self._requests += requests

    def interrupt(self) -> None:
        """Cancel the requests that have no answer yet. What they asked for is remembered."""
        self._inbox.interrupt(self._requests)

    async def answer_all(self, findings: Findings) -> None:
        """Answer everybody who has no answer yet."""
        await self._answer(self._requests, findings)

    async def answer_settled(self, pending: AbstractSet[BackupId], findings: Findings) -> None:
        """Answer those of whose selections nothing is still to be done. `pending`: what has yet to
        be verified or uploaded.
        """
        settled = [
            request
            for request in self._requests
            if not request.selection.everything
            and pending.isdisjoint(request.selection.of(findings.local))
        ]
        await self._answer(settled, findings)

    async def _answer(self, requests: Collection[UploadRequest], findings: Findings) -> None:
        """Of what is said to be in Dropbox, Dropbox is asked right before."""
        if not requests:
            return
        self._requests = [request for request in self._requests if request not in requests]
        try:
            unsure = await self._unsure()
            for request in requests:
                request.answer(self._of(request.selection, findings, unsure))
        except BaseException:
            self._inbox.interrupt(list(requests))
            raise

    async def _unsure(self) -> Reason | None:
        """Ask Dropbox what lies there now; return why that is not known, if it does not say."""
        try:
            await self._folder.refresh(RETRY_FOR[Waiter.PERSON], adopt=False)
        except DropboxError as err:
            return err.why
        return None

    def _of(self, selection: Selection, findings: Findings, unsure: Reason | None) -> Outcomes:
        """Return what became of the backups that somebody asked for. `unsure`: why it is not known
        what is in Dropbox now; then only what was uploaded in this run counts as being there.
        """
        chosen = selection.of(findings.local)
        if selection.everything:
            chosen = {*self.known, *(one.backup_id for one in findings.waiting)}
        names = {one.backup_id: one.backup.name for one in findings.local}
        refused = {one.local.backup_id: one for one in findings.refused}

        def outcome(backup_id: BackupId) -> Outcome:
            remote = self._folder.get(backup_id)
            if (found := self.known.get(backup_id)) is not None:
                there = remote is not None and remote.verified is not None
                if found.remote is None or there or unsure is not None:
                    return found
                return Outcome(found.name, error=DELETED_MEANWHILE)
            if remote is not None and remote.verified is not None:
                if unsure is not None:
                    return Outcome(remote.backup.name, error=unsure)
                return Outcome(remote.backup.name, remote)
            if (skipped := refused.get(backup_id)) is not None:
                return Outcome(skipped.local.backup.name, error=skipped.reason)
            name = names.get(backup_id, backup_id)
            if findings.problem is not None:
                return Outcome(name, error=findings.problem.reason)
            return Outcome(name, error=Reason(Trouble.NO_SUCH_BACKUP))

        return {backup_id: outcome(backup_id) for backup_id in chosen}
