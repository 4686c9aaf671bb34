"""The one worker that makes the plan true: list, plan, upload, apply retention, publish."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
import logging

from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import download
from ..dropbox_api.errors import DropboxError, UnreachableError
from .account import ask_space
from .attempts import Attempts
from .backup_settings import NOT_ENCRYPTED, retention_beats
from .consent import Answer
from .gate import Gate
from .journal import Journal
from .keeper import Keeper, Pruning
from .local import LocalBackups
from .lookup import Meant, look_up
from .manners import Hold
from .models import BackupId, LocalBackup, Policy, RemoteBackup, id_of
from .plan import Plan, make_plan
from .problems import problem_of, silence_of, text_of
from .publisher import Publisher
from .remote import BackupFolder
from .remote_files import FolderMissingError
from .schedule import Schedule
from .state import Problem, ProblemKind, State, Status
from .together import upload_in_order
from .unexpected import UnexpectedErrors
from .uploader import Uploader
from .wishes import Outcomes, Run, Selection, Wish, outcomes_of

_LOGGER = logging.getLogger(__name__)

# One backup causes several events: let them come together.
_DEBOUNCE = 1.0
# Seconds for which one failing call is repeated. After that the worker waits and starts over, where
# it stopped.
_PATIENCE = 120.0
# The same for the listing right before a deletion: somebody may wait for that.
_PATIENCE_BEFORE_DELETION = 60.0
# Seconds until the worker begins again after an error of its own.
_AFTER_BUG = 60.0
# Somebody looks at a page that does not open before.
_PATIENCE_OF_A_PERSON = 5.0


class Reconciler:
    """The worker of one config entry. Every cause ends in `request`."""

    def __init__(
        self,
        hass: HomeAssistant,
        client: DropboxClient,
        folder: BackupFolder,
        local: LocalBackups,
        journal: Journal,
        policy: Policy,
        *,
        instance_id: str,
        agent_id: str,
        on_change: Callable[[State], None],
        on_sign_in_needed: Callable[[], None],
    ) -> None:
        """Do nothing before `run`."""
        self._hass = hass
        self._client = client
        self._folder = folder
        self._local = local
        self._journal = journal
        self._policy = policy
        self._instance_id = instance_id
        self._agent_id = agent_id
        self.gate = Gate(hass, journal, policy, agent_id, self._held_or_let_go)
        self.publisher = Publisher(
            hass,
            folder,
            journal,
            self.gate,
            partial(local.settings_for, agent_id),
            instance_id=instance_id,
            on_change=on_change,
            on_sign_in_needed=on_sign_in_needed,
        )
        refresh = partial(self._refresh, _PATIENCE_BEFORE_DELETION, adopt=False)
        self.keeper = Keeper(folder, journal, policy, self.publisher, instance_id, refresh)
        self.uploader = Uploader(
            client,
            folder,
            local,
            journal,
            self.gate,
            self.publisher,
            instance_id=instance_id,
            agent_id=agent_id,
        )
        self._attempts = Attempts(self.gate, self.uploader, self.publisher, journal)
        self._schedule = Schedule(
            hass, policy.check_interval, partial(self.request, "time for a check")
        )
        self._requested = asyncio.Event()
        self._folder_has_news = False
        self._wishes: list[Wish] = []
        self._closed = False

    @property
    def state(self) -> State:
        """The newest snapshot."""
        return self.publisher.state

    @property
    def folder(self) -> BackupFolder:
        """The backup folder."""
        return self._folder

    # What others may ask for

    @callback
    def request(self, reason: str, selection: Selection | None = None) -> asyncio.Future[Outcomes]:
        """Ask for a run; return a future of what became of the selected backups, which need not be
        awaited.

        Requests that come together are one run. The run begins when Home Assistant is not busy with
        a backup.
        """
        _LOGGER.debug("Check requested: %s", reason)
        done: asyncio.Future[Outcomes] = self._hass.loop.create_future()
        if selection is None:
            done.set_result({})
        elif self._closed:
            self._put_off([Wish(selection, done)])
        else:
            self._wishes.append(Wish(selection, done))
        self._requested.set()
        return done

    @callback
    def apply(self, policy: Policy) -> None:
        """Work by other rules from now on. What is under way goes on, and keeps to them."""
        if policy == self._policy:
            return
        self._policy = policy
        self._schedule.check_interval = policy.check_interval
        self.keeper.apply(policy)
        self.gate.apply(policy)
        self.publisher.publish()
        self.request("options changed")

    async def refresh(self, within: float | None = None) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`.

        `within`: somebody waits, and it ends after so many seconds at the latest, whatever Dropbox
        does; what can wait is left to the worker then. Not given: the worker's patience for each
        call that fails.
        """
        try:
            async with asyncio.timeout(within):
                await self._refresh(_PATIENCE if within is None else within, adopt=within is None)
        except TimeoutError as err:
            raise UnreachableError("Dropbox did not answer in time") from err

    async def _refresh(self, patience: float, *, adopt: bool) -> None:
        notes = self._journal.notes
        try:
            await self._folder.refresh(patience, adopt=adopt)
        except FolderMissingError:
            if notes.folder_seen:
                _LOGGER.warning("The backup folder is gone from Dropbox; it is made again")
                notes.folder_was_missing = True
                self._journal.changed()
            await self._client.with_patience(patience).create_folder(self._folder.path)
            await self._folder.refresh(patience, adopt=adopt)
        if not notes.folder_seen or notes.results.watching_since is None:
            notes.folder_seen = True
            notes.results.watching_since = notes.results.watching_since or dt_util.utcnow()
            self._journal.changed()
        self.publisher.publish()

    async def ensure_listed(self) -> None:
        """List the backup folder if it is not known what lies there. Raises `DropboxError`."""
        if not self._folder.known:
            await self.refresh(within=_PATIENCE_OF_A_PERSON)

    def look_up_in_dropbox(self, given: Iterable[str]) -> Meant:
        """Return which backups are meant that are in Dropbox, or on their way; `given`: ids, or
        names.
        """
        under_way = self.uploader.under_way
        on_their_way = [one.backup for one in self.uploader.active]
        meant = look_up(given, [*(one.backup for one in self._folder.backups), *on_their_way])
        waiting = [BackupId(one) for one in meant.unknown if one in under_way]
        unknown = tuple(one for one in meant.unknown if one not in under_way)
        return replace(meant, ids=(*meant.ids, *waiting), unknown=unknown)

    async def look_up(self, given: Iterable[str]) -> Meant:
        """Return the same of those that are on this Home Assistant or in Dropbox."""
        given = tuple(given)
        if all(self._folder.get(BackupId(one)) for one in given):
            return Meant(tuple(dict.fromkeys(map(BackupId, given))))
        found = await self._local.list()
        here = [one.backup for one in (*found.good, *(skipped.local for skipped in found.bad))]
        return look_up(given, [*here, *(one.backup for one in self._folder.backups)])

    def download(self, backup_id: BackupId) -> AsyncGenerator[bytes]:
        """Return the archive as a stream, verified at its end.

        Raises `NotFoundError`; the stream raises `DropboxError`.
        """
        file = self._folder.find(backup_id).file
        return download(self._client, file.rev, file.size, file.content_hash)

    async def preview(self) -> Plan:
        """Return what a run would do now. Raises `DropboxError`."""
        await self.refresh()
        found = await self._local.list()
        plan = await self._plan(self._journal.notes.dated(found.good, dt_util.utcnow()))
        return replace(plan, conflicts=(*found.bad, *plan.conflicts))

    async def delete(self, backup_ids: Collection[BackupId], reason: str) -> list[RemoteBackup]:
        """Delete backups on a person's behalf, and stop their uploads; return what was in Dropbox.
        They are not uploaded again by themselves. `reason`: who asked for it, in words for people.

        Raises as `Keeper.delete`; what is on its way need not be there.
        """
        stopped = await self.uploader.drop(backup_ids)
        there = [one for one in backup_ids if one not in stopped or self._folder.get(one)]
        return await self.keeper.delete(there, reason) if there else []

    async def apply_retention(self, *, consent: bool) -> Pruning:
        """Delete what retention says, on a person's behalf; return what became of it. `consent`:
        however many that are.

        Raises `DropboxError`.
        """
        await self.refresh()
        return await self.keeper.apply_retention(consent=consent)

    async def back_up(self) -> None:
        """Make a backup in Home Assistant; it is uploaded when it is ready.

        Raises `HomeAssistantError`.
        """
        begun = dt_util.utcnow()
        await self._local.create(self._agent_id)
        self.request("back up now", Selection(since=begun))

    @callback
    def pause_uploads(self) -> None:
        """Hold uploads back until `resume_uploads`; what is under way stops gently."""
        self.gate.pause(paused=True)

    @callback
    def resume_uploads(self) -> None:
        """Let uploads go again."""
        self.gate.pause(paused=False)
        self.request("uploads are no longer paused")

    async def save(self) -> None:
        """Write down what must survive: before an unload."""
        await self._journal.save()

    @callback
    def forget_missing_folder(self) -> None:
        """Take note that the user knows: the folder had vanished."""
        self._journal.notes.folder_was_missing = False
        self._journal.changed()
        self.publisher.publish()

    @callback
    def leave_readable(self) -> None:
        """Take note that backups may go to Dropbox readable."""
        self._acknowledge(NOT_ENCRYPTED)

    @callback
    def leave_retention(self) -> None:
        """Take note that Home Assistant may delete what is to be kept, by its limits of today."""
        self._acknowledge(retention_beats(self._local.settings_for(self._agent_id)))

    def _acknowledge(self, concern: str) -> None:
        self._journal.notes.acknowledged.add(concern)
        self._journal.changed()
        self.publisher.publish()

    @callback
    def encrypt(self) -> None:
        """Have Home Assistant, and us, encrypt what goes to Dropbox, with the key that it has."""
        self._local.encrypt_for(self._agent_id)
        self.publisher.publish()

    @callback
    def keep_for_ever(self) -> None:
        """Have Home Assistant delete nothing from Dropbox by its own rules."""
        self._local.keep_for_ever(self._agent_id)
        self.publisher.publish()

    @callback
    def confirm_retention(self, shown: Answer | None = None) -> bool:
        """Carry out the deletions that the user was shown, or all that wait; return whether they
        can be: not if rules or folder have changed since.
        """
        answer = shown or self.keeper.answer_about(self.state.unconfirmed)
        valid = self.keeper.approve(answer)
        self.request("deletions confirmed")
        return valid

    @callback
    def decline_retention(self, shown: Answer | None = None) -> bool:
        """Keep what the user was shown, or all that waits, on top of all others; return whether
        that holds: not if rules or folder have changed since.
        """
        answer = shown or self.keeper.answer_about(self.state.unconfirmed)
        valid = self.keeper.decline(answer)
        self.request("deletions declined")
        return valid

    # The worker

    async def run(self) -> None:
        """Work until cancelled."""
        unexpected = UnexpectedErrors("checking the backups")
        self._folder.on_archives_read(self._archives_were_read)
        stop_watching = (self.publisher.watch_time(), self.gate.watch())
        try:
            while True:
                await self._requested.wait()
                await asyncio.sleep(_DEBOUNCE)
                try:
                    await self._look()
                except Exception as err:  # noqa: BLE001  (the worker outlives its own bugs)
                    unexpected.tell(err)
                    await asyncio.sleep(_AFTER_BUG)
                    self._requested.set()
        finally:
            self._closed = True
            for stop in (*stop_watching, self._schedule.cancel, self._folder.stop):
                stop()
            self._put_off(self._wishes)

    def _archives_were_read(self) -> None:
        self._folder_has_news = True
        self.request("archives in the folder were read")

    async def _look(self) -> None:
        # Before the question: while it is under way somebody may ask for another look.
        self._requested.clear()
        # While a backup is being made an idle event is sure to follow, and with it a request.
        if await self._local.ready():
            await self._reconcile()

    def _put_off(self, wishes: Iterable[Wish]) -> None:
        """Interrupt wishes of which nobody knows yet what they name."""
        notes = self._journal.notes
        begins = [one.selection.since for one in wishes if one.selection.since is not None]
        if notes.wanted_since is not None:
            begins.append(notes.wanted_since)
        notes.wanted_since = min(begins, default=None)
        self._interrupt(wishes)

    def _interrupt(self, wishes: Iterable[Wish]) -> None:
        """Tell those who wait that they wait in vain. What they named is uploaded all the same,
        when the config entry is loaded again.
        """
        notes = self._journal.notes
        for wish in wishes:
            notes.wanted |= wish.selection.ids
            notes.everything_wanted |= wish.selection.everything
            wish.done.cancel()
        self._journal.changed()

    async def _reconcile(self) -> None:
        run = Run()
        self._journal.notes.results.last_attempt = dt_util.utcnow()
        self.publisher.publish(working=Status.CHECKING)
        try:
            await self._carry_out(run)
        except DropboxError as err:
            run.problem = problem_of(err)
            run.not_before = getattr(err, "retry_after", None) or 0.0
            if run.stopped_by is not None:
                self.uploader.failed(*run.stopped_by)
        except asyncio.CancelledError:
            self._interrupt(run.wishes)
            raise
        except Exception:
            # The worker must outlive its own bugs: what it left undone is tried again.
            _LOGGER.exception("Unexpected error while checking the backups")
            run.problem = Problem(ProblemKind.UPLOAD_FAILED, "unexpected error, see the log")
        try:
            await self._answer(run, run.wishes)
            self._finish(run)
        except Exception:
            self._interrupt(run.wishes)
            raise

    async def _carry_out(self, run: Run) -> None:
        await self._look_for_work(run)
        self._folder_has_news = False
        await self.refresh()
        await self.uploader.remove_leftovers()
        if not run.silent:
            self._prune_notes(run.local)
        await self._work_off(run)
        if run.room.first is not None:
            backup, err = run.room.first
            self.uploader.failed(backup, err)
            run.problem = problem_of(err)
        self._forget_what_is_done(complete=not run.silent)
        before = self._folder.backups
        await self.keeper.apply_retention()
        if self._folder.backups != before or run.outcomes:
            await self._ask_space()

    async def _look_for_work(self, run: Run) -> None:
        """List the local backups, and take note of who asked for which of them."""
        self._requested.clear()
        wishes, self._wishes = self._wishes, []
        run.wishes += wishes
        found = await self._local.list()
        run.local = self._journal.notes.dated(found.good, dt_util.utcnow())
        run.damaged = found.bad
        notes = self._journal.notes
        for wish in wishes:
            named = wish.selection.of(run.local)
            run.try_again(named)
            notes.wanted |= named
            notes.everything_wanted |= wish.selection.everything
        if notes.wanted_since is not None:
            notes.wanted |= Selection(since=notes.wanted_since).of(run.local)
            # What is asked for may still lie in a location that is silent.
            notes.wanted_since = notes.wanted_since if found.silent else None
            self._journal.changed()
        if wishes:
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
        plan = await self._plan(run.local, run)
        self.publisher.refuse((*run.damaged, *plan.conflicts))
        verify = [one for one in plan.verify if id_of(one.backup) not in run.outcomes]
        upload = [one for one in plan.upload if id_of(one.backup) not in run.tried]
        run.pending = {id_of(one.backup) for one in (*verify, *upload)}
        run.planned = True
        self.publisher.publish(plan=plan, waiting=plan.upload)
        return verify, upload

    async def _look_again(self, run: Run) -> None:
        await self._look_for_work(run)
        if self._folder_has_news:
            self._folder_has_news = False
            await self.refresh()
        if run.to_be_pruned:
            await self._prune_between(run)

    @property
    def _has_news(self) -> bool:
        """Whether somebody asked for something, and it can be looked at now."""
        return self._requested.is_set() and self._local.idle

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
        run.room.free = await self._ask_space()
        return await upload_in_order(
            backups,
            partial(self._upload, run),
            lambda: self._has_news or run.room_to_be_made,
            at_least=at_least,
        )

    async def _upload(self, run: Run, one: LocalBackup) -> None:
        await self._attempts.upload(run, _PATIENCE, one)
        await self._answer_settled(run)

    async def _answer_settled(self, run: Run) -> None:
        await self._answer(run, [wish for wish in run.wishes if run.settled(wish.selection)])

    async def _answer(self, run: Run, wishes: Sequence[Wish]) -> None:
        """Tell what became of the backups to those who asked for them: of what is said to be in
        Dropbox, Dropbox is asked right before.
        """
        if not wishes:
            return
        run.wishes = [wish for wish in run.wishes if wish not in wishes]
        try:
            unsure = await self._unsure()
            for wish in wishes:
                wish.answer(outcomes_of(wish.selection, run, self._folder, self.state, unsure))
        except BaseException:
            self._interrupt(wishes)
            raise

    async def _unsure(self) -> str | None:
        """Ask Dropbox what lies there now; return why that is not known, if it does not say."""
        try:
            await self._folder.refresh(_PATIENCE_OF_A_PERSON, adopt=False)
        except DropboxError as err:
            return text_of(err)
        return None

    async def _prune_between(self, run: Run) -> None:
        """Delete what retention deletes in any case: then more may fit. A backlog that grows all
        the time must not put that off, nor may a failure stop the uploads.
        """
        before = self._folder.backups
        run.pruned = run.arrived
        try:
            await self.keeper.apply_retention()
        except Exception as err:  # noqa: BLE001  (tried again, and told, when the run ends)
            _LOGGER.info("Old backups could not be deleted, it is tried again: %s", text_of(err))
        if self._folder.backups != before:
            run.try_again(run.room.lacking)
            run.room.ask_again()

    async def _ask_space(self) -> int | None:
        """Publish how much room there is; return how many bytes are free, if Dropbox says it."""
        space = await ask_space(self._client)
        if space is None:
            return None
        self.publisher.publish(space=space)
        return space.free

    def _forget_what_is_done(self, *, complete: bool) -> None:
        """Forget what was asked for, unless it is still to be uploaded. `complete`: all locations
        of local backups answered.
        """
        notes = self._journal.notes
        waiting = {id_of(one.backup) for one in self.state.waiting}
        if notes.everything_wanted:
            notes.wanted |= waiting
            notes.everything_wanted = False
        if complete:
            notes.wanted &= waiting
        self._journal.changed()

    # Deciding

    async def _plan(self, local: Sequence[LocalBackup], run: Run | None = None) -> Plan:
        """Return what to do now. With a thousand backups that takes a moment of a small board, so
        it is a thread's.
        """
        policy, notes = self._policy, self._journal.notes
        if notes.everything_wanted:
            policy = replace(policy, upload_automatically=True)
        begun = {
            backup_id
            for backup_id, session in notes.sessions.items()
            if session.arrived or session.ahead
        }
        return await self._hass.async_add_executor_job(
            partial(
                make_plan,
                local,
                self._folder.backups,
                policy,
                self._instance_id,
                dismissed=frozenset(notes.dismissed),
                unproven=frozenset(run.unproven if run else ()),
                unlike=frozenset(run.unlike if run else ()),
                wanted=frozenset(notes.wanted),
                begun=begun,
                declined=self.keeper.declined,
            )
        )

    def _prune_notes(self, local: Sequence[LocalBackup]) -> None:
        here = {id_of(one.backup) for one in local}
        there = {id_of(one.backup) for one in self._folder.backups}
        # Home Assistant may be uploading what it has nowhere else.
        here |= {id_of(one.backup) for one in self.uploader.active}
        self._journal.notes.prune(here, there)

    # Telling

    def _finish(self, run: Run) -> None:
        if run.problem is None:
            self._journal.notes.results.last_check = dt_util.utcnow()
        self.publisher.take_problem(run.problem or self.state.unsolved)
        self._schedule.checked(run.problem, run.not_before)
        self._rest()

    def _rest(self) -> None:
        """Publish what the worker waits for."""
        due = [when for when in (self._schedule.due, self.gate.opens_at) if when is not None]
        self.publisher.publish(working=None, next_check=min(due, default=None))

    @callback
    def _held_or_let_go(self, hold: Hold | None) -> None:
        self.publisher.publish()
        if hold is None:
            self.request("uploads may go on")
        # A run that is under way ends by itself.
        if self.state.at_rest:
            self._rest()
