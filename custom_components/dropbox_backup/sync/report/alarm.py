"""When to alarm the user, and why. Pure.

An alarm must be trusted: it comes when backups stop arriving, whatever the cause, it goes away by
itself, and a slow upload that moves gets the time that it may need.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from ...codes import Bytes, Code, Count, Reason
from ...dropbox_api.types import Space
from ..decide.backup_settings import Encryption
from ..decide.models import LocalBackup, Missed, RemoteBackup
from ..decide.plan import Skipped
from ..decide.upload_window import Hours
from .state import AWAY, Problem, ProblemKind

# Shorter outages of a network are normal.
_UNREACHABLE_FOR = timedelta(hours=1)
# An upload from which nothing was sent for so long does not move.
_STILL_MOVING = timedelta(minutes=30)
# Dropbox forgets an upload that takes longer: it never ends, however much it moves.
# https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-start
_LONGEST_UPLOAD = timedelta(days=7)


class Alarm(Code):
    """What an alarm says."""

    NOT_ARRIVED = "not_arrived"
    NOTHING_UPLOADED = "nothing_uploaded"
    BACKUPS_WAIT = "backups_wait"
    PAUSED = "uploads_paused"
    HOURS = "allowed_hours"
    TOO_SLOW = "takes_too_long"
    NO_BACKUP_MADE = "no_backup_made"
    NOT_ASKED_FOR = "not_asked_for"
    DISK = "disk_not_writable"
    REFUSED = "backups_refused"
    OF_BACKUP = "of_backup"
    UNCONFIRMED = "deletions_unconfirmed"
    LITTLE_ROOM = "little_room"
    NO_KEY = "readable_without_key"
    ENCRYPTION_OFF = "readable_encryption_off"
    UNEXAMINED = "encryption_unexamined"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmInput:
    """Everything that an alarm depends on."""

    now: datetime
    # How long it may take until a new backup arrives; None: for ever.
    after: timedelta | None
    # The newest backup of this Home Assistant in Dropbox, or none; None if it is not known yet.
    ours: Collection[RemoteBackup] | None
    waiting: Collection[LocalBackup]
    # Local backups that are not uploaded because that is not automatic and nobody asked.
    not_wanted: Collection[LocalBackup]
    refused: Collection[Skipped]
    unconfirmed: Collection[RemoteBackup]
    # When the integration was set up.
    watching_since: datetime
    # What Home Assistant made for Dropbox, and could not upload.
    missed: Missed | None
    # Whether the journal can be written.
    writable: bool
    problem: Problem | None
    # When the first of the failing checks was; None if the last one succeeded.
    failing_since: datetime | None
    # When bytes of an upload were last sent.
    moved: datetime | None
    # When bytes were first sent after the last backup had arrived.
    moving_since: datetime | None
    # Whether the user has paused uploads.
    paused: bool
    # When uploads may run.
    hours: Hours | None
    space: Space | None
    # Why backups go to Dropbox unencrypted; None if they don't, or the user accepts it.
    readable: Encryption | None = None
    # Backups in Dropbox of which nobody could tell whether they are encrypted.
    unexamined: Collection[RemoteBackup] = ()


def alarm(given: AlarmInput) -> Problem | None:
    """Return the gravest thing that the user must know, or None."""
    return (
        _failure(given)
        or _missed(given)
        or _overdue(given)
        or _not_writable(given)
        or _refused(given)
        or _unconfirmed(given)
        or _almost_full(given)
        or _readable(given)
    )


def _failure(at: AlarmInput) -> Problem | None:
    """Return what stops the uploads, if it will not pass by itself soon."""
    if at.problem is None or at.problem.kind not in AWAY:
        return at.problem
    lasting = at.failing_since is not None and at.now - at.failing_since >= _UNREACHABLE_FOR
    return at.problem if lasting else None


def _missed(at: AlarmInput) -> Problem | None:
    """Return that a backup was made for Dropbox and is not there: there may be no other copy."""
    missed = at.missed
    if missed is None or at.ours is None or any(one.date >= missed.made for one in at.ours):
        return None
    reason = Reason.of(Alarm.NOT_ARRIVED, name=missed.name, reason=missed.reason)
    return Problem(ProblemKind.UPLOAD_FAILED, reason)


def _overdue(at: AlarmInput) -> Problem | None:
    """Return that no backup has arrived for too long, and whether any was made."""
    if at.after is None or at.ours is None:
        return None
    newest = max((one.date for one in at.ours), default=None)
    safe_until = max(newest or at.watching_since, at.watching_since)
    if at.now - safe_until < at.after:
        return None
    moving = _moving(at)
    if moving and at.now - (at.moving_since or at.now) < min(at.after, _LONGEST_UPLOAD):
        return None
    days = Count((at.now - safe_until).days)
    if not at.waiting:
        return _nothing_waits(at, newest, days)
    reason = Reason.of(Alarm.NOTHING_UPLOADED, days=days)
    more = [Reason.of(Alarm.BACKUPS_WAIT, count=Count(len(at.waiting)))]
    if at.paused:
        more.append(Reason(Alarm.PAUSED))
        return Problem(ProblemKind.PAUSED_TOO_LONG, reason, tuple(more))
    if at.hours is not None:
        more.append(Reason.of(Alarm.HOURS, begin=at.hours.begin, end=at.hours.end))
    if moving:
        more.append(Reason(Alarm.TOO_SLOW))
    return Problem(ProblemKind.OVERDUE, reason, tuple(more))


def _nothing_waits(at: AlarmInput, newest: datetime | None, days: Count) -> Problem:
    """Return that no backup was made for so many days, or that nobody wanted those uploaded."""
    count = sum(newest is None or one.date > newest for one in at.not_wanted)
    if not count:
        return Problem(ProblemKind.NO_BACKUP, Reason.of(Alarm.NO_BACKUP_MADE, days=days))
    reason = Reason.of(Alarm.NOTHING_UPLOADED, days=days)
    not_asked = Reason.of(Alarm.NOT_ASKED_FOR, count=Count(count))
    return Problem(ProblemKind.AUTOMATIC_OFF, reason, (not_asked,))


def _moving(at: AlarmInput) -> bool:
    """Tell whether an upload is on its way, if need be over several nights."""
    gap = at.hours.longest_gap if at.hours is not None and not at.paused else timedelta()
    return at.moved is not None and at.now - at.moved < gap + _STILL_MOVING


def _not_writable(at: AlarmInput) -> Problem | None:
    if at.writable:
        return None
    return Problem(ProblemKind.DISK, Reason(Alarm.DISK))


def _refused(at: AlarmInput) -> Problem | None:
    if not at.refused:
        return None
    backups = tuple(
        Reason.of(Alarm.OF_BACKUP, name=one.local.backup.name, reason=one.reason)
        for one in sorted(at.refused, key=lambda one: one.local.backup.name)
    )
    return Problem(ProblemKind.REFUSED, Reason.of(Alarm.REFUSED, backups=backups))


def _unconfirmed(at: AlarmInput) -> Problem | None:
    if not at.unconfirmed:
        return None
    reason = Reason.of(Alarm.UNCONFIRMED, count=Count(len(at.unconfirmed)))
    return Problem(ProblemKind.CONFIRM_RETENTION, reason)


def _almost_full(at: AlarmInput) -> Problem | None:
    """Return that the next backup will probably not fit."""
    if at.space is None or not at.ours:
        return None
    needed = max(at.ours, key=lambda one: one.date).file.size
    if at.space.free >= needed:
        return None
    reason = Reason.of(Alarm.LITTLE_ROOM, needed=Bytes(needed), free=Bytes(at.space.free))
    return Problem(ProblemKind.ALMOST_FULL, reason)


def _readable(at: AlarmInput) -> Problem | None:
    """Return that whoever gets into this Dropbox can read the backups."""
    if at.readable is None:
        return _unexamined(at)
    no_key = at.readable is Encryption.NO_KEY
    reason = Reason(Alarm.NO_KEY if no_key else Alarm.ENCRYPTION_OFF)
    return Problem(ProblemKind.NOT_ENCRYPTED, reason)


def _unexamined(at: AlarmInput) -> Problem | None:
    """Return that whoever gets into this Dropbox can perhaps read a backup."""
    if not at.unexamined:
        return None
    names = tuple(one.backup.name for one in at.unexamined)
    return Problem(ProblemKind.NOT_ENCRYPTED, Reason.of(Alarm.UNEXAMINED, backups=names))
