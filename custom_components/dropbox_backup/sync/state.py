"""What the worker knows, for everybody who shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .manners import Hold
from .models import LocalBackup, RemoteBackup
from .plan import Plan, Skipped


class Status(StrEnum):
    """What the worker is doing, or waiting for."""

    UP_TO_DATE = "up_to_date"
    CHECKING = "checking"
    UPLOADING = "uploading"
    PAUSED = "paused"
    WAITING_FOR_HOURS = "waiting_for_hours"
    RETRYING = "retrying"
    NEEDS_ATTENTION = "needs_attention"


class ProblemKind(StrEnum):
    """What is wrong, told apart by what the user has to do."""

    SIGN_IN = "sign_in"
    FULL = "dropbox_full"
    NOT_WRITABLE = "folder_not_writable"
    UNREACHABLE = "unreachable"
    LOCATION_UNREACHABLE = "location_unreachable"
    UPLOAD_FAILED = "upload_failed"
    VERIFICATION_FAILED = "verification_failed"
    REFUSED = "backup_refused"
    OVERDUE = "upload_overdue"
    PAUSED_TOO_LONG = "uploads_paused"
    NO_BACKUP = "no_recent_backup"
    AUTOMATIC_OFF = "automatic_upload_off"
    ALMOST_FULL = "dropbox_almost_full"
    DISK = "disk_not_writable"
    CONFIRM_RETENTION = "confirm_retention"


# A network or a share that is not there now will be back.
AWAY = {ProblemKind.UNREACHABLE, ProblemKind.LOCATION_UNREACHABLE}
# Listing the folder succeeds all the same.
_SHOWN_BY_UPLOADS = {
    ProblemKind.FULL,
    ProblemKind.NOT_WRITABLE,
    ProblemKind.UPLOAD_FAILED,
    ProblemKind.VERIFICATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps backups from being uploaded. `detail` is for people."""

    kind: ProblemKind
    detail: str


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes used and in all in the Dropbox account."""

    used: int
    total: int

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return max(0, self.total - self.used)


@dataclass(frozen=True, slots=True)
class Progress:
    """All uploads in progress taken together, in bytes."""

    names: tuple[str, ...]
    size: int
    sent: int

    @property
    def percent(self) -> float:
        """How much of it has been sent."""
        return 100.0 if self.size == 0 else min(100.0, 100.0 * self.sent / self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A snapshot.

    `problem` is what stopped the last check, `alarm` what a person must know now. `waiting` are the
    local backups that are still to be uploaded, `refused` those that can't be. `unconfirmed` would
    be deleted by the rules, which the user has yet to confirm: they are many.
    `listed`: it is known what lies in the backup folder, if Dropbox is away from before the start.
    `folder_was_missing`: the backup folder had vanished and was made again. `backups` are all in
    the backup folder, newest first; those of the Home Assistant with `instance_id` are ours.
    `hold`: why nothing is uploaded by itself now.
    """

    status: Status
    instance_id: str
    hold: Hold | None = None
    problem: Problem | None = None
    alarm: Problem | None = None
    listed: bool = False
    backups: tuple[RemoteBackup, ...] = ()
    waiting: tuple[LocalBackup, ...] = ()
    refused: tuple[Skipped, ...] = ()
    unconfirmed: tuple[RemoteBackup, ...] = ()
    progress: Progress | None = None
    space: Space | None = None
    plan: Plan | None = None
    last_attempt: datetime | None = None
    last_check: datetime | None = None
    last_upload: datetime | None = None
    next_check: datetime | None = None
    folder_was_missing: bool = False

    @property
    def at_rest(self) -> bool:
        """Whether the worker does nothing."""
        return self.status not in {Status.CHECKING, Status.UPLOADING}

    @property
    def newest(self) -> RemoteBackup | None:
        """The newest backup in Dropbox, leaving out those that are another Home Assistant's."""
        ours = (one for one in self.backups if one.owner in {None, self.instance_id})
        return next(ours, None)

    @property
    def unsolved(self) -> Problem | None:
        """The problem, if only an upload could show that it is gone, and that is held back."""
        if self.problem is None or self.problem.kind not in _SHOWN_BY_UPLOADS:
            return None
        return self.problem if self.hold and self.waiting else None

    @property
    def status_at_rest(self) -> Status:
        """What the worker waits for while it does nothing."""
        away = self.problem is not None and self.problem.kind in AWAY
        troubles = {one.kind for one in (self.problem, self.alarm) if one is not None}
        if troubles - AWAY or self.unconfirmed or self.refused:
            return Status.NEEDS_ATTENTION
        if self.hold is Hold.PAUSED:
            return Status.PAUSED
        if away:
            return Status.RETRYING
        if not self.waiting:
            return Status.UP_TO_DATE
        # What may go is about to go.
        return Status.WAITING_FOR_HOURS if self.hold else Status.CHECKING
