"""One awaitable call per Dropbox route, with typed results and errors."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp

from . import convert
from .answers import decode
from .calls import Caller
from .errors import (
    ConflictError,
    DropboxError,
    Fault,
    NotFoundError,
    RangeIgnoredError,
    RefusedError,
    UnreachableError,
)
from .sdk import files, users
from .transport import Sending
from .types import (
    Account,
    ClosedSession,
    Entry,
    File,
    Longpoll,
    Page,
    Space,
    UploadCommit,
)

# In seconds. A longpoll is answered within the time that was asked for plus up to 90 s, so that not
# all clients come back at once; the rest is for the line.
# https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder-longpoll
_LONGPOLL_JITTER = 90.0 + 30.0
# What Dropbox gives at once at most: a folder of a thousand backups is one request.
# https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder
_LARGEST_PAGE = 2000
# A thousand files are not made in a moment.
_BATCH_TIMEOUT = 300.0
_PLAINLY = Sending()


class DropboxClient(Caller):
    """Dropbox for one account, over a session that is shared with others and never closed here."""

    # Account

    async def get_current_account(self) -> Account:
        """Return whose Dropbox it is."""
        return await self._call("users", users.get_current_account, None, convert.account)

    async def get_space_usage(self) -> Space | None:
        """Return the room of the account, or of its team; None if there is no limit that we
        understand.
        """
        return await self._call("users", users.get_space_usage, None, convert.space)

    # Folders and files

    async def list_folder(self, path: str) -> Page:
        """Return the first page. Raises `NotFoundError` for a missing folder."""
        arg = files.ListFolderArg(path=path, limit=_LARGEST_PAGE)
        return await self._call("files", files.list_folder, arg, convert.page)

    async def list_folder_continue(self, cursor: str) -> Page:
        """Return what changed since the cursor. Raises `CursorResetError` when the listing must
        start again, `NotFoundError` when the folder is gone.
        """
        arg = files.ListFolderContinueArg(cursor=cursor)
        return await self._call("files", files.list_folder_continue, arg, convert.page)

    async def list_folder_longpoll(self, cursor: str, seconds: int) -> Longpoll:
        """Return after a change, or after so many seconds (30 to 480): Dropbox waits, not we.
        Raises `CursorResetError` when the listing must start again.
        """
        arg = files.ListFolderLongpollArg(cursor=cursor, timeout=seconds)
        return await self._call(
            "files",
            files.list_folder_longpoll,
            arg,
            convert.longpoll,
            answer_timeout=seconds + _LONGPOLL_JITTER,
        )

    async def get_metadata(self, path: str) -> Entry:
        """Return what is at a path now. Raises `NotFoundError`."""
        arg = files.GetMetadataArg(path=path)
        return await self._call("files", files.get_metadata, arg, convert.entry)

    async def search_names(self, name: str, most: int) -> list[File]:
        """Return the files that are called like this, somewhere in Dropbox: at most so many
        (1,000), the newest first. It is as of a while ago, and may lack some.
        """
        options = files.SearchOptions(
            max_results=most,
            order_by=files.SearchOrderBy.last_modified_time,
            filename_only=True,
        )
        arg = files.SearchV2Arg(query=name, options=options)
        return await self._call("files", files.search_v2, arg, convert.found)

    async def create_folder(self, path: str) -> None:
        """Make a folder and its parents. A folder that is there already is fine."""
        arg = files.CreateFolderArg(path=path, autorename=False)
        try:
            await self._call("files", files.create_folder_v2, arg, convert.nothing, writes=True)
        except ConflictError as err:
            if not err.has("folder"):
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
                convert.nothing,
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
    ) -> File:
        """Upload a small file (at most 150 MiB) in one call.

        https://www.dropbox.com/developers/documentation/http/documentation#files-upload
        """
        info = convert.commit_info(commit)
        arg = files.UploadArg(
            path=info.path,
            mode=info.mode,
            autorename=info.autorename,
            client_modified=info.client_modified,
            mute=info.mute,
            content_hash=content_hash,
        )
        return await self._call(
            "files", files.upload, arg, convert.file, data=data, sending=sending, writes=True
        )

    async def upload_session_start(self) -> str:
        """Open a concurrent upload session; return its id. Dropbox forgets it after 7 days.

        https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-start
        """
        # Dropbox allows no data in the call that starts a concurrent session.
        arg = files.UploadSessionStartArg(session_type=files.UploadSessionType.concurrent)
        return await self._call(
            "files", files.upload_session_start, arg, convert.session_id, data=b""
        )

    async def upload_session_start_whole(
        self, data: bytes | memoryview, content_hash: str, sending: Sending = _PLAINLY
    ) -> str:
        """Send a small file (at most 150 MiB) into a closed session of its own; return its id.

        Unlike `upload` this does not lock the user's Dropbox.
        """
        arg = files.UploadSessionStartArg(close=True, content_hash=content_hash)
        return await self._call(
            "files",
            files.upload_session_start,
            arg,
            convert.session_id,
            data=data,
            sending=sending,
        )

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
                convert.nothing,
                data=data,
                sending=sending,
                failures=tried,
            )
        except RefusedError as err:
            # The answer to an earlier try was lost: that one brought the chunk. Should it not have,
            # the commit fails on the hole (`concurrent_session_missing_data`).
            had_arrived = err.has("closed", "incorrect_offset", "concurrent_session_invalid_offset")
            lost = any(isinstance(failure, UnreachableError) for failure in tried)
            if not (lost and had_arrived):
                raise

    async def upload_session_finish(self, session: ClosedSession) -> File:
        """Make a closed session a file."""
        arg = convert.finish_arg(session)
        return await self._call(
            "files", files.upload_session_finish, arg, convert.file, data=b"", writes=True
        )

    async def upload_session_finish_batch(
        self, sessions: Sequence[ClosedSession]
    ) -> list[File | DropboxError]:
        """Make closed sessions (at most 1,000) files in one call; return for each of them, in the
        same order, the file or why there is none.
        """
        arg = files.UploadSessionFinishBatchArg([convert.finish_arg(one) for one in sessions])
        results = await self._call(
            "files",
            files.upload_session_finish_batch_v2,
            arg,
            convert.finished,
            writes=True,
            answer_timeout=_BATCH_TIMEOUT,
        )
        if len(results) != len(sessions):
            raise UnreachableError(Fault.ANSWER_OF_ANOTHER)
        return results

    @asynccontextmanager
    async def download(
        self, path: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[tuple[File, aiohttp.StreamReader]]:
        """Open a file, or its bytes from `start` up to but without `end`, as (file, stream).

        `path` may also be `rev:<revision>`. Tries again until the answer begins; what breaks while
        the caller reads is raised as `UnreachableError`. Raises `RangeIgnoredError`.
        """
        headers = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        arg = files.DownloadArg(path=path)
        async with self._open("files", files.download, arg, headers=headers) as response:
            if headers and response.status != HTTPStatus.PARTIAL_CONTENT:
                raise RangeIgnoredError(Fault.RANGES_IGNORED)
            result = response.headers.get("Dropbox-API-Result", "")
            yield decode(files.download, result, response, convert.file), response.content
