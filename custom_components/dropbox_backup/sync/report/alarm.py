"""When to alarm the user, and why. Pure.

An alarm must be trusted: it comes when backups stop arriving, whatever the cause, it goes away by
itself, and a slow upload that moves gets the time that it may need.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from ...dropbox_api.types import Space
from ..decide.backup_settings import Encryption
from ..decide.models import LocalBackup, Missed, RemoteBackup
from ..decide.plan import Skipped
from ..decide.upload_window import Hours
from .state import AWAY, Problem, ProblemKind

# A network that is away for less is everyday life.
_UNREACHABLE_FOR = timedelta(hours=1)
# An upload from which nothing was sent for so long does not move.
_STILL_MOVING = timedelta(minutes=30)
# Dropbox forgets an upload that takes longer: it never ends, however much it moves.
_LONGEST_UPLOAD = timedelta(days=7)
_STEP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmInput:
    """All that decides about an alarm.

    `after`: how long no new backup may be in Dropbox, None for ever. `ours` has this Home
    Assistant's newest backup in Dropbox, if there is one; None if nobody could look yet.
    `not_wanted` lie here and are not uploaded because nobody asked for them, and it is not
    automatic. `watching_since`: when the integration was set up. `failing_since`: since when no
    check has succeeded. `moved`: when bytes were sent last. `moving_since`: when they were sent
    first since a backup arrived. `writable`: what is to survive a restart can be written. `paused`:
    the user has paused the uploads. `hours`: when they may run. `readable`: why backups go to
    Dropbox readable, None if they don't, or if the user wants it so. `unexamined` lie there, and
    nobody could tell whether they are encrypted.
    """

    now: datetime
    after: timedelta | None
    ours: Collection[RemoteBackup] | None
    waiting: Collection[LocalBackup]
    not_wanted: Collection[LocalBackup]
    refused: Collection[Skipped]
    unconfirmed: Collection[RemoteBackup]
    watching_since: datetime
    missed: Missed | None
    writable: bool
    problem: Problem | None
    failing_since: datetime | None
    moved: datetime | None
    moving_since: datetime | None
    paused: bool
    hours: Hours | None
    space: Space | None
    readable: Encryption | None = None
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
    return Problem(
        ProblemKind.UPLOAD_FAILED,
        f"{missed.name} was made for Dropbox and did not get there: {missed.reason}",
    )


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
    count = (at.now - safe_until).days
    days = "1 day" if count == 1 else f"{count} days"
    if not at.waiting:
        return _nothing_waits(at, newest, days)
    waiting = "1 backup waits" if len(at.waiting) == 1 else f"{len(at.waiting)} backups wait"
    told = f"Nothing has been uploaded for {days}, and {waiting}"
    if at.paused:
        return Problem(ProblemKind.PAUSED_TOO_LONG, f"{told}: uploads are paused")
    if at.hours is not None:
        told = f"{told}. Your options allow uploads from {at.hours}"
    if moving:
        told = f"{told}. An upload is under way, but takes too long"
    return Problem(ProblemKind.OVERDUE, told)


def _nothing_waits(at: AlarmInput, newest: datetime | None, days: str) -> Problem:
    """Return that no backup was made for so many days, or that nobody wanted those uploaded."""
    count = sum(newest is None or one.date > newest for one in at.not_wanted)
    if not count:
        return Problem(ProblemKind.NO_BACKUP, f"No new backup has been made for {days}")
    made = "1 newer backup was" if count == 1 else f"{count} newer backups were"
    told = f"Nothing has been uploaded for {days}. {made} made, but nobody asked to upload"
    them = "it" if count == 1 else "them"
    return Problem(ProblemKind.AUTOMATIC_OFF, f"{told} {them}, and Upload every backup is off")


def _moving(at: AlarmInput) -> bool:
    """Tell whether an upload is on its way, if need be over several nights."""
    gap = at.hours.longest_gap if at.hours is not None and not at.paused else timedelta()
    return at.moved is not None and at.now - at.moved < gap + _STILL_MOVING


def _not_writable(at: AlarmInput) -> Problem | None:
    if at.writable:
        return None
    return Problem(
        ProblemKind.DISK,
        "Home Assistant can't write to its disk. Uploads go on, but start over after a restart",
    )


def _refused(at: AlarmInput) -> Problem | None:
    if not at.refused:
        return None
    reasons = (f"{one.local.backup.name}: {one.reason}" for one in at.refused)
    return Problem(ProblemKind.REFUSED, "; ".join(sorted(reasons)))


def _unconfirmed(at: AlarmInput) -> Problem | None:
    if not at.unconfirmed:
        return None
    count = len(at.unconfirmed)
    return Problem(
        ProblemKind.CONFIRM_RETENTION,
        f"{count} backups would be deleted, which needs your confirmation",
    )


def _almost_full(at: AlarmInput) -> Problem | None:
    """Return that the next backup will probably not fit."""
    if at.space is None or not at.ours:
        return None
    needed = max(at.ours, key=lambda one: one.date).file.size
    if at.space.free >= needed:
        return None
    return Problem(
        ProblemKind.ALMOST_FULL,
        f"The next backup needs about {size_text(needed)}, and {size_text(at.space.free)} are free",
    )


def _readable(at: AlarmInput) -> Problem | None:
    """Return that whoever gets into this Dropbox can read the backups."""
    if at.readable is None:
        return _unexamined(at)
    why = {
        Encryption.NO_KEY: "Home Assistant has no encryption key",
        Encryption.OFF: "encryption is off for this location",
    }[at.readable]
    return Problem(ProblemKind.NOT_ENCRYPTED, f"Backups go to Dropbox readable: {why}")


def _unexamined(at: AlarmInput) -> Problem | None:
    """Return that whoever gets into this Dropbox can perhaps read a backup."""
    if not at.unexamined:
        return None
    names = ", ".join(one.backup.name for one in at.unexamined)
    return Problem(
        ProblemKind.NOT_ENCRYPTED, f"It could not be examined whether this is encrypted: {names}"
    )


def size_text(size: int) -> str:
    """Return a number of bytes as people read it, in decimal units as Dropbox shows them."""
    if size < _STEP:
        return f"{size} bytes"
    amount, unit = float(size), ""
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < _STEP:
            break
        amount, unit = amount / _STEP, larger
    return f"{amount:.3g} {unit}"
