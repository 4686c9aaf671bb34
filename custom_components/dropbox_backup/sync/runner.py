"""Carries out one run: list, plan, verify, upload, prune."""

from collections.abc import Iterable, Sequence
from functools import partial
import logging

from homeassistant.util import dt as dt_util

from ..codes import Reason
from ..dropbox_api.errors import DropboxError
from ..dropbox_api.retry import RETRY_FOR, Waiter
from .attempts import Attempts
from .decide.models import LocalBackup
from .decide.plan import Skipped
from .folder_refresh import FolderRefresh
from .inbox import Inbox
from .local.backups import LocalBackups
from .planner import Planner
from .pruner import Pruner
from .remote.folder import BackupFolder
from .report.problems import problem_of, silence_of, text_of
from .requests import Run, Selection, UploadRequest, outcomes_of
from .storage.journal import Journal
from .store import StateStore
from .upload.queue import upload_in_order
from .uploader import Uploader

_LOGGER = logging.getLogger(__name__)


class Runner:
    """What was found and done is in the `Run`."""

    def __init__(
        self,
        folder: BackupFolder,
        local: LocalBackups,
        journal: Journal,
        inbox: Inbox,
        store: StateStore,
        planner: Planner,
        attempts: Attempts,
        uploader: Uploader,
        pruner: Pruner,
        folder_refresh: FolderRefresh,
    ) -> None:
        """Do nothing yet."""
        self._folder = folder
        self._local = local
        self._journal = journal
        self._inbox = inbox
        self._store = store
        self._planner = planner
        self._attempts = attempts
        self._uploader = uploader
        self._pruner = pruner
        self._folder_refresh = folder_refresh
        self._folder_has_news = False

    def archives_were_read(self) -> None:
        """Look at the folder again: it is known of more archives what they are."""
        self._folder_has_news = True
        self._inbox.request("archives in the folder were read")

    async def carry_out(self, run: Run) -> None:
        """Do all that is to be done now. Raises `DropboxError` if something stops all of it, and
        the errors of its own bugs.
        """
        await self._look_for_work(run)
        self._folder_has_news = False
        await self._folder_refresh.refresh(RETRY_FOR[Waiter.WORKER], adopt=True)
        await self._uploader.remove_leftovers()
        if not run.silent:
            self._prune_notes(run.local)
        await self._work_off(run)
        if run.room.first is not None:
            backup, err = run.room.first
            self._uploader.failed(backup, err)
            run.problem = problem_of(err)
        self._forget_what_is_done(run)
        before = self._folder.backups
        await self._pruner.apply_retention()
        if self._folder.backups != before or run.outcomes:
            await self._uploader.ask_space()

    async def answer(self, run: Run, requests: Sequence[UploadRequest]) -> None:
        """Tell what became of the backups to those who asked for them: of what is said to be in
        Dropbox, Dropbox is asked right before.
        """
        if not requests:
            return
        run.requests = [request for request in run.requests if request not in requests]
        try:
            unsure = await self._unsure()
            for request in requests:
                request.answer(outcomes_of(request.selection, run, self._folder, unsure))
        except BaseException:
            self._inbox.interrupt(requests)
            raise

    async def _unsure(self) -> Reason | None:
        """Ask Dropbox what lies there now; return why that is not known, if it does not say."""
        try:
            await self._folder.refresh(RETRY_FOR[Waiter.PERSON], adopt=False)
        except DropboxError as err:
            return err.why
        return None

    async def _look_for_work(self, run: Run) -> None:
        """List the local backups, and take note of who asked for which of them."""
        requests = self._inbox.take()
        run.requests += requests
        found = await self._local.list()
        run.local = self._journal.notes.dated(found.good, dt_util.utcnow())
        run.damaged = found.bad
        notes = self._journal.notes
        for request in requests:
            named = request.selection.of(run.local)
            run.try_again(named)
            notes.wanted |= named
            notes.everything_wanted |= request.selection.everything
        if notes.wanted_since is not None:
            notes.wanted |= Selection(since=notes.wanted_since).of(run.local)
            # What is asked for may still lie in a location that is silent.
            notes.wanted_since = notes.wanted_since if found.silent else None
            self._journal.changed()
        if requests:
            self._journal.changed()
        run.silent = bool(found.silent)
        if found.silent:
            run.problem = silence_of(found.silent)

    async def _work_off(self, run: Run) -> None:
        """Verify and upload all that the plan wants. What somebody asks for meanwhile, and backups
        that are made meanwhile, come in between: after the upload that is under way.

        Whoever asks all the time holds up nothing: after a look for which no upload began, one does
        in any case; and what is asked when there is nothing to come in between is the next run's.
        """
        held_up = False
        while True:
            verify, upload = await self._to_do(run)
            advance = run.advance
            if verify:
                await self._verify(run, verify)
                held_up = False
            else:
                begun = await self._upload_all(run, upload, at_least=1 if held_up else 0)
                held_up = bool(upload) and not begun
            if self._has_news and (verify or held_up or run.advance > advance):
                await self._look_again(run)
            elif run.room_to_be_made:
                await self._prune_between(run)
            elif not verify:
                return

    async def _to_do(self, run: Run) -> tuple[list[LocalBackup], list[LocalBackup]]:
        """Make and publish the plan; return what to verify, and what to upload after that."""
        plan = await self._planner.plan(run.local, unproven=run.unproven, unlike=run.unlike)
        self._refuse(run, (*run.damaged, *plan.conflicts))
        verify = [one for one in plan.verify if one.backup_id not in run.outcomes]
        upload = [one for one in plan.upload if one.backup_id not in run.tried]
        run.pending = {one.backup_id for one in (*verify, *upload)}
        run.planned = True
        run.waiting = plan.upload
        self._store.publish(plan=plan, waiting=run.waiting, refused=run.refused)
        return verify, upload

    def _refuse(self, run: Run, refused: tuple[Skipped, ...]) -> None:
        """Take note of what can't be uploaded, and tell the log once of each."""
        before = {one.local.backup_id for one in run.refused}
        for one in refused:
            if one.local.backup_id not in before:
                name = one.local.backup.name
                _LOGGER.warning("The backup %s can't be uploaded: %s", name, one.reason)
        run.refused = refused

    async def _look_again(self, run: Run) -> None:
        await self._look_for_work(run)
        if self._folder_has_news:
            self._folder_has_news = False
            await self._folder_refresh.refresh(RETRY_FOR[Waiter.WORKER], adopt=True)
        if run.to_be_pruned:
            await self._prune_between(run)

    @property
    def _has_news(self) -> bool:
        """Whether somebody asked for something, and it can be looked at now."""
        return self._inbox.has_news and self._local.idle

    async def _verify(self, run: Run, backups: Iterable[LocalBackup]) -> None:
        for one in backups:
            await self._attempts.verify(run, one)
            await self._answer_settled(run)
            if self._has_news:
                return

    async def _upload_all(
        self, run: Run, backups: Sequence[LocalBackup], *, at_least: int = 0
    ) -> int:
        """Upload until something comes in between, `at_least` so many; return how many began."""
        run.room.free = await self._uploader.ask_space()
        return await upload_in_order(
            backups,
            partial(self._upload, run),
            lambda: self._has_news or run.room_to_be_made,
            at_least=at_least,
        )

    async def _upload(self, run: Run, one: LocalBackup) -> None:
        await self._attempts.upload(run, RETRY_FOR[Waiter.WORKER], one)
        await self._answer_settled(run)

    async def _answer_settled(self, run: Run) -> None:
        await self.answer(
            run, [request for request in run.requests if run.settled(request.selection)]
        )

    async def _prune_between(self, run: Run) -> None:
        """Delete what retention deletes in any case: then more may fit. A backlog that grows all
        the time must not put that off, nor may a failure stop the uploads.
        """
        before = self._folder.backups
        run.pruned = run.arrived
        try:
            await self._pruner.apply_retention()
        except Exception as err:  # noqa: BLE001  (tried again, and told, when the run ends)
            _LOGGER.info("Old backups could not be deleted, it is tried again: %s", text_of(err))
        if self._folder.backups != before:
            run.try_again(run.room.lacking)
            run.room.ask_again()

    def _forget_what_is_done(self, run: Run) -> None:
        """Forget what was asked for, unless it is still to be uploaded, or lies in a location that
        did not answer.
        """
        notes = self._journal.notes
        waiting = {one.backup_id for one in run.waiting}
        if notes.everything_wanted:
            notes.wanted |= waiting
            notes.everything_wanted = False
        if not run.silent:
            notes.wanted &= waiting
        self._journal.changed()

    def _prune_notes(self, local: Sequence[LocalBackup]) -> None:
        here = {one.backup_id for one in local}
        there = {one.backup_id for one in self._folder.backups}
        # Home Assistant may be uploading what it has nowhere else.
        here |= {one.backup_id for one in self._uploader.active}
        self._journal.notes.prune(here, there)
        self._journal.notes.miss_what_is_nowhere(here | there, self._journal.handing_out)
