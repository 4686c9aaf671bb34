"""The snapshot that everybody shows, and who is told of a new one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypedDict, Unpack

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from ..dropbox_api.types import Space
from .decide.backup_settings import (
    NOT_ENCRYPTED,
    BackupSettings,
    Encryption,
    concerns,
    retention_beats,
)
from .decide.models import LocalBackup, Protection, RemoteBackup
from .decide.plan import Plan, Skipped, WhySkipped
from .remote.folder import BackupFolder
from .report.alarm import AlarmInput, alarm
from .report.state import Problem, Progress, State, Status
from .storage.journal import Journal
from .upload.gate import Gate
from .upload.progress import UploadProgress

# Some alarms are due merely because time has passed.
_ALARM_INTERVAL = timedelta(minutes=15)
# Home Assistant does not tell when its settings for backups change.
_SETTINGS_INTERVAL = timedelta(minutes=1)


class StateUpdate(TypedDict, total=False):
    """What those who own it tell of the state; what they leave out stays as it is. The rest of a
    snapshot is looked up whenever one is made.
    """

    working: Status | None
    problem: Problem | None
    plan: Plan | None
    waiting: tuple[LocalBackup, ...]
    refused: tuple[Skipped, ...]
    unconfirmed: tuple[RemoteBackup, ...]
    space: Space | None
    next_check: datetime | None


class StateStore:
    """Holds the snapshot of one config entry that everybody shows, and hands it out. It is never
    asked by those who decide: what they decide with is theirs.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        folder: BackupFolder,
        journal: Journal,
        gate: Gate,
        progress: UploadProgress,
        settings: Callable[[], BackupSettings],
        *,
        instance_id: str,
        on_change: Callable[[State], None],
    ) -> None:
        """Publish nothing yet."""
        self._hass = hass
        self._folder = folder
        self._journal = journal
        self._gate = gate
        self._settings = settings
        self._progress = progress
        self._on_change = on_change
        journal.on_writable = self.publish
        self.state = State(working=Status.CHECKING, instance_id=instance_id)

    @callback
    def watch_time(self) -> CALLBACK_TYPE:
        """Look for alarms that come with time, and for other settings of Home Assistant; return how
        to stop that.
        """

        @callback
        def time_passed(_now: datetime) -> None:
            self.publish()

        @callback
        def look_at_settings(_now: datetime) -> None:
            if self._settings() != self.state.settings:
                self.publish()

        alarms = async_track_time_interval(self._hass, time_passed, _ALARM_INTERVAL)
        settings = async_track_time_interval(self._hass, look_at_settings, _SETTINGS_INTERVAL)

        def stop() -> None:
            alarms()
            settings()

        return stop

    @callback
    def publish(self, **update: Unpack[StateUpdate]) -> None:
        """Hand out a new snapshot."""
        notes, settings, keep = self._journal.notes, self._settings(), self._gate.policy.keep
        if outdated := notes.acknowledged - concerns(settings, keep):
            notes.acknowledged -= outdated
            self._journal.changed()
        state = replace(
            self.state,
            backups=self._folder.backups,
            unexamined=self._unexamined(settings),
            listed=self._folder.known,
            hold=self._gate.hold,
            progress=self._progress.now,
            last_attempt=notes.results.last_attempt,
            last_check=notes.results.last_check,
            last_upload=notes.results.last_upload,
            folder_was_missing=notes.folder_was_missing,
            settings=settings,
            beaten=settings.beats(keep) and retention_beats(settings) not in notes.acknowledged,
            **update,
        )
        self.state = replace(
            state,
            alarm=alarm(self._alarm_input(state)),
            newest=self._newest(state),
            begun=self._begun(state),
        )
        self._on_change(self.state)

    def _unexamined(self, settings: BackupSettings) -> tuple[RemoteBackup, ...]:
        noted = self._journal.notes.unexamined
        if not noted or settings.encryption is not Encryption.ON:
            return ()
        there = (one for one in self._folder.backups if one.backup_id in noted)
        return tuple(one for one in there if one.protection is Protection.UNKNOWN)

    def _begun(self, state: State) -> Progress | None:
        """Return how far those uploads got that wait to go on."""
        sessions = self._journal.notes.sessions
        begun = [
            (one.backup.name, session)
            for one in state.waiting
            if (session := sessions.get(one.backup_id)) and (session.arrived or session.ahead)
        ]
        if not begun:
            return None
        return Progress(
            names=tuple(name for name, _ in begun),
            size=sum(session.size for _, session in begun),
            sent=sum(session.sent for _, session in begun),
        )

    def _newest(self, state: State) -> RemoteBackup | None:
        """Return the newest backup: several that arrive together are one change."""
        newest, before = next(state.ours, None), self.state.newest
        if state.progress is None or before is None:
            return newest
        still = (one for one in state.ours if one.file.rev == before.file.rev)
        return next(still, newest)

    def _alarm_input(self, state: State) -> AlarmInput:
        results = self._journal.notes.results
        now = dt_util.utcnow()
        # A file that was uploaded in our future, by Dropbox's clock, shows that our own clock is
        # behind: then the clock is wrong, not the notes.
        if all(one.file.uploaded <= now for one in state.backups):
            self._journal.notes.take_back_what_is_to_come(now)
        # What is not verified counts for nothing.
        ours = (one for one in state.backups if one.owner == state.instance_id and one.verified)
        newest = list(islice(ours, 1))
        return AlarmInput(
            now=now,
            after=self._gate.policy.alarm_after,
            # What is remembered from before a restart may lack the newest.
            ours=None if self._folder.cursor is None else newest,
            waiting=state.waiting,
            not_wanted=[
                one.local
                for one in (state.plan.skipped if state.plan else ())
                if one.reason.code is WhySkipped.NOT_AUTOMATIC
            ],
            refused=state.refused,
            unconfirmed=state.unconfirmed,
            watching_since=results.watching_since or now,
            missed=self._journal.notes.missed,
            writable=self._journal.writable,
            problem=state.problem,
            failing_since=results.failing_since,
            moved=results.last_moved,
            moving_since=results.moving_since,
            paused=self._gate.paused,
            hours=self._gate.policy.hours,
            space=state.space,
            readable=self._readable(state),
            unexamined=state.unexamined,
        )

    def _readable(self, state: State) -> Encryption | None:
        """Return why backups go to Dropbox readable, if nobody has said that this is right. The
        bytes decide: they may be encrypted already where they are made.
        """
        if state.settings is None or NOT_ENCRYPTED in self._journal.notes.acknowledged:
            return None
        told = (
            one.protection
            for one in state.backups
            if one.owner == state.instance_id and one.protection is not Protection.UNKNOWN
        )
        encryption = state.settings.encryption
        goes_readable = next(told, Protection.ENCRYPTED) is not Protection.ENCRYPTED
        return encryption if goes_readable and encryption is not Encryption.ON else None
