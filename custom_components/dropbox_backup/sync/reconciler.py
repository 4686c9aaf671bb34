"""The one worker that makes the plan true: list, plan, upload, apply retention, publish."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
import logging

from homeassistant.components.backup import AgentBackup, BackupNotFound
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.util import dt as dt_util

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import download
from ..dropbox_api.errors import (
    CorruptError,
    DropboxError,
    FullError,
    NotFoundError,
)
from .account import ask_space
from .alarm import size_text
from .journal import Journal
from .keeper import Keeper
from .local import LocalBackups, OpenStream, StreamSource
from .models import BackupId, LocalBackup, Missed, Policy, RemoteBackup, date_of, id_of
from .plan import Plan, Skipped, make_plan
from .problems import concerns_all, problem_of, text_of
from .publisher import BackupEvent, EventKind, Publisher
from .remote import BackupFolder
from .retention import Verdict
from .state import Problem, ProblemKind, State, Status
from .transfers import Transfers
from .wishes import Outcome, Outcomes, Run, Selection, Wish, outcomes_of

_LOGGER = logging.getLogger(__name__)

# One backup causes several events: let them come together.
_DEBOUNCE = 1.0
# Seconds for which one failing call is repeated. After that the worker waits and starts over, where
# it stopped.
_PATIENCE = 120.0
# Home Assistant may delete the only copy when an upload through its own backup fails: try long.
_PATIENCE_FOR_HOME_ASSISTANT = 3600.0
# Somebody looks at a page that does not open before.
_PATIENCE_OF_A_PERSON = 5.0
_RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 20, 30, 60))
# Asking costs one small request: be back soon after the network is.
_RETRY_UNREACHABLE_AFTER = timedelta(minutes=5)


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
        self._on_sign_in_needed = on_sign_in_needed
        self.publisher = Publisher(
            hass, folder, journal, policy, instance_id=instance_id, on_change=on_change
        )
        self.keeper = Keeper(folder, journal, policy, self.publisher, instance_id)
        self._transfers = Transfers(client, folder, journal, instance_id, self.publisher.progressed)
        self._requested = asyncio.Event()
        self._wishes: list[Wish] = []
        self._failures = 0
        self._cancel_timer: CALLBACK_TYPE | None = None

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

    async def refresh(self, patience: float = _PATIENCE, *, adopt: bool = True) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`.

        `adopt`: whether to read archives that nobody has written into the catalog.
        """
        notes = self._journal.notes
        try:
            await self._folder.refresh(patience, adopt=adopt)
        except NotFoundError:
            if notes.folder_seen:
                _LOGGER.warning("The backup folder is gone from Dropbox; it is made again")
                notes.folder_was_missing = True
                self._journal.changed()
            await self._client.create_folder(self._folder.path)
            await self._folder.refresh(patience, adopt=adopt)
        if not notes.folder_seen or notes.results.watching_since is None:
            notes.folder_seen = True
            notes.results.watching_since = notes.results.watching_since or dt_util.utcnow()
            self._journal.changed()
        self.publisher.publish()

    async def ensure_listed(self) -> None:
        """List the backup folder if that has not been done yet. Raises `DropboxError`."""
        if self._folder.cursor is None:
            await self.refresh(_PATIENCE_OF_A_PERSON, adopt=False)

    async def upload_for_home_assistant(
        self, backup: AgentBackup, open_stream: OpenStream, on_progress: Callable[[int], None]
    ) -> RemoteBackup:
        """Upload what Home Assistant hands out: the user chose Dropbox as a location.

        Raises `DropboxError`.
        """
        source = StreamSource(open_stream, backup.size)
        try:
            self.publisher.publish(space=await ask_space(self._client))
            self._check_room(backup.size)
            remote = await self._transfers.upload(
                backup, source, patience=_PATIENCE_FOR_HOME_ASSISTANT, on_progress=on_progress
            )
        except DropboxError as err:
            self._failed(backup, err)
            # Should Home Assistant have no other copy, nothing else would remember it.
            self._journal.notes.missed = Missed(backup.name, date_of(backup), text_of(err))
            self._take_problem(problem_of(err))
            raise
        self.publisher.tell(EventKind.UPLOADED, remote)
        return remote

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
        plan = self._plan(found.good, [])
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

    async def save(self) -> None:
        """Write down what must survive: before an unload."""
        await self._journal.save()

    async def pause_writing(self) -> None:
        """Leave Home Assistant's storage alone while it is packed into a backup."""
        await self._journal.pause()

    async def resume_writing(self) -> None:
        """Write down what happened meanwhile."""
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
        stop_watching = self.publisher.watch_time()
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
            stop_watching()
            if self._cancel_timer is not None:
                self._cancel_timer()
            for wish in self._wishes:
                wish.done.cancel()

    async def _reconcile(self) -> None:
        run = Run(self._wishes)
        self._wishes = []
        self._journal.notes.results.last_attempt = dt_util.utcnow()
        self.publisher.publish(status=Status.CHECKING)
        try:
            await self._carry_out(run)
        except DropboxError as err:
            run.problem = problem_of(err)
            run.not_before = getattr(err, "retry_after", None) or 0.0
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
        self._finish(run)

    async def _carry_out(self, run: Run) -> None:
        await self.refresh()
        found = await self._local.list()
        run.local = found.good
        if found.silent:
            reasons = "; ".join(f"{name}: {why}" for name, why in found.silent.items())
            run.problem = Problem(ProblemKind.UNREACHABLE, f"Some backups can't be read: {reasons}")
        else:
            self._prune_notes(run.local)
        plan = self._plan(run.local, run.wishes)
        self._refuse((*found.bad, *plan.conflicts))
        self.publisher.publish(plan=plan, waiting=plan.upload, space=await ask_space(self._client))
        for one in (*plan.upload, *plan.verify):
            await self._upload(one, run)
        verdicts = await self.keeper.apply_retention()
        if plan.upload or not all(verdict.keep for verdict in verdicts):
            self.publisher.publish(space=await ask_space(self._client))

    def _refuse(self, refused: tuple[Skipped, ...]) -> None:
        before = {one.local.backup.backup_id for one in self.state.refused}
        for one in refused:
            if one.local.backup.backup_id not in before:
                name = one.local.backup.name
                _LOGGER.warning("The backup %s can't be uploaded: %s", name, one.reason)
        self.publisher.publish(refused=refused)

    async def _upload(self, one: LocalBackup, run: Run) -> None:
        """Upload one backup, or verify it if it is there.

        What concerns only this one is noted and does not stop the others.
        """
        backup_id = id_of(one.backup)
        known = self._folder.get(backup_id) is not None
        try:
            backup, source = self._local.source(one, self._local.password_for(self._agent_id))
            if not known:
                self._check_room(backup.size)
                self.publisher.publish(status=Status.UPLOADING)
            remote = await self._transfers.upload(backup, source, patience=_PATIENCE)
        except BackupNotFound, FileNotFoundError:
            _LOGGER.info("%s is gone: it was deleted before it was uploaded", one.backup.name)
            run.outcomes[backup_id] = Outcome(one.backup.name, error="it was deleted meanwhile")
        except Exception as err:
            self._failed(one.backup, err)
            run.outcomes[backup_id] = Outcome(one.backup.name, error=text_of(err))
            if concerns_all(err):
                raise
            run.problem = problem_of(err)
            return
        else:
            self.publisher.tell(EventKind.VERIFIED if known else EventKind.UPLOADED, remote)
            run.outcomes[backup_id] = Outcome(one.backup.name, remote)
        waiting = tuple(other for other in self.state.waiting if other is not one)
        self.publisher.publish(waiting=waiting)

    def _check_room(self, size: int) -> None:
        """Raise `FullError` before anything is sent if it can't fit."""
        space = self.state.space
        if space is not None and space.free < size:
            raise FullError(f"{size_text(size)} are needed, {size_text(space.free)} are free")

    # Deciding

    def _plan(self, local: Sequence[LocalBackup], wishes: list[Wish]) -> Plan:
        policy = self._policy
        if any(wish.selection.everything for wish in wishes):
            policy = replace(policy, upload_automatically=True)
        return make_plan(
            local,
            self._folder.backups,
            policy,
            self._instance_id,
            dismissed=self._journal.notes.dismissed,
            wanted={one for wish in wishes for one in wish.selection.of(local)},
        )

    def _prune_notes(self, local: Sequence[LocalBackup]) -> None:
        """Forget what can't matter any more.

        What was deleted on purpose is never forgotten: it may lie on a network share that is away,
        and it would come back to Dropbox together with it.
        """
        notes = self._journal.notes
        here = {id_of(one.backup) for one in local}
        there = {id_of(one.backup) for one in self._folder.backups}
        for backup_id in notes.uploaded.keys() - here - there:
            del notes.uploaded[backup_id]
        for backup_id in notes.sessions.keys() - (here - there):
            del notes.sessions[backup_id]

    # Telling

    def _finish(self, run: Run) -> None:
        now = dt_util.utcnow()
        if run.problem is None:
            self._failures = 0
            self._journal.notes.results.last_check = now
            wait = self._policy.check_interval
        else:
            wait = _RETRY_AFTER[min(self._failures, len(_RETRY_AFTER) - 1)]
            if run.problem.kind is ProblemKind.UNREACHABLE:
                wait = min(wait, _RETRY_UNREACHABLE_AFTER)
            wait = max(wait, timedelta(seconds=run.not_before))
            self._failures += 1
        self._take_problem(run.problem)
        self.publisher.publish(status=self._resting_status(), next_check=now + wait)
        self._wake_at(now + wait)

    def _resting_status(self) -> Status:
        problem = self.state.problem
        if problem is not None and problem.kind is ProblemKind.UNREACHABLE:
            return Status.RETRYING
        if problem is not None or self.state.unconfirmed or self.state.refused:
            return Status.NEEDS_ATTENTION
        return Status.UP_TO_DATE

    def _take_problem(self, problem: Problem | None) -> None:
        self.publisher.take_problem(problem)
        if problem is not None and problem.kind is ProblemKind.SIGN_IN:
            self._on_sign_in_needed()

    def _failed(self, backup: AgentBackup, err: Exception) -> None:
        _LOGGER.info("%s was not uploaded: %s", backup.name, text_of(err))
        corrupt = isinstance(err, CorruptError)
        kind = EventKind.VERIFICATION_FAILED if corrupt else EventKind.UPLOAD_FAILED
        self.publisher.tell_of(
            BackupEvent(kind, backup.backup_id, backup.name, backup.size, text_of(err))
        )

    def _wake_at(self, when: datetime) -> None:
        if self._cancel_timer is not None:
            self._cancel_timer()

        @callback
        def wake(_now: datetime) -> None:
            self._cancel_timer = None
            self.request("time for a check")

        self._cancel_timer = async_track_point_in_utc_time(self._hass, wake, when)
