"""The one worker that makes the plan true: list, plan, upload, apply retention, publish."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
import logging

from homeassistant.components.backup import AgentBackup, BackupAgentError
from homeassistant.components.backup.util import EncryptedBackupStreamer
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
    RefusedError,
    SignInError,
)
from ..dropbox_api.upload import Source
from .journal import Journal
from .local import EncryptedSource, LocalBackups, OpenStream, StreamSource
from .models import BackupId, LocalBackup, Policy, RemoteBackup, date_of, id_of
from .plan import Plan, make_plan
from .remote import BackupFolder
from .retention import Verdict, judge
from .state import Problem, ProblemKind, Progress, Space, State, Status
from .transfers import Transfers

_LOGGER = logging.getLogger(__name__)

# One backup causes several events: let them come together.
_DEBOUNCE = 1.0
_PROGRESS_INTERVAL = 1.0
# Seconds for which one failing call is repeated. After that the worker waits and starts over, where
# it stopped.
_PATIENCE = 120.0
# Home Assistant may delete the only copy when an upload through its own backup fails: try long.
_PATIENCE_FOR_HOME_ASSISTANT = 3600.0
_RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 20, 30, 60))
# So many deletions are normal; more of them after a change of policy want to be confirmed.
_FEW = 3
# Dropbox's reasons why a folder can't be written to.
_NOT_WRITABLE = (
    "no_write_permission",
    "access_restricted",
    "team_folder",
    "conflict/file_ancestor",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which local backups somebody asked to upload: some by id, the newest, or all that the policy
    wants.
    """

    ids: frozenset[BackupId] = frozenset()
    latest: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one backup that was asked for: it is in Dropbox, or the error says why not."""

    name: str
    remote: RemoteBackup | None = None
    error: str | None = None


type Outcomes = dict[BackupId, Outcome]


@dataclass(slots=True)
class _Wish:
    selection: Selection
    done: asyncio.Future[Outcomes]


@dataclass(slots=True)
class _Run:
    """What one run of the worker found and did."""

    local: list[LocalBackup] = field(default_factory=list)
    wishes: list[_Wish] = field(default_factory=list)
    outcomes: Outcomes = field(default_factory=dict)
    problem: Problem | None = None


class Reconciler:
    """Owns the state of one config entry. Everything that happens goes through `request`."""

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
        """Nothing happens before `run`."""
        self._hass = hass
        self._client = client
        self._folder = folder
        self._local = local
        self._journal = journal
        self._policy = policy
        self._instance_id = instance_id
        self._agent_id = agent_id
        self._on_change = on_change
        self._on_sign_in_needed = on_sign_in_needed
        self._transfers = Transfers(client, folder, journal, instance_id, self._progressed)
        self._requested = asyncio.Event()
        self._wishes: list[_Wish] = []
        self._changing = asyncio.Lock()
        self._failures = 0
        self._confirmed = False
        self._published_at = 0.0
        self._cancel_timer: CALLBACK_TYPE | None = None
        results = journal.notes.results
        self._state = State(
            status=Status.CHECKING,
            instance_id=instance_id,
            last_attempt=results.last_attempt,
            last_check=results.last_check,
            last_upload=results.last_upload,
        )

    @property
    def state(self) -> State:
        """The newest snapshot."""
        return self._state

    @property
    def folder(self) -> BackupFolder:
        """The backup folder."""
        return self._folder

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What retention says of every backup in Dropbox as of the last refresh, newest first."""
        return judge(self._folder.backups, self._policy.keep, self._instance_id)

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
            self._wishes.append(_Wish(selection, done))
        self._requested.set()
        return done

    async def refresh(self, patience: float = _PATIENCE) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`."""
        notes = self._journal.notes
        try:
            await self._folder.refresh(patience)
        except NotFoundError:
            if notes.folder_seen:
                _LOGGER.warning("The backup folder is gone from Dropbox; it is made again")
                self._set(folder_was_missing=True)
            await self._client.create_folder(self._folder.path)
            await self._folder.refresh(patience)
        if not notes.folder_seen:
            notes.folder_seen = True
            self._journal.changed()
        self._set()

    async def upload_for_home_assistant(
        self, backup: AgentBackup, open_stream: OpenStream, on_progress: Callable[[int], None]
    ) -> RemoteBackup:
        """Upload what Home Assistant hands out: the user chose Dropbox as a location. Raises
        `DropboxError`.
        """
        source = StreamSource(open_stream, backup.size)
        try:
            return await self._transfers.upload(
                backup, source, patience=_PATIENCE_FOR_HOME_ASSISTANT, on_progress=on_progress
            )
        except DropboxError as err:
            self._take_problem(_problem_of(err))
            raise

    def find(self, backup_id: BackupId) -> RemoteBackup:
        """Return a backup in Dropbox as of the last refresh. Raises `NotFoundError`."""
        if (backup := self._folder.get(backup_id)) is None:
            raise NotFoundError(f"there is no backup {backup_id} in Dropbox")
        return backup

    async def unknown(self, backup_ids: Iterable[BackupId]) -> set[BackupId]:
        """Return those that are neither on this Home Assistant nor in Dropbox."""
        missing = {backup_id for backup_id in backup_ids if self._folder.get(backup_id) is None}
        if not missing:
            return missing
        good, bad = await self._local.list()
        return missing - {id_of(one.backup) for one in good} - bad.keys()

    def download(self, backup_id: BackupId) -> AsyncGenerator[bytes]:
        """Return the archive as a stream, verified at its end. Raises `NotFoundError`; the stream
        `DropboxError`.
        """
        file = self.find(backup_id).file
        return download(self._client, file.rev, file.size, file.content_hash)

    async def delete(self, backup_ids: Iterable[BackupId]) -> list[RemoteBackup]:
        """Delete backups on a person's behalf; return them. They are not uploaded again by
        themselves.

        Raises `NotFoundError` before anything is deleted if one is not there, `RefusedError` if one
        is pinned.
        """
        async with self._changing:
            backups = []
            for backup_id in backup_ids:
                backup = self.find(backup_id)
                if backup.pinned:
                    raise RefusedError(f"{backup.backup.name} is pinned")
                backups.append(backup)
            for backup in backups:
                await self._folder.delete(backup)
                self._journal.notes.dismissed.add(id_of(backup.backup))
                self._journal.changed()
                _LOGGER.info("Deleted %s: asked for", backup.file.name)
            self._set()
            return backups

    async def preview(self) -> Plan:
        """Return what a run would do now. Raises `DropboxError`."""
        await self.refresh()
        local, _ = await self._local.list()
        return self._plan(local, [])

    async def apply_retention(self) -> tuple[Verdict, ...]:
        """Delete what retention says, on a person's behalf; return the verdicts.

        Raises `DropboxError`.
        """
        await self.refresh()
        self._confirmed = True
        return await self._apply_retention()

    async def back_up(self) -> None:
        """Make a backup in Home Assistant; it is uploaded when it is ready. Raises
        `HomeAssistantError`.
        """
        await self._local.create(self._agent_id)
        self.request("back up now", Selection(latest=True))

    async def save(self) -> None:
        """Write down what must survive: before an unload."""
        await self._journal.save()

    @callback
    def forget_missing_folder(self) -> None:
        """Take note that the user knows: the folder had vanished."""
        self._set(folder_was_missing=False)

    @callback
    def confirm_retention(self) -> None:
        """Carry out the deletions that waited for the user's word."""
        self._confirmed = True
        self._set(unconfirmed=())
        self.request("retention confirmed")

    # The worker

    async def run(self) -> None:
        """Work until cancelled."""
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
            if self._cancel_timer is not None:
                self._cancel_timer()
            for wish in self._wishes:
                wish.done.cancel()

    async def _reconcile(self) -> None:
        run = _Run(wishes=self._wishes)
        self._wishes = []
        self._journal.notes.results.last_attempt = dt_util.utcnow()
        self._set(status=Status.CHECKING)
        try:
            await self._carry_out(run)
        except DropboxError as err:
            run.problem = _problem_of(err)
        except asyncio.CancelledError:
            # What was asked for is interrupted, not answered.
            for wish in run.wishes:
                wish.done.cancel()
            raise
        except Exception:
            # The worker must outlive its own bugs: what it left undone is tried again.
            _LOGGER.exception("Unexpected error while checking the backups")
            run.problem = Problem(ProblemKind.UPLOAD_FAILED, "unexpected error, see the log")
        finally:
            for wish in run.wishes:
                if not wish.done.done():
                    wish.done.set_result(self._answer(wish.selection, run))
        self._finish(run.problem)

    async def _carry_out(self, run: _Run) -> None:
        await self.refresh()
        run.local, bad = await self._local.list()
        self._prune_notes(run.local)
        plan = self._plan(run.local, run.wishes)
        refused = dict(bad) | {id_of(one.local.backup): one.reason for one in plan.conflicts}
        for backup_id, reason in refused.items():
            if backup_id not in self._state.refused:
                _LOGGER.warning("The backup %s can't be uploaded: %s", backup_id, reason)
        self._set(
            plan=plan, waiting=plan.upload, refused={str(key): refused[key] for key in refused}
        )
        # Before the uploads too: one that finds no room ends the run.
        self._set(space=await self._ask_space())
        for one in plan.upload:
            await self._upload(one, run)
        verdicts = await self._apply_retention()
        if plan.upload or not all(verdict.keep for verdict in verdicts):
            self._set(space=await self._ask_space())

    async def _upload(self, one: LocalBackup, run: _Run) -> None:
        """Upload one backup. What concerns only this one is noted and does not stop the others."""
        backup_id = id_of(one.backup)
        self._set(status=Status.UPLOADING)
        try:
            backup, source = self._source(one)
            remote = await self._transfers.upload(backup, source, patience=_PATIENCE)
        except (BackupAgentError, OSError, CorruptError, RefusedError, NotFoundError) as err:
            reason = str(err) or type(err).__name__
            _LOGGER.warning("%s was not uploaded: %s", one.backup.name, reason)
            run.outcomes[backup_id] = Outcome(one.backup.name, error=reason)
            run.problem = _problem_of(err)
        except DropboxError as err:
            run.outcomes[backup_id] = Outcome(one.backup.name, error=str(err))
            raise
        else:
            _LOGGER.info("Uploaded %s and verified it", remote.file.name)
            run.outcomes[backup_id] = Outcome(one.backup.name, remote)
            waiting = tuple(other for other in self._state.waiting if other is not one)
            self._set(waiting=waiting)

    def _source(self, one: LocalBackup) -> tuple[AgentBackup, Source]:
        """Return the backup as it will lie in Dropbox, and its bytes."""
        source = self._local.source(one)
        password = self._local.password_for(self._agent_id)
        if one.backup.protected or password is None:
            return one.backup, source
        streamer = EncryptedBackupStreamer(self._hass, one.backup, source.open, password)
        return streamer.backup(), EncryptedSource(streamer)

    async def _apply_retention(self) -> tuple[Verdict, ...]:
        notes = self._journal.notes
        async with self._changing:
            verdicts = self.verdicts
            doomed = [verdict for verdict in verdicts if not verdict.keep]
            known_policy = notes.confirmed_keep == self._policy.keep
            if len(doomed) > _FEW and not (known_policy or self._confirmed):
                self._set(unconfirmed=tuple(verdict.backup for verdict in doomed))
                return verdicts
            for verdict in reversed(doomed):
                await self._folder.delete(verdict.backup)
                _LOGGER.info("Deleted %s: %s", verdict.backup.file.name, verdict.reason)
            self._confirmed = False
            if doomed:  # carried out once, this number needs no confirmation any more
                # A policy that has found nothing to delete yet has not been put to the test: old
                # backups may come into its reach with the next upload.
                notes.confirmed_keep = self._policy.keep if doomed else None
                self._journal.changed()
            self._set(unconfirmed=())
            return verdicts

    # Deciding

    def _plan(self, local: list[LocalBackup], wishes: list[_Wish]) -> Plan:
        policy = self._policy
        wanted = {backup_id for wish in wishes for backup_id in wish.selection.ids}
        if local and any(wish.selection.latest for wish in wishes):
            wanted.add(id_of(_newest(local).backup))
        if any(wish.selection == Selection() for wish in wishes):
            policy = replace(policy, upload_automatically=True)
        return make_plan(
            local,
            self._folder.backups,
            policy,
            self._instance_id,
            dismissed=self._journal.notes.dismissed,
            wanted=wanted,
        )

    def _answer(self, selection: Selection, run: _Run) -> Outcomes:
        """Return what became of the backups that somebody asked for."""
        by_id = {id_of(one.backup): one for one in run.local}
        if selection.latest and run.local:
            ids = {id_of(_newest(run.local).backup)}
        elif selection.ids:
            ids = set(selection.ids)
        else:
            ids = {*run.outcomes, *(id_of(one.backup) for one in self._state.waiting)}
        return {backup_id: self._outcome(backup_id, by_id.get(backup_id), run) for backup_id in ids}

    def _outcome(self, backup_id: BackupId, local: LocalBackup | None, run: _Run) -> Outcome:
        if (outcome := run.outcomes.get(backup_id)) is not None:
            return outcome
        if (remote := self._folder.get(backup_id)) is not None:
            return Outcome(remote.backup.name, remote)
        name = local.backup.name if local else backup_id
        reason = self._state.refused.get(backup_id)
        if reason is None and run.problem is not None:
            reason = run.problem.detail
        return Outcome(name, error=reason or "there is no such backup on this Home Assistant")

    def _prune_notes(self, local: list[LocalBackup]) -> None:
        """Forget what can't matter any more."""
        notes = self._journal.notes
        here = {id_of(one.backup) for one in local}
        there = {id_of(one.backup) for one in self._folder.backups}
        notes.dismissed &= here
        for backup_id in notes.uploaded.keys() - here - there:
            del notes.uploaded[backup_id]
        for backup_id in notes.sessions.keys() - here:
            del notes.sessions[backup_id]

    async def _ask_space(self) -> Space:
        usage = await self._client.get_space_usage()
        allocation = usage.allocation
        if allocation.is_individual():
            return Space(usage.used, allocation.get_individual().allocated)
        if allocation.is_team():
            team = allocation.get_team()
            return Space(team.used, team.allocated)
        return Space(usage.used, usage.used)

    # Publishing

    def _finish(self, problem: Problem | None) -> None:
        now = dt_util.utcnow()
        if problem is None:
            self._failures = 0
            self._journal.notes.results.last_check = now
            next_check = now + self._policy.check_interval
        else:
            next_check = now + _RETRY_AFTER[min(self._failures, len(_RETRY_AFTER) - 1)]
            self._failures += 1
        self._journal.changed()
        self._take_problem(problem)
        self._set(status=self._resting_status(), next_check=next_check)
        self._wake_at(next_check)

    def _resting_status(self) -> Status:
        problem = self._state.problem
        if self._state.unconfirmed or self._state.refused:
            return Status.NEEDS_ATTENTION
        if problem is None:
            return Status.UP_TO_DATE
        if problem.kind is ProblemKind.UNREACHABLE:
            return Status.RETRYING
        return Status.NEEDS_ATTENTION

    @callback
    def _take_problem(self, problem: Problem | None) -> None:
        """Publish a problem, and tell the log once that it came and once that it went."""
        before = self._state.problem
        if problem is not None and (before is None or before.kind is not problem.kind):
            _LOGGER.warning("Backups can't be uploaded to Dropbox now: %s", problem.detail)
        if problem is None and before is not None:
            _LOGGER.info("Backups can be uploaded to Dropbox again")
        self._set(problem=problem)
        if problem is not None and problem.kind is ProblemKind.SIGN_IN:
            self._on_sign_in_needed()

    def _wake_at(self, when: datetime) -> None:
        if self._cancel_timer is not None:
            self._cancel_timer()

        @callback
        def wake(_now: datetime) -> None:
            self._cancel_timer = None
            self.request("time for a check")

        self._cancel_timer = async_track_point_in_utc_time(self._hass, wake, when)

    @callback
    def _progressed(self) -> None:
        now = self._hass.loop.time()
        if now - self._published_at >= _PROGRESS_INTERVAL or not self._transfers.active:
            self._set()

    def _set(self, **changes: object) -> None:
        """Publish a new snapshot."""
        self._published_at = self._hass.loop.time()
        results = self._journal.notes.results
        active = list(self._transfers.active)
        progress = Progress(
            names=tuple(one.backup.name for one in active),
            size=sum(one.size for one in active),
            sent=sum(one.sent for one in active),
        )
        self._state = replace(
            self._state,
            backups=tuple(
                sorted(self._folder.backups, key=lambda one: date_of(one.backup), reverse=True)
            ),
            progress=progress if active else None,
            last_attempt=results.last_attempt,
            last_check=results.last_check,
            last_upload=results.last_upload,
            **changes,  # type: ignore[arg-type]  # the fields of State, checked by its constructor
        )
        self._on_change(self._state)


def _newest(local: list[LocalBackup]) -> LocalBackup:
    return max(local, key=lambda one: date_of(one.backup))


def _problem_of(err: Exception) -> Problem:
    """Say in the user's words what is wrong."""
    match err:
        case SignInError():
            return Problem(ProblemKind.SIGN_IN, f"Dropbox wants you to sign in again: {err}")
        case FullError():
            return Problem(ProblemKind.FULL, "There is no room left in your Dropbox")
        case RefusedError() if err.reason.endswith(_NOT_WRITABLE):
            return Problem(ProblemKind.NOT_WRITABLE, f"The backup folder is not writable: {err}")
        case RefusedError() | CorruptError() | BackupAgentError() | OSError() | NotFoundError():
            return Problem(ProblemKind.UPLOAD_FAILED, str(err) or type(err).__name__)
        case _:
            return Problem(ProblemKind.UNREACHABLE, f"Dropbox can't be reached: {err}")
