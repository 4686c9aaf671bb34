"""Keeps the snapshot that everybody shows, and tells about it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
import logging
from typing import Any

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from ..codes import Reason
from .decide.backup_settings import (
    NOT_ENCRYPTED,
    BackupSettings,
    Encryption,
    concerns,
    retention_beats,
)
from .decide.models import Protection, RemoteBackup, id_of
from .decide.plan import Skipped, WhySkipped
from .remote.folder import BackupFolder
from .report.alarm import AlarmInput, alarm
from .report.state import Problem, ProblemKind, Progress, State, Status
from .report.throughput import Throughput
from .storage.journal import Journal
from .upload.gate import Gate
from .upload.upload_notes import Transfer

_LOGGER = logging.getLogger(__name__)

_PROGRESS_INTERVAL = 1.0
# Alarms come with time, also when nothing happens.
_ALARM_INTERVAL = timedelta(minutes=15)
# Home Assistant does not tell when its settings for backups change.
_SETTINGS_INTERVAL = timedelta(minutes=1)


class EventKind(StrEnum):
    """What can happen to a backup."""

    UPLOADED = "uploaded"
    UPLOAD_FAILED = "upload_failed"
    DELETED = "deleted"
    VERIFIED = "verified"
    VERIFICATION_FAILED = "verification_failed"


@dataclass(frozen=True, slots=True)
class BackupEvent:
    """Something happened to a backup, maybe for a reason. `size` in bytes."""

    kind: EventKind
    backup_id: str
    name: str
    size: int
    reason: Reason | None = None


class Publisher:
    """Owns the state of one config entry."""

    def __init__(
        self,
        hass: HomeAssistant,
        folder: BackupFolder,
        journal: Journal,
        gate: Gate,
        settings: Callable[[], BackupSettings],
        *,
        instance_id: str,
        on_change: Callable[[State], None],
        on_sign_in_needed: Callable[[], None],
    ) -> None:
        """Publish nothing yet."""
        self._hass = hass
        self._folder = folder
        self._journal = journal
        self._gate = gate
        self._settings = settings
        self._on_change = on_change
        self._on_sign_in_needed = on_sign_in_needed
        self._active: Collection[Transfer] = ()
        self._sent = 0
        self._published_at = 0.0
        self._listeners: list[Callable[[BackupEvent], None]] = []
        journal.on_writable = self.publish
        self._throughput = Throughput()
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
    def subscribe(self, listener: Callable[[BackupEvent], None]) -> CALLBACK_TYPE:
        """Tell the listener what happens to backups; return how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def tell(self, kind: EventKind, remote: RemoteBackup, reason: Reason | None = None) -> None:
        """Tell everybody what happened to a backup in Dropbox."""
        backup = remote.backup
        _LOGGER.info("%s: %s%s", remote.file.name, kind.value, f", {reason}" if reason else "")
        self.tell_of(BackupEvent(kind, backup.backup_id, backup.name, remote.file.size, reason))

    @callback
    def tell_of(self, event: BackupEvent) -> None:
        """Tell everybody that something happened."""
        for listener in tuple(self._listeners):
            listener(event)

    @callback
    def progressed(self, active: Collection[Transfer]) -> None:
        """Take note that uploads moved, began or ended; publish it not too often."""
        self._active = active
        sent = sum(one.sent for one in active)
        if sent > self._sent:
            # Written down soon: what arrives is noted in the journal as well.
            results = self._journal.notes.results
            results.last_moved = moved = dt_util.utcnow()
            arrived = results.last_upload
            since = results.moving_since
            if since is None or (arrived is not None and arrived >= since):
                results.moving_since = moved
        now = self._hass.loop.time()
        if active:
            self._throughput.add(now, sent - self._sent)
        else:
            self._throughput.reset()
        self._sent = sent
        due = now - self._published_at >= _PROGRESS_INTERVAL
        if due or not active:
            self.publish()

    @callback
    def take_problem(self, problem: Problem | None) -> None:
        """Publish a problem, and tell the log once that it came and once that it went."""
        before = self.state.problem
        results = self._journal.notes.results
        if problem is None:
            results.failing_since = None
            if before is not None:
                _LOGGER.info("Backups can be uploaded to Dropbox again")
        else:
            results.failing_since = results.failing_since or dt_util.utcnow()
            if before is None or before.kind is not problem.kind:
                _LOGGER.warning(
                    "Backups can't be uploaded to Dropbox now: %s", *problem.reasons[:1]
                )
        self._journal.changed()
        self.publish(problem=problem)
        if problem is not None and problem.kind is ProblemKind.SIGN_IN:
            self._on_sign_in_needed()

    @callback
    def refuse(self, refused: tuple[Skipped, ...]) -> None:
        """Publish what can't be uploaded, and tell the log once of each."""
        before = {one.local.backup.backup_id for one in self.state.refused}
        for one in refused:
            if one.local.backup.backup_id not in before:
                name = one.local.backup.name
                _LOGGER.warning("The backup %s can't be uploaded: %s", name, one.reason)
        self.publish(refused=refused)

    @callback
    def publish(self, **changes: Any) -> None:  # Any: the fields of State
        """Publish a new snapshot."""
        self._published_at = self._hass.loop.time()
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
            progress=self._progress(),
            last_attempt=notes.results.last_attempt,
            last_check=notes.results.last_check,
            last_upload=notes.results.last_upload,
            folder_was_missing=notes.folder_was_missing,
            settings=settings,
            beaten=settings.beats(keep) and retention_beats(settings) not in notes.acknowledged,
            **changes,
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
        there = (one for one in self._folder.backups if id_of(one.backup) in noted)
        return tuple(one for one in there if one.protection is Protection.UNKNOWN)

    def _progress(self) -> Progress | None:
        if not self._active:
            return None
        return Progress(
            names=tuple(one.backup.name for one in self._active),
            size=sum(one.size for one in self._active),
            sent=sum(one.sent for one in self._active),
            speed=self._throughput.speed(self._hass.loop.time()),
        )

    def _begun(self, state: State) -> Progress | None:
        """Return how far those uploads got that wait to go on."""
        sessions = self._journal.notes.sessions
        begun = [
            (one.backup.name, session)
            for one in state.waiting
            if (session := sessions.get(id_of(one.backup))) and (session.arrived or session.ahead)
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
        if not self._active or before is None:
            return newest
        still = (one for one in state.ours if one.file.rev == before.file.rev)
        return next(still, newest)

    def _alarm_input(self, state: State) -> AlarmInput:
        results = self._journal.notes.results
        now = dt_util.utcnow()
        # What Dropbox has already, by its own clock, shows when ours is behind: then that is wrong,
        # not the notes.
        if all(one.file.uploaded <= now for one in state.backups):
            self._journal.notes.take_back_what_is_to_come(now)
        # What is not verified counts for nothing.
        ours = (one for one in state.backups if one.owner == state.instance_id and one.verified)
        newest = list(islice(ours, 1))
        return AlarmInput(
            now=now,
            after=self._gate.policy.alarm_after,
            # What is remembered may lack the newest.
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
