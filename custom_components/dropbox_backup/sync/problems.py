"""Errors in the user's words, told apart by what the user has to do."""

from collections.abc import Mapping

from ..dropbox_api.errors import (
    CorruptError,
    FullError,
    RateLimitedError,
    RefusedError,
    SignInError,
    UnreachableError,
)
from .alarm import size_text
from .state import Problem, ProblemKind

# Dropbox's reasons why a folder can't be written to.
_NOT_WRITABLE = (
    "no_write_permission",
    "access_restricted",
    "team_folder",
    "conflict/file_ancestor",
)

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
        case RefusedError() if err.reason.endswith(_NOT_WRITABLE):
            return Problem(ProblemKind.NOT_WRITABLE, f"The backup folder is not writable: {err}")
        case UnreachableError() | RateLimitedError():
            return Problem(ProblemKind.UNREACHABLE, f"Dropbox can't be reached: {err}")
        case _:
            return Problem(ProblemKind.UPLOAD_FAILED, text_of(err))


def silence_of(locations: Mapping[str, str]) -> Problem:
    """Return that locations of local backups don't answer; `locations`: why, by their names."""
    told = "; ".join(f"{_SHOWN_AS.get(name, name)} ({why})" for name, why in locations.items())
    detail = f"The backups in these locations can't be read: {told}"
    return Problem(ProblemKind.LOCATION_UNREACHABLE, detail)


def concerns_all(err: Exception) -> bool:
    """Tell whether the next backup would fail in the same way: not if the trouble is with this one.

    Whoever keeps a local backup may come up with errors of any kind when it is read. Where there is
    no room for this one, a smaller one may still fit.
    """
    return isinstance(err, (SignInError, UnreachableError, RateLimitedError))


def no_room(size: int, free: int | None) -> FullError:
    """Return that so many bytes don't fit; `free`: how many are left, if that is known."""
    if free is None:
        return FullError(f"{size_text(size)} are needed")
    return FullError(f"{size_text(size)} are needed, {size_text(free)} are free")


def text_of(err: Exception) -> str:
    """Return what an error says, or at least what it is."""
    return str(err) or type(err).__name__
