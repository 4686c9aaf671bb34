"""What errors mean, told apart by what the user has to do."""

from collections.abc import Mapping
import errno

from aiohttp import ClientError
from homeassistant.components.backup import BackupAgentError
from homeassistant.exceptions import HomeAssistantError

from ... import untrusted
from ...codes import Bytes, Code, CodedError, Reason
from ...dropbox_api.errors import (
    CorruptError,
    Fault,
    FullError,
    NotWritableError,
    SignInError,
    TransientError,
)
from ..decide.models import Trouble
from .state import Problem, ProblemKind

# Whoever raised it wrote it, and it is shown.
_LONGEST_SAYING = 500


class Finding(Code):
    """What a problem says."""

    SIGN_IN_AGAIN = "sign_in_again"
    NO_ROOM_LEFT = "no_room_left"
    FOLDER_REFUSES = "folder_refuses"
    DROPBOX_AWAY = "dropbox_away"
    LOCATIONS_SILENT = "locations_silent"


class Silence(Code):
    """Why a location of backups does not answer."""

    OF_LOCATION = "silence_of_location"
    STARTING = "location_starting"
    SLOW = "location_slow"
    MUTE = "location_mute"
    ERROR = "location_error"
    CUT = "location_cut"
    STALLED = "location_stalled"
    THIS_SYSTEM = "this_system"


class LocationAwayError(CodedError, BackupAgentError):
    """A location of backups stopped answering while one of its backups was being read."""


class UnreadableError(CodedError, BackupAgentError):
    """A local backup can't be read as it is to lie in Dropbox."""


# As Home Assistant's pages call it.
_SHOWN_AS = {"hassio.local": Reason(Silence.THIS_SYSTEM)}


def problem_of(err: Exception) -> Problem:
    """Return what is wrong."""
    why = why_of(err)
    match err:
        case SignInError():
            return Problem(ProblemKind.SIGN_IN, Reason.of(Finding.SIGN_IN_AGAIN, reason=why))
        case FullError():
            return Problem(ProblemKind.FULL, Reason.of(Finding.NO_ROOM_LEFT, reason=why))
        case CorruptError():
            return Problem(ProblemKind.VERIFICATION_FAILED, why)
        case NotWritableError():
            return Problem(ProblemKind.NOT_WRITABLE, Reason.of(Finding.FOLDER_REFUSES, reason=why))
        case TransientError():
            return Problem(ProblemKind.UNREACHABLE, Reason.of(Finding.DROPBOX_AWAY, reason=why))
        case _:
            return Problem(ProblemKind.UPLOAD_FAILED, why)


def silence_of(locations: Mapping[str, Reason]) -> Problem:
    """Return that locations of local backups don't answer; `locations`: why, by their names."""
    told = tuple(
        Reason.of(Silence.OF_LOCATION, name=_SHOWN_AS.get(name, name), reason=why)
        for name, why in locations.items()
    )
    reason = Reason.of(Finding.LOCATIONS_SILENT, locations=told)
    return Problem(ProblemKind.LOCATION_UNREACHABLE, reason)


def silence_reason(err: Exception) -> Reason:
    """Return why a location can't be read; what a library said is for the log.

    Supervisor's client is not imported for it: its errors are known by their names.
    """
    match type(err).__name__:
        case "SupervisorBadRequestError" | "SupervisorServiceUnavailableError":
            return Reason(Silence.STARTING)
        case "SupervisorTimeoutError" | "TimeoutError":
            return Reason(Silence.SLOW)
        case "SupervisorConnectionError":
            return Reason(Silence.MUTE)
        case name if name.startswith("Supervisor"):
            return Reason(Silence.ERROR)
    if isinstance(err, (ClientError, ConnectionError)):
        return Reason(Silence.CUT)
    return why_of(err)


def away_of(agent_id: str, err: Exception) -> Problem | None:
    """Return that a location is away for a moment if that is why a backup of it can't be read.

    Reading a backup raises errors of whoever keeps it; those of Dropbox are all `DropboxError`.
    """
    client = type(err).__module__.startswith("aiohasupervisor")
    if client or isinstance(err, (ClientError, TimeoutError, ConnectionError, LocationAwayError)):
        return silence_of({agent_id: silence_reason(err)})
    return None


def concerns_all(err: Exception) -> bool:
    """Tell whether the next backup would fail in the same way, rather than only this one.

    Reading a local backup may raise errors of any kind, and where this one does not fit, a smaller
    one still may.
    """
    return isinstance(err, (SignInError, TransientError))


def no_room(size: int, free: int | None) -> FullError:
    """Return that so many bytes don't fit; `free`: how many are left, if that is known."""
    if free is None:
        return FullError(Reason.of(Fault.NO_ROOM, needed=Bytes(size)))
    return FullError(Reason.of(Fault.TOO_LITTLE_ROOM, needed=Bytes(size), free=Bytes(free)))


def why_of(err: Exception) -> Reason:
    """Return what an error says, or at least what it is."""
    match err:
        case CodedError():
            return err.why
        case OSError() if err.errno is not None:
            error = errno.errorcode.get(err.errno, str(err.errno))
            return Reason.of(Trouble.DISK_ERROR, error=error)
        case HomeAssistantError() if said := untrusted.presentable(str(err))[:_LONGEST_SAYING]:
            return Reason.of(Trouble.SAID, text=said)
        case _:
            return Reason.of(Trouble.ERROR, error=type(err).__name__)


def text_of(err: Exception) -> str:
    """Return what an error says, for the log, or at least what it is."""
    return str(err) or type(err).__name__
