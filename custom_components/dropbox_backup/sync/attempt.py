"""What became of trying to upload or verify one backup."""

from dataclasses import dataclass

from homeassistant.components.backup import BackupNotFound

from ..codes import Reason
from ..dropbox_api.errors import StoppedError
from .decide.models import LocalBackup, Trouble
from .report.problems import away_of, problem_of, why_of
from .report.state import Problem
from .upload.upload_notes import DeletedMeanwhileError

# The only thing that holds back what somebody has asked for.
HELD_BACK = Reason(Trouble.HELD_BACK)
DELETED_MEANWHILE = Reason(Trouble.DELETED_MEANWHILE)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one backup is not in Dropbox now, though the others may get there."""

    reason: Reason
    gone: bool = False
    """The local backup is gone, or is no longer to be uploaded: there is nothing left to do."""
    problem: Problem | None = None
    """What to tell the user. The backup is not tried again in this run."""
    away: bool = False
    """The location that has the backup is to blame, not the backup itself."""


def failure_of(one: LocalBackup, err: Exception) -> Failure:
    """Return what an error means that concerns only this backup."""
    if isinstance(err, StoppedError):
        return Failure(HELD_BACK)
    if isinstance(err, (BackupNotFound, FileNotFoundError, DeletedMeanwhileError)):
        return Failure(DELETED_MEANWHILE, gone=True)
    if (away := away_of(one.agent_id, err)) is not None:
        return Failure(away.reason, problem=away, away=True)
    return Failure(why_of(err), problem=problem_of(err))
