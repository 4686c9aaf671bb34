"""What can go wrong with Dropbox, as few kinds as a caller can tell apart by what to do next."""

from collections.abc import Sequence
from typing import override

from ..untrusted import presentable

# Whoever answered wrote it, and it is shown.
_LONGEST_REASON = 500


class DropboxError(Exception):
    """Base of all errors of this package. Never carries a token, an account id or an e-mail
    address.

    `reason` is Dropbox's own error as a path of tags (`path/insufficient_space`) or a short English
    text; `request_id` is what Dropbox's support asks for.
    """

    def __init__(self, reason: str, request_id: str | None = None) -> None:
        """Keep Dropbox's reason and the id of the request."""
        reason = presentable(reason[:_LONGEST_REASON])
        super().__init__(reason)
        self.reason = reason
        self.request_id = presentable(request_id[:_LONGEST_REASON]) if request_id else None

    @override
    def __str__(self) -> str:
        return f"{self.reason} (request {self.request_id})" if self.request_id else self.reason


class SignInError(DropboxError):
    """Dropbox does not accept our sign-in, or the sign-in lacks a permission: the user must sign in
    again.
    """

    @property
    def missing_scope(self) -> str | None:
        """The permission that is missing, such as `files.content.write`, if that is the trouble."""
        kind, _, scope = self.reason.partition("/")
        return scope if kind == "missing_scope" else None


class NotFoundError(DropboxError):
    """There is nothing at that path, or the upload session is gone."""


class CursorResetError(DropboxError):
    """The cursor of a listing is dead: list anew. It says nothing about the folder."""


class FullError(DropboxError):
    """The Dropbox account has no room for the file."""


class RateLimitedError(DropboxError):
    """Dropbox wants us to slow down; `retry_after` is how many seconds it asked for, if it said
    so.
    """

    def __init__(
        self, reason: str, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        """Keep the seconds to wait as well."""
        super().__init__(reason, request_id)
        self.retry_after = retry_after

    @property
    def concerns_writes(self) -> bool:
        """Whether others were writing at the same time: reading is allowed."""
        return self.reason.endswith("too_many_write_operations")


class UnreachableError(DropboxError):
    """No usable answer: no network, a broken connection, a server error, or an answer that is not
    Dropbox's.
    """


class RangeIgnoredError(UnreachableError):
    """A range was asked for and the whole file came: something on the way strips the header."""


class RefusedError(DropboxError):
    """Dropbox refuses this request and will go on refusing it: a conflict, a bad path, no write
    permission.
    """


class CorruptError(DropboxError):
    """What arrived is not what was sent."""


class StoppedError(Exception):
    """An upload was asked to stop and has, in good order: no failure, and nothing is lost. What has
    arrived need not be sent again.
    """

    def __init__(self) -> None:
        """Say so."""
        super().__init__("uploads are stopped")


def refusal(tags: Sequence[str], request_id: str | None) -> DropboxError:
    """Return the error for what a route refused, from Dropbox's tags (`path`, `not_found`)."""
    reason = "/".join(tags)
    if tags[-1] == "too_many_write_operations":
        return RateLimitedError(reason, request_id)
    if tags[-1] == "reset":
        return CursorResetError(reason, request_id)
    if tags[-1] == "not_found":
        return NotFoundError(reason, request_id)
    if tags[-1].endswith(("insufficient_space", "insufficient_quota")):
        return FullError(reason, request_id)
    return RefusedError(reason, request_id)
