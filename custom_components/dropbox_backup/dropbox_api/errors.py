"""What can go wrong with Dropbox, as few kinds as a caller can tell apart by what to do next."""

from collections.abc import Sequence
from typing import override

from ..codes import Code, CodedError, Reason
from ..untrusted import presentable

# Whoever answered wrote it, and it is shown.
_LONGEST_REASON = 500


class Fault(Code):
    """What went wrong with Dropbox, or on the way to it."""

    DROPBOX_SAID = "dropbox_said"
    WITH_REQUEST = "with_request"
    NO_ANSWER = "no_answer_in_time"
    NO_CONNECTION = "no_connection"
    UNEXPECTED_STATUS = "unexpected_status"
    ANSWER_OF_ANOTHER = "answer_of_another"
    ANSWER_BROKEN_OFF = "answer_broken_off"
    ANSWER_TOO_LONG = "answer_too_long"
    ANOTHER_RANGE = "another_range"
    RANGES_IGNORED = "ranges_ignored"
    LISTING_RESTARTS = "listing_restarts"
    LISTING_ENDLESS = "listing_endless"
    SIGN_IN_REFUSED = "sign_in_not_accepted"
    SIGN_IN_ENDED = "sign_in_ended"
    SIGN_IN_NOT_RENEWED = "sign_in_not_renewed"
    RENEWAL_ANSWERED_ODDLY = "renewal_answered_oddly"
    NEW_TOKEN_REFUSED = "new_token_refused"  # noqa: S105  (the code of a reason, no secret)
    APP_GONE = "app_gone"
    ACCESS_DENIED = "access_denied"
    BAD_REQUEST = "bad_request"
    ASKED_TOO_MUCH = "asked_too_much"
    NO_ROOM = "no_room"
    TOO_LITTLE_ROOM = "too_little_room"
    ANOTHER_FILE = "another_file"
    WRONG_LENGTH = "wrong_length"
    DAMAGED_ON_THE_WAY = "damaged_on_the_way"
    STORED_OTHERWISE = "stored_otherwise"
    DOWNLOAD_DIFFERS = "download_differs"
    SESSION_LOST = "session_lost"


class DropboxError(CodedError):
    """Base of all errors of this package. Never carries a token, an account id or an e-mail
    address.

    `tags` is Dropbox's own error, from the outermost to the innermost: `path`, `conflict`, `file`.
    `fault` says what is wrong, to be told, and `why` the same with the id of the request. `reason`
    is the same as a short text for the log. `request_id` is what Dropbox's support asks for.
    """

    def __init__(
        self, reason: str | Reason, request_id: str | None = None, *, tags: Sequence[str] = ()
    ) -> None:
        """Keep Dropbox's reason, or ours, and the id of the request."""
        match reason:
            case Reason():
                self.fault, self.reason = reason, str(reason.get("answer") or reason.code)
            case Code():
                self.fault, self.reason = Reason(reason), str(reason)
            case _:
                self.reason = presentable(reason[:_LONGEST_REASON])
                self.fault = Reason.of(Fault.DROPBOX_SAID, answer=self.reason)
        self.tags = tuple(tags)
        self.request_id = presentable(request_id[:_LONGEST_REASON]) if request_id else None
        super().__init__(
            Reason.of(Fault.WITH_REQUEST, reason=self.fault, request_id=self.request_id)
            if self.request_id
            else self.fault
        )

    def has(self, *tags: str) -> bool:
        """Tell whether any of these is among Dropbox's tags."""
        return not set(tags).isdisjoint(self.tags)

    @override
    def __str__(self) -> str:
        told = self.reason if self.fault.code is Fault.DROPBOX_SAID else str(self.fault)
        return f"{told} (request {self.request_id})" if self.request_id else told


class SignInError(DropboxError):
    """Dropbox does not accept our sign-in, or the sign-in lacks a permission: the user must sign in
    again.
    """

    @property
    def missing_scope(self) -> str | None:
        """The permission that is missing, such as `files.content.write`, if that is the trouble."""
        match self.tags:
            case ("missing_scope", scope, *_):
                return scope
        return None

    @property
    def is_token_expired(self) -> bool:
        """Whether a new access token may help."""
        return self.has("expired_access_token", "invalid_access_token")


class NotFoundError(DropboxError):
    """There is nothing at that path, or the upload session is gone."""


class CursorResetError(DropboxError):
    """The cursor of a listing is dead: list anew. It says nothing about the folder."""


class FullError(DropboxError):
    """The Dropbox account has no room for the file."""


class TransientError(DropboxError):
    """It may go well a moment later: see `retry.py`."""


class RateLimitedError(TransientError):
    """Dropbox wants us to slow down; `retry_after` is how many seconds it asked for, if it said
    so.
    """

    def __init__(
        self,
        reason: str | Reason,
        request_id: str | None = None,
        retry_after: float | None = None,
        *,
        tags: Sequence[str] = (),
    ) -> None:
        """Keep the seconds to wait as well."""
        super().__init__(reason, request_id, tags=tags)
        self.retry_after = retry_after

    @property
    def concerns_writes(self) -> bool:
        """Whether others were writing at the same time: reading is allowed."""
        return self.has(_TOO_MANY_WRITES)


class UnreachableError(TransientError):
    """No usable answer: no network, a broken connection, a server error, or an answer that is not
    Dropbox's.
    """


class RangeIgnoredError(UnreachableError):
    """A range was asked for and the whole file came: something on the way strips the header."""


class RefusedError(DropboxError):
    """Dropbox refuses this request and will go on refusing it: see also the kinds of it."""


class ConflictError(RefusedError):
    """Something else lies at that path, or another revision of the file."""


class BadNameError(RefusedError):
    """Dropbox allows no such name."""


class NotWritableError(RefusedError):
    """Nothing can be written there: no permission, somebody else's folder, or what only looks like
    one.
    """


class FileAsFolderError(NotWritableError):
    """A file lies where a folder of the path should be."""


class CorruptError(DropboxError):
    """What arrived is not what was sent."""


class StoppedError(Exception):
    """An upload was asked to stop and has, in good order: no failure, and nothing is lost. What has
    arrived need not be sent again.
    """

    def __init__(self) -> None:
        """Say so."""
        super().__init__("stopped")


_TOO_MANY_WRITES = "too_many_write_operations"
# What a route refuses, by a tag anywhere in its error. The first that fits counts:
# https://www.dropbox.com/developers/documentation/http/documentation#files-upload (`WriteError`)
_KINDS: tuple[tuple[type[DropboxError], frozenset[str]], ...] = (
    (RateLimitedError, frozenset({_TOO_MANY_WRITES})),
    (CursorResetError, frozenset({"reset"})),
    (NotFoundError, frozenset({"not_found"})),
    (
        FullError,
        frozenset(
            f"{whose}{what}"
            for whose in ("", "team_folder_", "member_folder_")
            for what in ("insufficient_space", "insufficient_quota")
        ),
    ),
    (BadNameError, frozenset({"malformed_path", "disallowed_name"})),
    (FileAsFolderError, frozenset({"file_ancestor"})),
    (ConflictError, frozenset({"conflict"})),
    (
        NotWritableError,
        frozenset(
            {"no_write_permission", "access_restricted", "operation_suppressed", "team_folder"}
        ),
    ),
)


def refusal(tags: Sequence[str], request_id: str | None = None) -> DropboxError:
    """Return the error for what a route refused, from Dropbox's tags (`path`, `not_found`)."""
    kind = next((kind for kind, names in _KINDS if not names.isdisjoint(tags)), RefusedError)
    return kind("/".join(tags), request_id, tags=tags)
