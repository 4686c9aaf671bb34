"""One run of the worker: list, plan, verify, upload, prune."""

from collections.abc import Iterable, Sequence
import logging

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ..codes import Reason
from ..dropbox_api.errors import DropboxError, FullError, NotFoundError
from ..dropbox_api.retry import RETRY_FOR, Waiter
from .attempt import DELETED_MEANWHILE, HELD_BACK, Failure, failure_of
from .decide.models import BackupId, LocalBackup, RemoteBackup, Trouble
from .decide.plan import Skipped
from .decide.upload_window import Origin
from .outcomes import Findings, RunOutcomes
from .report.problems import concerns_all, problem_of, silence_of, text_of, why_of
from .report.state import Problem, ProblemKind
from .requests import Outcome, Selection
from .room import Room
from .tools import Tools
from .upload.queue import upload_in_order

_LOGGER = logging.getLogger(__name__)


class Run:
    """What one run found, what it does, and what came of it."""

    def __init__(self, tools: Tools, earlier: Run | None = None) -> None:
        """Do nothing yet. `earlier`: the run before, which may have left something to do."""
        self._folder = tools.folder
        self._local_backups = tools.local
        self._journal = tools.journal
        self._inbox = tools.inbox
        self._gate = tools.gate
        self._store = tools.store
        self._planner = tools.planner
        self._transfers = tools.transfers
        self._uploader = tools.uploader
        self._pruner = tools.pruner
        self._folder_refresh = tools.folder_refresh
        # Still to be uploaded. Until there is a plan, those that the run before left.
        self.waiting: tuple[LocalBackup, ...] = earlier.waiting if earlier else ()
        # Can't be uploaded; until there is a plan, as above.
        self.refused: tuple[Skipped, ...] = earlier.refused if earlier else ()
        # What to tell the user in the end.
        self.problem: Problem | None = None
        # Seconds for which Dropbox asked us to wait.
        self.not_before = 0.0
        # The backups on this Home Assistant.
        self._local: tuple[LocalBackup, ...] = ()
        # Local backups that can't be uploaded.
        self._damaged: tuple[Skipped, ...] = ()
        # Not all locations of local backups answered when they were last asked.
        self._incomplete = False
        # What has yet to be done; None until that is known.
        self._pending: set[BackupId] | None = None
        self._outcomes = RunOutcomes(tools.folder, tools.inbox)
        # Failed for a reason of their own: not tried again in this run.
        self._tried: set[BackupId] = set()
        # In Dropbox, and could not be verified.
        self._unproven: set[BackupId] = set()
        # Of those, the ones that differ from the local backup.
        self._unlike: set[BackupId] = set()
        self._room = Room()
        # How many were uploaded or verified.
        self._arrived = 0
        # What `_arrived` was when retention was last applied; None if it was not yet.
        self._pruned: int | None = None
        # The backup, and the error with it that stopped everything.
        self._stopped_by: tuple[AgentBackup, Exception] | None = None

    async def carry_out(self) -> None:
        """Do all that is to be done now, and take note of the problem if something stops it."""
        try:
            await self._carry_out()
        except DropboxError as err:
            self.problem = problem_of(err)
            self.not_before = getattr(err, "retry_after", None) or 0.0
            if self._stopped_by is not None:
                self._uploader.failed(*self._stopped_by)
        except Exception:
            # The worker must outlive its own bugs: what it left undone is tried again.
            _LOGGER.exception("Unexpected error while checking the backups")
            self.problem = Problem(ProblemKind.UPLOAD_FAILED, Reason(Trouble.UNEXPECTED))

    async def _carry_out(self) -> None:
        await self._look_for_work()
        await self._refresh()
        await self._transfers.remove_leftovers()
        if not self._incomplete:
            self._prune_notes()
        await self._work_off()
        if self._room.first is not None:
            backup, err = self._room.first
            self._uploader.failed(backup, err)
            self.problem = problem_of(err)
        self._forget_what_is_done()
        before = self._folder.backups
        await self._pruner.apply_retention()
        if self._folder.backups != before or self._outcomes.known:
            await self._uploader.ask_space()

    # What is to be done

    async def _look_for_work(self) -> None:
        """List the local backups, and take note of who asked for which of them."""
        requests = self._inbox.take()
        self._outcomes.asked_by(requests)
        found = await self._local_backups.list()
        self._local = self._journal.notes.dated(found.good, dt_util.utcnow())
        self._damaged = found.bad
        notes = self._journal.notes
        for request in requests:
            named = request.selection.of(self._local)
            self._try_again(named)
            notes.wanted |= named
            notes.everything_wanted |= request.selection.everything
        if notes.wanted_since is not None:
            notes.wanted |= Selection(since=notes.wanted_since).of(self._local)
            # What is asked for may still lie in a location that is silent.
            notes.wanted_since = notes.wanted_since if found.silent else None
            self._journal.changed()
        if requests:
            self._journal.changed()
        self._incomplete = bool(found.silent)
        if found.silent:
            self.problem = silence_of(found.silent)

    async def _refresh(self) -> None:
        self._inbox.take_archives()
        await self._folder_refresh.refresh(RETRY_FOR[Waiter.WORKER], adopt=True)

    async def _work_off(self) -> None:
        """Verify and upload all that the plan wants. What somebody asks for meanwhile, and backups
        that are made meanwhile, come in between: after the upload that is under way.

        Whoever asks all the time holds up nothing: after a look for which no upload began, one does
        in any case; and what is asked when there is nothing to come in between is the next run's.
        """
        held_up = False
        while True:
            verify, upload = await self._to_do()
            advance = self._advance
            if verify:
                await self._verify_all(verify)
                held_up = False
            else:
                begun = await self._upload_all(upload, at_least=1 if held_up else 0)
                held_up = bool(upload) and not begun
            if self._has_news and (verify or held_up or self._advance > advance):
                await self._look_again()
            elif self._room_to_be_made:
                await self._prune_between()
            elif not verify:
                return

    async def _to_do(self) -> tuple[list[LocalBackup], list[LocalBackup]]:
        """Make and publish the plan; return what to verify, and what to upload after that."""
        plan = await self._planner.plan(self._local, unproven=self._unproven, unlike=self._unlike)
        self._refuse((*self._damaged, *plan.conflicts))
        verify = [one for one in plan.verify if one.backup_id not in self._outcomes.known]
        upload = [one for one in plan.upload if one.backup_id not in self._tried]
        self._pending = {one.backup_id for one in (*verify, *upload)}
        self.waiting = plan.upload
        self._store.publish(plan=plan, waiting=self.waiting, refused=self.refused)
        return verify, upload

    def _refuse(self, refused: tuple[Skipped, ...]) -> None:
        """Take note of what can't be uploaded, and tell the log once of each."""
        before = {one.local.backup_id for one in self.refused}
        for one in refused:
            if one.local.backup_id not in before:
                name = one.local.backup.name
                _LOGGER.warning("The backup %s can't be uploaded: %s", name, one.reason)
        self.refused = refused

    async def _look_again(self) -> None:
        await self._look_for_work()
        if self._inbox.take_archives():
            await self._refresh()
        if self._arrived > (self._pruned or 0):
            await self._prune_between()

    @property
    def _has_news(self) -> bool:
        """Whether somebody asked for something, and it can be looked at now."""
        return self._inbox.has_news and self._local_backups.idle

    @property
    def _advance(self) -> int:
        """How many backups need not be looked at again in this run."""
        return self._arrived + len(self._tried)

    @property
    def _room_to_be_made(self) -> bool:
        """Whether something did not fit, and not all that may be deleted for it has been."""
        return bool(self._room.lacking) and self._pruned != self._arrived

    # One backup after the other

    async def _verify_all(self, backups: Iterable[LocalBackup]) -> None:
        for one in backups:
            await self._verify(one)
            await self._answer_settled()
            if self._has_news:
                return

    async def _upload_all(self, backups: Sequence[LocalBackup], *, at_least: int = 0) -> int:
        """Upload until something comes in between, `at_least` so many; return how many began."""
        self._room.free = await self._uploader.ask_space()
        return await upload_in_order(
            backups,
            self._upload,
            lambda: self._has_news or self._room_to_be_made,
            at_least=at_least,
        )

    async def _verify(self, one: LocalBackup) -> None:
        """Prove that what is in Dropbox is what lies here, or note that it is unproven."""
        self._unproven.add(one.backup_id)
        try:
            remote = await self._uploader.verify(one)
        except NotFoundError as err:
            _LOGGER.debug("%s went while it was compared: %s", one.backup.name, err)
            remote = None
        except Exception as err:  # noqa: BLE001  (whoever keeps the backup has errors of its own)
            self._failed(one, err)
            return
        if remote is None:
            _LOGGER.info("What is in Dropbox as %s is not what is here", one.backup.name)
            self._unlike.add(one.backup_id)
        else:
            self._unproven.discard(one.backup_id)
            self._take_in(one, remote)

    async def _upload(self, one: LocalBackup) -> None:
        """Upload one backup, unless it is to be held back, or is too large for now."""
        origin = Origin.PERSON if self._journal.notes.is_wanted(one.backup_id) else Origin.WORKER
        if (reason := self._kept_from(one, origin)) is not None:
            self._note(one, Outcome(one.backup.name, error=reason))
        else:
            try:
                remote = await self._uploader.upload(
                    one, origin, RETRY_FOR[Waiter.WORKER], self._room.free
                )
            except Exception as err:  # noqa: BLE001  (whoever keeps the backup has errors of its own)
                gone = self._failed(one, err).gone
            else:
                gone = True
                self._take_in(one, remote)
            if gone:
                self.waiting = tuple(other for other in self.waiting if other is not one)
                self._store.publish(waiting=self.waiting)
        await self._answer_settled()

    def _kept_from(self, one: LocalBackup, origin: Origin) -> Reason | None:
        """Return why not to upload a backup now, None if it may go."""
        if origin is Origin.WORKER and one.backup_id in self._journal.notes.dismissed:
            return DELETED_MEANWHILE
        if self._gate.hold_of(origin) is not None:
            return HELD_BACK
        if not self._room.fits(one.backup.size):
            return why_of(self._room.lacks(one.backup))
        return None

    def _take_in(self, one: LocalBackup, remote: RemoteBackup) -> None:
        """Take note that a backup is in Dropbox."""
        self._note(one, Outcome(one.backup.name, remote))
        self._room.takes(remote.file.size)
        self._journal.notes.wanted.discard(one.backup_id)

    def _failed(self, one: LocalBackup, err: Exception) -> Failure:
        """Take note of what concerns only one backup; raise what would stop the others as well."""
        name = one.backup.name
        if isinstance(err, FullError):
            failure = Failure(why_of(self._room.refused(one.backup)))
        else:
            failure = failure_of(one, err)
        self._note(one, Outcome(name, error=failure.reason))
        if not failure.away and failure.problem is not None and concerns_all(err):
            # All that are under way fail for the same reason: it is told once.
            self._stopped_by = self._stopped_by or (one.backup, err)
            raise err
        if failure.problem is None or failure.away:
            _LOGGER.info("%s is not uploaded now: %s", name, text_of(err))
        if failure.problem is not None:
            self._tried.add(one.backup_id)
            self.problem = failure.problem
            if not failure.away:
                self._uploader.failed(one.backup, err)
        return failure

    def _note(self, one: LocalBackup, outcome: Outcome) -> None:
        self._outcomes.known[one.backup_id] = outcome
        if self._pending is not None:
            self._pending.discard(one.backup_id)
        self._arrived += outcome.remote is not None

    def _try_again(self, backup_ids: Iterable[BackupId]) -> None:
        """Forget that these failed: somebody asks for them anew, or there is room for them."""
        for backup_id in backup_ids:
            self._tried.discard(backup_id)
            self._outcomes.known.pop(backup_id, None)

    # Answers

    async def answer_all(self) -> None:
        """Tell what became of the backups to everybody who has no answer yet."""
        await self._outcomes.answer_all(self._findings)

    def interrupt(self) -> None:
        """Cancel the requests that have no answer yet. What they asked for is remembered."""
        self._outcomes.interrupt()

    async def _answer_settled(self) -> None:
        if self._pending is not None:
            await self._outcomes.answer_settled(self._pending, self._findings)

    @property
    def _findings(self) -> Findings:
        return Findings(self._local, self.waiting, self.refused, self.problem)

    # What is over

    async def _prune_between(self) -> None:
        """Delete what retention deletes in any case: then more may fit. A backlog that grows all
        the time must not put that off, nor may a failure stop the uploads.
        """
        before = self._folder.backups
        self._pruned = self._arrived
        try:
            await self._pruner.apply_retention()
        except Exception as err:  # noqa: BLE001  (tried again, and told, when the run ends)
            _LOGGER.info("Old backups could not be deleted, it is tried again: %s", text_of(err))
        if self._folder.backups != before:
            self._try_again(self._room.lacking)
            self._room.ask_again()

    def _forget_what_is_done(self) -> None:
        """Forget what was asked for, unless it is still to be uploaded, or lies in a location that
        did not answer.
        """
        notes = self._journal.notes
        waiting = {one.backup_id for one in self.waiting}
        if notes.everything_wanted:
            notes.wanted |= waiting
            notes.everything_wanted = False
        if not self._incomplete:
            notes.wanted &= waiting
        self._journal.changed()

    def _prune_notes(self) -> None:
        here = {one.backup_id for one in self._local}
        notes = self._journal.notes
        there = {one.backup_id for one in self._folder.backups}
        # Of some archives nobody could read yet which backup they are, only their content is known.
        contents = self._folder.contents
        there |= {one for one, content in notes.uploaded.items() if content in contents}
        # Home Assistant may be uploading what it has nowhere else.
        here |= {one.backup_id for one in self._transfers.active}
        notes.prune(here, there)
        automatic = self._gate.policy.upload_automatically
        coming = {one for one in here if automatic or notes.is_wanted(one)}
        notes.miss_what_is_nowhere(coming | there, self._journal.handing_out)
