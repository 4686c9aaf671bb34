"""Between the SDK's generated objects and our own types: no other module knows both.

Every text, number, date and size in an answer passes the guarded reader here. What can't be trusted
raises `UntrustedError`, or is left out where the answer is a list.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from .. import untrusted
from .errors import DropboxError, Fault, UnreachableError, refusal
from .rate_limit import capped
from .sdk import files
from .types import (
    Account,
    ClosedSession,
    Entry,
    File,
    Longpoll,
    NoFile,
    Page,
    Space,
    UploadCommit,
)

# The SDK's objects are generated code without types.
type Sdk = Any

_LONGEST_NAME = 255
# Cursors and ids of sessions have no documented length.
_opaque = partial(untrusted.exact, longest=untrusted.LONGEST_TEXT)


# What is told


def commit_info(commit: UploadCommit) -> Sdk:
    """Return `files.CommitInfo`."""
    mode = files.WriteMode.update(commit.replaces) if commit.replaces else files.WriteMode.add
    date = commit.client_modified
    return files.CommitInfo(
        path=commit.path,
        mode=mode,
        autorename=False,
        # The SDK takes dates without a zone as UTC, and refuses all others.
        client_modified=None if date is None else date.astimezone(UTC).replace(tzinfo=None),
        mute=True,
    )


def finish_arg(session: ClosedSession) -> Sdk:
    """Return `files.UploadSessionFinishArg`."""
    return files.UploadSessionFinishArg(
        cursor=files.UploadSessionCursor(session_id=session.session_id, offset=session.size),
        commit=commit_info(session.commit),
    )


# What is answered


def nothing(_result: Sdk) -> None:
    """Return nothing: that there is an answer is all that matters."""


def account(result: Sdk) -> Account:
    """Return whose Dropbox a `users.FullAccount` is."""
    name = untrusted.presentable(str(result.name.display_name)).strip()
    return Account(untrusted.exact(result.account_id), name[:_LONGEST_NAME])


def space(result: Sdk) -> Space | None:
    """Return the room of the account, or of its team, from a `users.SpaceUsage`; None if there is
    no limit, or one of a kind that nobody knows yet.
    """
    allocation = result.allocation
    if allocation.is_individual():
        used, total = result.used, allocation.get_individual().allocated
    elif allocation.is_team():
        team = allocation.get_team()
        used, total = team.used, team.allocated
    else:
        return None
    # A team without a limit has an allocation of 0.
    return Space(untrusted.whole(used), untrusted.whole(total)) if total else None


def file(metadata: Sdk) -> File:
    """Return what a `files.FileMetadata` says."""
    if not isinstance(metadata, files.FileMetadata):
        raise untrusted.UntrustedError("expected a file")
    return File(
        name=untrusted.exact(metadata.name),
        path_display=untrusted.or_none(_opaque, metadata.path_display) or "",
        rev=untrusted.exact(metadata.rev),
        size=untrusted.size(metadata.size),
        content_hash=untrusted.exact(metadata.content_hash) if metadata.content_hash else "",
        client_modified=_told_date(metadata.client_modified),
        server_modified=untrusted.within_calendar(metadata.server_modified.replace(tzinfo=UTC)),
    )


def entry(metadata: Sdk) -> Entry:
    """Return what any `files.Metadata` says. Raises `UntrustedError` if it has no name."""
    name = untrusted.exact(metadata.name)
    return untrusted.or_none(file, metadata) or NoFile(name)


def page(result: Sdk) -> Page:
    """Return a `files.ListFolderResult`, without what has no name. Blocking if it is large."""
    entries = untrusted.readable(entry, result.entries, len(result.entries))
    return Page(tuple(entries), _opaque(result.cursor), untrusted.flag(result.has_more))


def longpoll(result: Sdk) -> Longpoll:
    """Return a `files.ListFolderLongpollResult`."""
    return Longpoll(untrusted.flag(result.changes), capped(result.backoff or 0))


def found(result: Sdk) -> list[File]:
    """Return the files of a `files.SearchV2Result`."""
    return untrusted.readable(_match, result.matches, len(result.matches))


def session_id(result: Sdk) -> str:
    """Return the id of a session that was begun."""
    return _opaque(result.session_id)


def finished(result: Sdk) -> list[File | DropboxError]:
    """Return the files of a `files.UploadSessionFinishBatchResult`, or why there is none."""
    return [_finished(one) for one in result.entries]


def _finished(one: Sdk) -> File | DropboxError:
    if not one.is_success():
        return refusal(_tags(one))
    return untrusted.or_none(file, one.get_success()) or UnreachableError(Fault.ANSWER_OF_ANOTHER)


def _match(match: Sdk) -> File:
    if not match.metadata.is_metadata():
        raise untrusted.UntrustedError("expected a file")
    return file(match.metadata.get_metadata())


def _told_date(date: datetime) -> datetime | None:
    date = date.replace(tzinfo=UTC)
    return date if untrusted.EARLIEST <= date <= untrusted.LATEST else None


def _tags(union: Sdk) -> list[str]:
    """Return what a failed entry says as a path of tags, without its first one (`failure`)."""
    tags = []
    while isinstance(tag := getattr(union := getattr(union, "_value", None), "_tag", None), str):
        tags.append(tag)
    return tags or ["other"]
