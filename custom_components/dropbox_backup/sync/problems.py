"""Errors in the user's words, told apart by what the user has to do."""

from homeassistant.components.backup import BackupAgentError

from ..dropbox_api.errors import (
    CorruptError,
    FullError,
    NotFoundError,
    RefusedError,
    SignInError,
)
from .state import Problem, ProblemKind

# Dropbox's reasons why a folder can't be written to.
_NOT_WRITABLE = (
    "no_write_permission",
    "access_restricted",
    "team_folder",
    "conflict/file_ancestor",
)


def problem_of(err: Exception) -> Problem:
    """Return what is wrong."""
    match err:
        case SignInError():
            return Problem(ProblemKind.SIGN_IN, f"Dropbox wants you to sign in again: {err}")
        case FullError():
            return Problem(ProblemKind.FULL, f"There is no room left in your Dropbox: {err}")
        case CorruptError():
            return Problem(ProblemKind.VERIFICATION_FAILED, text_of(err))
        case RefusedError() if err.reason.endswith(_NOT_WRITABLE):
            return Problem(ProblemKind.NOT_WRITABLE, f"The backup folder is not writable: {err}")
        case RefusedError() | NotFoundError() | BackupAgentError() | OSError():
            return Problem(ProblemKind.UPLOAD_FAILED, text_of(err))
        case _:
            return Problem(ProblemKind.UNREACHABLE, f"Dropbox can't be reached: {err}")


def text_of(err: Exception) -> str:
    """Return what an error says, or at least what it is."""
    return str(err) or type(err).__name__
