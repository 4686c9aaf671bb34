"""What the worker knows, for everybody who shows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ...codes import Reason
from ...dropbox_api.types import Space
from ..decide.backup_settings import BackupSettings
from ..decide.models import LocalBackup, RemoteBackup
from ..decide.plan import Plan, Skipped
from ..decide.upload_window import HoldReason


class Status(StrEnum):
    """What the worker is doing, or waiting for."""

    UP_TO_DATE = "up_to_date"
    NO_BACKUPS = "no_backups"
    CHECKING = "checking"
    UPLOADING = "uploading"
    PAUSING = "pausing"
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
    NOT_ENCRYPTED = "not_encrypted"


# A network or a share that is not there now will be back.
AWAY = {ProblemKind.UNREACHABLE, ProblemKind.LOCATION_UNREACHABLE}
# Listing the folder succeeds all the same.
SHOWN_BY_UPLOADS = {
    ProblemKind.FULL,
    ProblemKind.NOT_WRITABLE,
    ProblemKind.UPLOAD_FAILED,
    ProblemKind.VERIFICATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps backups from being uploaded, and why; `more` is to be told as well."""

    kind: ProblemKind
    reason: Reason
    more: tuple[Reason, ...] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All that is to be told."""
        return (self.reason, *self.more)


@dataclass(frozen=True, slots=True)
class Progress:
    """Uploads taken together, in bytes."""

    names: tuple[str, ...]
    size: int
    sent: int
    # In bytes a second; None if not known.
    speed: float | None = None

    @property
    def percent(self) -> float:
        """How much of it has been sent."""
        return 100.0 if self.size == 0 else min(100.0, 100.0 * self.sent / self.size)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this speed."""
        return (self.size - self.sent) / self.speed if self.speed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that is shown, as it is at one moment."""

    # The id of this Home Assistant.
    instance_id: str
    # What the worker does now; None: nothing.
    working: Status | None = None
    # Why nothing is uploaded automatically now.
    hold: HoldReason | None = None
    # What stopped the last check.
    problem: Problem | None = None
    # What a person must know now.
    alarm: Problem | None = None
    # Whether the contents of the backup folder are known, perhaps from before a restart.
    listed: bool = False
    # All in the backup folder, newest first.
    backups: tuple[RemoteBackup, ...] = ()
    # Local backups that are still to be uploaded.
    waiting: tuple[LocalBackup, ...] = ()
    # Local backups that can't be uploaded.
    refused: tuple[Skipped, ...] = ()
    # Those that the rules would delete and that are so many that the user must confirm it.
    unconfirmed: tuple[RemoteBackup, ...] = ()
    # Those that should be encrypted, and nobody could tell whether they are.
    unexamined: tuple[RemoteBackup, ...] = ()
    # The newest that is not another Home Assistant's. Stays the same while several arrive.
    newest: RemoteBackup | None = None
    # Of the uploads that are under way.
    progress: Progress | None = None
    # Of the uploads that were begun and wait to go on.
    begun: Progress | None = None
    space: Space | None = None
    plan: Plan | None = None
    last_attempt: datetime | None = None
    last_check: datetime | None = None
    last_upload: datetime | None = None
    next_check: datetime | None = None
    # The backup folder had vanished and was made again.
    folder_was_missing: bool = False
    # Home Assistant's own backup settings for Dropbox.
    settings: BackupSettings | None = None
    # By these settings Home Assistant deletes what should be kept, and nobody has accepted that.
    beaten: bool = False

    @property
    def status(self) -> Status:
        """What is being done, or waited for."""
        if self.working is Status.UPLOADING and self.hold is HoldReason.PAUSED:
            return Status.PAUSING
        if self.working is not None:
            return self.working
        # By Home Assistant itself.
        return Status.UPLOADING if self.progress is not None else self._waits_for

    @property
    def ours(self) -> Iterator[RemoteBackup]:
        """The backups in Dropbox, leaving out those that are another Home Assistant's."""
        return (one for one in self.backups if one.owner in {None, self.instance_id})

    @property
    def _waits_for(self) -> Status:
        away = self.problem is not None and self.problem.kind in AWAY
        troubles = {one.kind for one in (self.problem, self.alarm) if one is not None}
        if troubles - AWAY - {ProblemKind.NOT_ENCRYPTED} or self.unconfirmed or self.refused:
            return Status.NEEDS_ATTENTION
        if self.hold is HoldReason.PAUSED:
            return Status.PAUSED
        if away:
            return Status.RETRYING
        if not self.waiting:
            # Backups arrive all the same: what holds them back is told before.
            if ProblemKind.NOT_ENCRYPTED in troubles:
                return Status.NEEDS_ATTENTION
            return Status.UP_TO_DATE if self._has_backups else Status.NO_BACKUPS
        # What may go is about to go.
        return Status.WAITING_FOR_HOURS if self.hold else Status.CHECKING

    @property
    def _has_backups(self) -> bool:
        """Whether a good backup of this Home Assistant is in Dropbox."""
        return any(map(self._is_good, self.backups))

    @property
    def good(self) -> int:
        """How many good backups of this Home Assistant are in Dropbox."""
        return sum(map(self._is_good, self.backups))

    def _is_good(self, one: RemoteBackup) -> bool:
        return one.owner == self.instance_id and one.verified is not None
