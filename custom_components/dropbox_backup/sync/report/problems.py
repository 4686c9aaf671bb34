"""Errors in the user's words, told apart by what the user has to do."""

from collections.abc import Mapping

from aiohttp import ClientError
from homeassistant.components.backup import BackupAgentError

from ...dropbox_api.errors import (
    CorruptError,
    FullError,
    NotWritableError,
    SignInError,
    TransientError,
)
from .alarm import size_text
from .state import Problem, ProblemKind


class LocationAwayError(BackupAgentError):
    """A location of backups stopped answering while one of its backups was being read."""


# As Home Assistant's pages call it.
_SHOWN_AS = {"hassio.local": "This system"}


def problem_of(err: Exception) -> Problem:
    """Return what is wrong."""
    match err:
        case SignInError():
            return Problem(ProblemKind.SIGN_IN, f"Dropbox wants you to sign in again: {err}")
        case FullError():
            return Problem(ProblemKind.FULL, f"There is no room left in your Dropbox: {err}")
        case CorruptError():
            return Problem(ProblemKind.VERIFICATION_FAILED, text_of(err))
        case NotWritableError():
            return Problem(ProblemKind.NOT_WRITABLE, f"The backup folder is not writable: {err}")
        case TransientError():
            return Problem(ProblemKind.UNREACHABLE, f"Dropbox can't be reached: {err}")
        case _:
            return Problem(ProblemKind.UPLOAD_FAILED, text_of(err))


def silence_of(locations: Mapping[str, str]) -> Problem:
    """Return that locations of local backups don't answer; `locations`: why, by their names."""
    told = "; ".join(f"{_SHOWN_AS.get(name, name)} ({why})" for name, why in locations.items())
    detail = f"The backups in these locations can't be read: {told}"
    return Problem(ProblemKind.LOCATION_UNREACHABLE, detail)


def silence_reason(err: Exception) -> str:
    """Return why a location can't be read, in words for people; what a library said is for the log.

    Supervisor's client is not imported for it: its errors are known by their names.
    """
    match type(err).__name__:
        case "SupervisorBadRequestError" | "SupervisorServiceUnavailableError":
            return "it is just starting or stopping, and answers nothing"
        case "SupervisorTimeoutError" | "TimeoutError":
            return "its answer takes too long"
        case "SupervisorConnectionError":
            return "it does not answer"
        case name if name.startswith("Supervisor"):
            return "it answers with an error"
    if isinstance(err, (ClientError, ConnectionError)):
        return "the connection to it was cut"
    return text_of(err)


def away_of(agent_id: str, err: Exception) -> Problem | None:
    """Return that a location is away for a moment if that is why a backup of it can't be read.

    Reading a backup raises errors of whoever keeps it; those of Dropbox are all `DropboxError`.
    """
    client = type(err).__module__.startswith("aiohasupervisor")
    if client or isinstance(err, (ClientError, TimeoutError, ConnectionError, LocationAwayError)):
        return silence_of({agent_id: silence_reason(err)})
    return None


def concerns_all(err: Exception) -> bool:
    """Tell whether the next backup would fail in the same way: not if the trouble is with this one.

    Whoever keeps a local backup may come up with errors of any kind when it is read. Where there is
    no room for this one, a smaller one may still fit.
    """
    return isinstance(err, (SignInError, TransientError))


def no_room(size: int, free: int | None) -> FullError:
    """Return that so many bytes don't fit; `free`: how many are left, if that is known."""
    if free is None:
        return FullError(f"{size_text(size)} are needed")
    return FullError(f"{size_text(size)} are needed, {size_text(free)} are free")


def text_of(err: Exception) -> str:
    """Return what an error says, or at least what it is."""
    return str(err) or type(err).__name__
