"""One awaitable call per Dropbox route, with typed results and errors."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import aiohttp

from .answers import NOT_DROPBOXS, decode
from .calls import Caller
from .errors import (
    DropboxError,
    NotFoundError,
    RangeIgnoredError,
    RefusedError,
    UnreachableError,
    refusal,
)
from .sdk import files, users
from .transport import Sending

# The SDK's results are generated code without types.
type FileMetadata = Any
type Metadata = Any

# Longpoll answers within the asked time plus up to 90 s of jitter.
_LONGPOLL_JITTER = 90.0 + 30.0
# What Dropbox gives at once at most: a folder of a thousand backups is one request.
_LARGEST_PAGE = 2000
# A thousand files are not made in a moment.
_BATCH_TIMEOUT = 300.0
_PLAINLY = Sending()


@dataclass(frozen=True, slots=True)
class UploadCommit:
    """What a finished upload becomes: a new file at `path`, or a new revision of the one with
    revision `replaces`.

    Never renamed and never overwriting anything else: a conflict is a `RefusedError`.
    """

    path: str
    client_modified: datetime | None = None
    replaces: str | None = None

    def argument(self) -> Any:
        """Return Dropbox's own form of it."""
        mode = files.WriteMode.update(self.replaces) if self.replaces else files.WriteMode.add
        return files.CommitInfo(
            path=self.path,
            mode=mode,
            autorename=False,
            client_modified=self.client_modified,
            mute=True,
        )


@dataclass(frozen=True, slots=True)
class ClosedSession:
    """An upload session that has everything: `size` bytes, to become what `commit` says."""

    session_id: str
    size: int
    commit: UploadCommit

    def argument(self) -> Any:
        """Return Dropbox's own form of it."""
        return files.UploadSessionFinishArg(
            cursor=files.UploadSessionCursor(session_id=self.session_id, offset=self.size),
            commit=self.commit.argument(),
        )


class DropboxClient(Caller):
    """Dropbox for one account, over a session that is shared with others and never closed here."""

    # Account

    async def get_current_account(self) -> Any:
        """Return `users.FullAccount`."""
        return await self._call("users", users.get_current_account, None)

    async def get_space_usage(self) -> Any:
        """Return `users.SpaceUsage`, in bytes."""
        return await self._call("users", users.get_space_usage, None)

    # Folders and files

    async def list_folder(self, path: str) -> Any:
        """Return the first page, `files.ListFolderResult`. Raises `NotFoundError` for a missing
        folder.
        """
        arg = files.ListFolderArg(path=path, limit=_LARGEST_PAGE)
        return await self._call("files", files.list_folder, arg)

    async def list_folder_continue(self, cursor: str) -> Any:
        """Return what changed since the cursor. Raises `CursorResetError` when the listing must
        start again, `NotFoundError` when the folder is gone.
        """
        return await self._call(
            "files", files.list_folder_continue, files.ListFolderContinueArg(cursor=cursor)
        )

    async def list_folder_longpoll(self, cursor: str, seconds: int) -> Any:
        """Return `files.ListFolderLongpollResult` after a change, or after so many seconds (30 to
        480): Dropbox waits, not we. Raises `CursorResetError` when the listing must start again.
        """
        arg = files.ListFolderLongpollArg(cursor=cursor, timeout=seconds)
        return await self._call(
            "files", files.list_folder_longpoll, arg, answer_timeout=seconds + _LONGPOLL_JITTER
        )

    async def get_metadata(self, path: str) -> Metadata:
        """Return `files.FileMetadata` or `files.FolderMetadata`."""
        return await self._call("files", files.get_metadata, files.GetMetadataArg(path=path))

    async def search_names(self, name: str, most: int) -> Any:
        """Return what is called like this, somewhere in Dropbox, as `files.SearchV2Result`: at most
        so many (1,000), the newest first. It is as of a while ago, and may lack some.
        """
        options = files.SearchOptions(
            max_results=most,
            order_by=files.SearchOrderBy.last_modified_time,
            filename_only=True,
        )
        return await self._call(
            "files", files.search_v2, files.SearchV2Arg(query=name, options=options)
        )

    async def create_folder(self, path: str) -> None:
        """Make a folder and its parents. A folder that is there already is fine."""
        arg = files.CreateFolderArg(path=path, autorename=False)
        try:
            await self._call("files", files.create_folder_v2, arg, writes=True)
        except RefusedError as err:
            if err.reason != "path/conflict/folder":
                raise

    async def delete(self, path: str, rev: str) -> None:
        """Delete one file, only in this revision. Dropbox keeps it in "Deleted files" for a while.

        Raises `NotFoundError` if it was gone before, `RefusedError` if it has another revision.
        """
        tried: list[DropboxError] = []
        try:
            await self._call(
                "files",
                files.delete_v2,
                files.DeleteArg(path=path, parent_rev=rev),
                writes=True,
                failures=tried,
            )
        except NotFoundError:
            # The answer to an earlier try was lost: that one deleted it.
            if not any(isinstance(failure, UnreachableError) for failure in tried):
                raise

    # Content

    async def upload(
        self,
        data: bytes | memoryview,
        commit: UploadCommit,
        content_hash: str,
        sending: Sending = _PLAINLY,
    ) -> FileMetadata:
        """Upload a small file (at most 150 MiB) in one call; return its `files.FileMetadata`."""
        info = commit.argument()
        arg = files.UploadArg(
            path=info.path,
            mode=info.mode,
            autorename=info.autorename,
            client_modified=info.client_modified,
            mute=info.mute,
            content_hash=content_hash,
        )
        return await self._call("files", files.upload, arg, data=data, sending=sending, writes=True)

    async def upload_session_start(self) -> str:
        """Open a concurrent upload session; return its id. Dropbox forgets it after 7 days."""
        # Dropbox allows no data in the call that starts a concurrent session.
        arg = files.UploadSessionStartArg(session_type=files.UploadSessionType.concurrent)
        result = await self._call("files", files.upload_session_start, arg, data=b"")
        return str(result.session_id)

    async def upload_session_start_whole(
        self, data: bytes | memoryview, content_hash: str, sending: Sending = _PLAINLY
    ) -> str:
        """Send a small file (at most 150 MiB) into a closed session of its own; return its id.

        Unlike `upload` this does not lock the user's Dropbox.
        """
        arg = files.UploadSessionStartArg(close=True, content_hash=content_hash)
        result = await self._call(
            "files", files.upload_session_start, arg, data=data, sending=sending
        )
        return str(result.session_id)

    async def upload_session_append(
        self,
        session_id: str,
        offset: int,
        data: bytes | memoryview,
        content_hash: str,
        *,
        close: bool,
        sending: Sending = _PLAINLY,
    ) -> None:
        """Send one chunk of a concurrent session: a multiple of 4 MiB, but for the one that closes
        it.

        Raises `NotFoundError` when the session is gone.
        """
        arg = files.UploadSessionAppendArg(
            cursor=files.UploadSessionCursor(session_id=session_id, offset=offset),
            close=close,
            content_hash=content_hash,
        )
        tried: list[DropboxError] = []
        try:
            await self._call(
                "files",
                files.upload_session_append_v2,
                arg,
                data=data,
                sending=sending,
                failures=tried,
            )
        except RefusedError as err:
            # The answer to an earlier try was lost: that one brought the chunk. Should it not have,
            # the commit fails on the hole (`concurrent_session_missing_data`).
            had_arrived = {"closed", "incorrect_offset", "concurrent_session_invalid_offset"}
            lost = any(isinstance(failure, UnreachableError) for failure in tried)
            if not (lost and err.reason in had_arrived):
                raise

    async def upload_session_finish(self, session: ClosedSession) -> FileMetadata:
        """Make a closed session a file; return its `files.FileMetadata`."""
        return await self._call(
            "files", files.upload_session_finish, session.argument(), data=b"", writes=True
        )

    async def upload_session_finish_batch(
        self, sessions: Sequence[ClosedSession]
    ) -> list[FileMetadata | DropboxError]:
        """Make closed sessions (at most 1,000) files in one call; return for each of them, in the
        same order, its `files.FileMetadata` or why there is no file.
        """
        arg = files.UploadSessionFinishBatchArg([session.argument() for session in sessions])
        result = await self._call(
            "files",
            files.upload_session_finish_batch_v2,
            arg,
            writes=True,
            answer_timeout=_BATCH_TIMEOUT,
        )
        if len(result.entries) != len(sessions):
            raise UnreachableError(NOT_DROPBOXS)
        return [
            entry.get_success() if entry.is_success() else refusal(_tags(entry), None)
            for entry in result.entries
        ]

    @asynccontextmanager
    async def download(
        self, path: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[tuple[FileMetadata, aiohttp.StreamReader]]:
        """Open a file, or its bytes from `start` up to but without `end`, as (`files.FileMetadata`,
        stream).

        `path` may also be `rev:<revision>`. Tries again until the answer begins; what breaks while
        the caller reads is raised as `UnreachableError`. Raises `RangeIgnoredError`.
        """
        headers = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        arg = files.DownloadArg(path=path)
        async with self._open("files", files.download, arg, headers=headers) as response:
            if headers and response.status != HTTPStatus.PARTIAL_CONTENT:
                raise RangeIgnoredError("the range was ignored")
            result = response.headers.get("Dropbox-API-Result", "")
            yield decode(files.download, result, response), response.content


def _tags(union: Any) -> list[str]:
    """Return what a failed entry says as a path of tags, without its first one (`failure`)."""
    tags = []
    while isinstance(tag := getattr(union := getattr(union, "_value", None), "_tag", None), str):
        tags.append(tag)
    return tags or ["other"]
