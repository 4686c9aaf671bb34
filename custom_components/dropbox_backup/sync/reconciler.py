"""The one worker that makes the plan true: list, plan, upload, apply retention, publish."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence, Set as AbstractSet
from dataclasses import replace
from functools import partial
import logging

from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import download
from ..dropbox_api.errors import DropboxError, FullError, NotFoundError
from .account import ask_space
from .attempts import Attempts
from .gate import Gate
from .journal import Journal
from .keeper import Keeper
from .local import LocalBackups
from .manners import Hold
from .models import BackupId, LocalBackup, Policy, id_of
from .plan import Plan, make_plan
from .problems import problem_of, silence_of
from .publisher import Publisher
from .remote import BackupFolder
from .retention import Verdict
from .schedule import Schedule
from .state import Problem, ProblemKind, State, Status
from .together import upload_in_order
from .uploader import Uploader
from .wishes import Outcomes, Run, Selection, Wish, outcomes_of

_LOGGER = logging.getLogger(__name__)

# One backup causes several events: let them come together.
_DEBOUNCE = 1.0
# Seconds for which one failing call is repeated. After that the worker waits and starts over, where
# it stopped.
_PATIENCE = 120.0
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
            instance_id=instance_id,
            on_change=on_change,
            on_sign_in_needed=on_sign_in_needed,
        )
        self.keeper = Keeper(folder, journal, policy, self.publisher, instance_id)
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
        self._attempts = Attempts(self.gate, self.uploader, self.publisher)
        self._schedule = Schedule(
            hass, policy.check_interval, partial(self.request, "time for a check")
        )
        self._requested = asyncio.Event()
        self._wishes: list[Wish] = []
        # What was asked for and could not be done: paused, or Dropbox was away.
        self._left: list[Wish] = []

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
        else:
            self._wishes.append(Wish(selection, done))
        self._requested.set()
        return done

    async def refresh(self, patience: float | None = None, *, adopt: bool = True) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`.

        `patience`: for how many seconds a call that fails is tried again, the worker's if not
        given. `adopt`: whether to read archives that nobody has written into the catalog.
        """
        patience = _PATIENCE if patience is None else patience
        notes = self._journal.notes
        try:
            await self._folder.refresh(patience, adopt=adopt)
        except NotFoundError:
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
            await self.refresh(_PATIENCE_OF_A_PERSON, adopt=False)

    async def unknown(self, backup_ids: Iterable[BackupId]) -> set[BackupId]:
        """Return those that are neither on this Home Assistant nor in Dropbox."""
        missing = {backup_id for backup_id in backup_ids if self._folder.get(backup_id) is None}
        if not missing:
            return missing
        found = await self._local.list()
        here = (*found.good, *(skipped.local for skipped in found.bad))
        return missing - {id_of(one.backup) for one in here}

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
        plan = await self._plan(found.good, self._left)
        return replace(plan, conflicts=(*found.bad, *plan.conflicts))

    async def apply_retention(self) -> tuple[Verdict, ...]:
        """Delete what retention says, on a person's behalf; return the verdicts.

        Raises `DropboxError`.
        """
        await self.refresh()
        self.keeper.confirm()
        return await self.keeper.apply_retention()

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

    async def pause_writing(self) -> None:
        """Leave Home Assistant's storage alone while it is packed into a backup."""
        await self._journal.pause()
        await self._folder.pause_writing()

    async def resume_writing(self) -> None:
        """Write down what happened meanwhile."""
        await self._folder.resume_writing()
        await self._journal.resume()

    @callback
    def forget_missing_folder(self) -> None:
        """Take note that the user knows: the folder had vanished."""
        self._journal.notes.folder_was_missing = False
        self._journal.changed()
        self.publisher.publish()

    @callback
    def confirm_retention(self) -> None:
        """Carry out the deletions that waited for the user's word."""
        self.keeper.confirm()
        self.request("retention confirmed")

    # The worker

    async def run(self) -> None:
        """Work until cancelled."""
        stop_watching = (self.publisher.watch_time(), self.gate.watch())
        try:
            while True:
                await self._requested.wait()
                await asyncio.sleep(_DEBOUNCE)
                self._requested.clear()
                # While a backup is being made an idle event is sure to follow, and with it a
                # request.
                if self._local.idle:
                    await self._reconcile()
        finally:
            for stop in (*stop_watching, self._schedule.cancel):
                stop()
            for wish in self._wishes:
                wish.done.cancel()

    async def _reconcile(self) -> None:
        run = Run([*self._wishes, *self._left])
        self._wishes = []
        self._journal.notes.results.last_attempt = dt_util.utcnow()
        self.publisher.publish(status=Status.CHECKING)
        try:
            await self._carry_out(run)
        except DropboxError as err:
            run.problem = problem_of(err)
            run.not_before = getattr(err, "retry_after", None) or 0.0
            if run.stopped_by is not None:
                self.uploader.failed(*run.stopped_by)
        except asyncio.CancelledError:
            # What was asked for is interrupted, not answered.
            for wish in run.wishes:
                wish.done.cancel()
            raise
        except Exception:
            # The worker must outlive its own bugs: what it left undone is tried again.
            _LOGGER.exception("Unexpected error while checking the backups")
            run.problem = Problem(ProblemKind.UPLOAD_FAILED, "unexpected error, see the log")
        for wish in run.wishes:
            wish.answer(outcomes_of(wish.selection, run, self._folder, self.state))
        self._left = run.left(self.state.waiting)
        self._finish(run)

    async def _carry_out(self, run: Run) -> None:
        await self.refresh()
        found = await self._local.list()
        run.local = found.good
        if found.silent:
            run.problem = silence_of(found.silent)
        else:
            self._prune_notes(run.local)
        plan = await self._plan(run.local, run.wishes)
        for one in plan.verify:
            await self._attempts.verify(run, one)
        if run.unproven:
            plan = await self._plan(run.local, run.wishes, run.unproven)
        self.publisher.refuse((*found.bad, *plan.conflicts))
        await self._upload(run, plan)
        verdicts = await self.keeper.apply_retention()
        if plan.upload or not all(verdict.keep for verdict in verdicts):
            self.publisher.publish(space=await ask_space(self._client))

    async def _upload(self, run: Run, plan: Plan) -> None:
        """Upload all that the plan wants. If Dropbox is full, what retention deletes in any case is
        deleted first.
        """
        upload = partial(self._attempts.upload, run, _PATIENCE)
        while True:
            space = await ask_space(self._client)
            self.publisher.publish(plan=plan, waiting=plan.upload, space=space)
            run.planned = True
            try:
                await upload_in_order(plan.upload, upload)
            except FullError:
                verdicts = await self.keeper.apply_retention()
                if all(verdict.keep for verdict in verdicts) or self.state.unconfirmed:
                    raise
                run.stopped_by = None
                plan = await self._plan(run.local, run.wishes, run.unproven)
            else:
                return

    # Deciding

    async def _plan(
        self,
        local: Sequence[LocalBackup],
        wishes: list[Wish],
        unproven: AbstractSet[BackupId] = frozenset(),
    ) -> Plan:
        """Return what to do now. With a thousand backups that takes a moment of a small board, so
        it is a thread's.
        """
        policy = self._policy
        if any(wish.selection.everything for wish in wishes):
            policy = replace(policy, upload_automatically=True)
        notes = self._journal.notes
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
                unproven=frozenset(unproven),
                wanted={one for wish in wishes for one in wish.selection.of(local)},
                begun=begun,
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
        self.publisher.publish(status=self.state.status_at_rest, next_check=min(due, default=None))

    @callback
    def _held_or_let_go(self, hold: Hold | None) -> None:
        self.publisher.publish()
        if hold is None:
            self.request("uploads may go on")
        # A run that is under way ends by itself.
        if self.state.at_rest:
            self._rest()
