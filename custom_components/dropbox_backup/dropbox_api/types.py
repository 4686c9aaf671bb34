"""What is told to Dropbox, and what Dropbox tells: the only types that leave this package.

Whatever is in an answer has been checked when it becomes one of these: see `convert.py`.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """Whose Dropbox it is. `name` may be empty."""

    account_id: str
    name: str


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
class File:
    """One revision of a file, as Dropbox has it. `size` in bytes, dates in UTC.

    `path_display` is empty if Dropbox does not tell it. `client_modified` is what whoever uploaded
    the file said of its date, None if that is no date between 1970 and 9000;
    `server_modified` is Dropbox's own time.
    """

    name: str
    path_display: str
    rev: str
    size: int
    content_hash: str
    client_modified: datetime | None
    server_modified: datetime


@dataclass(frozen=True, slots=True)
class NoFile:
    """Under this name is no file, or none whose values can be trusted: a folder, or it is gone."""

    name: str


type Entry = File | NoFile


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing. The next one begins at `cursor`, at once if there is more."""

    entries: tuple[Entry, ...]
    cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class Longpoll:
    """How a longpoll ended: whether there are changes, and for how many seconds Dropbox wants no
    other.
    """

    changes: bool
    backoff: float


@dataclass(frozen=True, slots=True)
class UploadCommit:
    """What a finished upload becomes: a new file at `path`, or a new revision of the one with
    revision `replaces`. `client_modified` is the date to be shown; Dropbox keeps whole seconds.

    Never renamed and never overwriting anything else: a conflict is a `ConflictError`.
    """

    path: str
    client_modified: datetime | None = None
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class ClosedSession:
    """An upload session that has everything: `size` bytes, to become what `commit` says."""

    session_id: str
    size: int
    commit: UploadCommit
