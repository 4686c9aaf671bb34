"""One awaitable call per Dropbox route: sign-in, bounded retries, rate limits, typed results and
errors.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
import json
import random
import time
from typing import Any, Literal, Self

import aiohttp

from .errors import (
    DropboxError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    SignInError,
    UnreachableError,
)
from .sdk import files, json_decode, json_encode, session as sdk_session, users
from .transport import Body, Hold, OnSent, request

type GetToken = Callable[[str | None], Awaitable[str]]
"""Returns a valid access token; given one that Dropbox has just refused, a new one. Raises
`SignInError` or
`UnreachableError`."""

type Sleep = Callable[[float], Awaitable[None]]

type OnFailure = Callable[[DropboxError], None]

# SDK route objects, arguments and results are generated code without types.
type Route = Any
type FileMetadata = Any
type Metadata = Any

_HOSTS = {
    "api": lambda: sdk_session.API_HOST,
    "content": lambda: sdk_session.API_CONTENT_HOST,
    "notify": lambda: sdk_session.API_NOTIFICATION_HOST,
}
# Characters of JSON that the event loop decodes in a few milliseconds, also on a small board. A
# page of a thousand files is ten times as large.
_LARGE_ANSWER = 32 * 1024
_FIRST_WAIT = 0.5
# Fresh access tokens within one call. A second may expire while a slow line sends a chunk.
_RENEWALS = 2
_LONGEST_WAIT = 60.0
# Longpoll answers within the asked time plus up to 90 s of jitter.
_LONGPOLL_JITTER = 90.0 + 30.0


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


class DropboxClient:
    """Dropbox for one account, over a session that is shared with others and never closed here."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        get_token: GetToken,
        *,
        patience: float = 60.0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`patience`: for how many seconds a failing call is tried again before its error is
        raised.
        """
        self._session = session
        self._get_token = get_token
        self._patience = patience
        self._sleep = sleep

    def with_patience(self, seconds: float) -> Self:
        """Return a client of the same account that tries failing calls again for so many
        seconds.
        """
        return type(self)(self._session, self._get_token, patience=seconds, sleep=self._sleep)

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
        return await self._call("files", files.list_folder, files.ListFolderArg(path=path))

    async def list_folder_continue(self, cursor: str) -> Any:
        """Return what changed since the cursor. Raises `NotFoundError` when the listing must start
        again.
        """
        return await self._call(
            "files", files.list_folder_continue, files.ListFolderContinueArg(cursor=cursor)
        )

    async def list_folder_longpoll(self, cursor: str, timeout: int) -> Any:  # noqa: ASYNC109  (Dropbox waits, not we)
        """Return `files.ListFolderLongpollResult` after a change, or after so many seconds (30 to
        480).
        """
        arg = files.ListFolderLongpollArg(cursor=cursor, timeout=timeout)
        return await self._call(
            "files", files.list_folder_longpoll, arg, answer_timeout=timeout + _LONGPOLL_JITTER
        )

    async def get_metadata(self, path: str) -> Metadata:
        """Return `files.FileMetadata` or `files.FolderMetadata`."""
        return await self._call("files", files.get_metadata, files.GetMetadataArg(path=path))

    async def create_folder(self, path: str) -> None:
        """Make a folder and its parents. A folder that is there already is fine."""
        arg = files.CreateFolderArg(path=path, autorename=False)
        try:
            await self._call("files", files.create_folder_v2, arg)
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
                "files", files.delete_v2, files.DeleteArg(path=path, parent_rev=rev), failures=tried
            )
        except NotFoundError:
            # The answer to an earlier try was lost: that one deleted it.
            if not any(isinstance(failure, UnreachableError) for failure in tried):
                raise

    # Content

    async def upload(
        self,
        data: bytes | bytearray,
        commit: UploadCommit,
        content_hash: str,
        on_sent: OnSent | None = None,
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
        return await self._call("files", files.upload, arg, data=data, on_sent=on_sent)

    async def upload_session_start(self) -> str:
        """Open a concurrent upload session; return its id. Dropbox forgets it after 7 days."""
        # Dropbox allows no data in the call that starts a concurrent session.
        arg = files.UploadSessionStartArg(session_type=files.UploadSessionType.concurrent)
        result = await self._call("files", files.upload_session_start, arg, data=b"")
        return str(result.session_id)

    async def upload_session_append(
        self,
        session_id: str,
        offset: int,
        data: bytes | bytearray,
        content_hash: str,
        *,
        close: bool,
        hold: Hold | None = None,
        on_sent: OnSent | None = None,
        on_failure: OnFailure | None = None,
    ) -> None:
        """Send one chunk of a concurrent session: a multiple of 4 MiB, but for the one that closes
        it.

        The chunk is not complete before `hold` returns. `on_failure` is told about every try that
        is going to be repeated.

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
                hold=hold,
                on_sent=on_sent,
                failures=tried,
                on_failure=on_failure,
            )
        except RefusedError as err:
            # The answer to an earlier try was lost: that one brought the chunk. Should it not have,
            # the commit fails on the hole (`concurrent_session_missing_data`).
            had_arrived = {"closed", "incorrect_offset", "concurrent_session_invalid_offset"}
            lost = any(isinstance(failure, UnreachableError) for failure in tried)
            if not (lost and err.reason in had_arrived):
                raise

    async def upload_session_finish(
        self, session_id: str, size: int, commit: UploadCommit
    ) -> FileMetadata:
        """Make the closed session a file; return its `files.FileMetadata`."""
        arg = files.UploadSessionFinishArg(
            cursor=files.UploadSessionCursor(session_id=session_id, offset=size),
            commit=commit.argument(),
        )
        return await self._call("files", files.upload_session_finish, arg, data=b"")

    @asynccontextmanager
    async def download(
        self, path: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[tuple[FileMetadata, aiohttp.StreamReader]]:
        """Open a file, or its bytes from `start` up to but without `end`, as (`files.FileMetadata`,
        stream).

        `path` may also be `rev:<revision>`. Tries again until the answer begins; what breaks while
        the caller reads is raised as `UnreachableError`.
        """
        headers = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        arg = files.DownloadArg(path=path)
        async with self._open("files", files.download, arg, headers=headers) as response:
            if headers and response.status != HTTPStatus.PARTIAL_CONTENT:
                raise UnreachableError("Dropbox ignored the range")
            result = response.headers.get("Dropbox-API-Result", "")
            yield _decode(files.download, result, response), response.content

    # Calling a route

    async def _call(
        self,
        namespace: Literal["files", "users"],
        route: Route,
        arg: Any,
        *,
        data: bytes | bytearray | None = None,
        hold: Hold | None = None,
        on_sent: OnSent | None = None,
        answer_timeout: float | None = None,
        failures: list[DropboxError] | None = None,
        on_failure: OnFailure | None = None,
    ) -> Any:
        """Call a route until it answers or patience ends; return its decoded result.

        `failures` collects the errors of the tries that were repeated.
        """
        retries = _Retries(self._patience, self._sleep, failures, on_failure)
        while True:
            try:
                async with self._send(
                    namespace,
                    route,
                    arg,
                    data=data,
                    hold=hold,
                    on_sent=on_sent,
                    answer_timeout=answer_timeout,
                ) as response:
                    text = (await response.content.read()).decode("utf-8", "replace")
                    if len(text) < _LARGE_ANSWER:
                        return _decode(route, text, response)
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(None, _decode, route, text, response)
            except (UnreachableError, RateLimitedError) as err:
                await retries.wait_after(err)

    @asynccontextmanager
    async def _open(
        self, namespace: Literal["files"], route: Route, arg: Any, *, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        retries = _Retries(self._patience, self._sleep)
        while True:
            begun = False
            try:
                async with self._send(namespace, route, arg, headers=headers) as response:
                    begun = True
                    yield response
                    return
            except (UnreachableError, RateLimitedError) as err:
                if begun:
                    raise
                await retries.wait_after(err)

    @asynccontextmanager
    async def _send(
        self,
        namespace: str,
        route: Route,
        arg: Any,
        *,
        data: bytes | bytearray | None = None,
        hold: Hold | None = None,
        on_sent: OnSent | None = None,
        answer_timeout: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, again with a new access token if Dropbox does not accept the old one."""
        version = f"_v{route.version}" if route.version > 1 else ""
        url = f"https://{_HOSTS[route.attrs['host']]()}/2/{namespace}/{route.name}{version}"
        refused: str | None = None
        for renewals_left in reversed(range(_RENEWALS + 1)):
            sent = dict(headers or {})
            token = None
            if route.attrs["auth"] != "noauth":
                token = await self._get_token(refused)
                sent["Authorization"] = f"Bearer {token}"
            body = _encode(route, arg, sent, data, on_sent, hold)
            timeout = {} if answer_timeout is None else {"answer_timeout": answer_timeout}
            try:
                async with request(self._session, url, sent, body, **timeout) as response:
                    yield response
                    return
            except SignInError as err:
                expired = err.reason in {"expired_access_token", "invalid_access_token"}
                if not (expired and renewals_left) or token == refused:
                    raise
                refused = token


class _Retries:
    """When to try a failing call again, and when to stop."""

    def __init__(
        self,
        patience: float,
        sleep: Sleep,
        failures: list[DropboxError] | None = None,
        on_failure: OnFailure | None = None,
    ) -> None:
        self._patience = patience
        self._deadline: float | None = None
        self._sleep = sleep
        self._failures = failures
        self._on_failure = on_failure
        self._next_wait = _FIRST_WAIT

    async def wait_after(self, err: UnreachableError | RateLimitedError) -> None:
        """Sleep before the next try, or raise the error when patience has ended."""
        # Jitter: the chunks of one upload must not all come back at the same moment.
        wait = self._next_wait * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
        if isinstance(err, RateLimitedError) and err.retry_after is not None:
            wait += err.retry_after
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._patience
        if now + wait > self._deadline:
            raise err
        self._next_wait = min(self._next_wait * 2, _LONGEST_WAIT)
        if self._failures is not None:
            self._failures.append(err)
        if self._on_failure is not None:
            self._on_failure(err)
        await self._sleep(wait)


def _encode(
    route: Route,
    arg: Any,
    headers: dict[str, str],
    data: bytes | bytearray | None,
    on_sent: OnSent | None,
    hold: Hold | None,
) -> Body | bytes | None:
    """Put the argument where the route's style wants it; return the body."""
    style = route.attrs["style"]
    # A route without argument takes JSON's null: without a body aiohttp would add a content type.
    argument = "null" if arg is None else json_encode(route.arg_type, arg)
    if style == "rpc":
        headers["Content-Type"] = "application/json"
        return bytes(argument, "utf-8")
    # A header carries ASCII only: Dropbox asks for JSON escapes, also of 0x7f.
    headers["Dropbox-API-Arg"] = json.dumps(json.loads(argument)).replace("\x7f", "\\u007f")
    if style == "download":
        # aiohttp would add a content type of its own to a POST without a body.
        headers["Content-Type"] = "application/octet-stream"
        return None
    headers["Content-Type"] = "application/octet-stream"
    return Body(data or b"", on_sent, hold)


def _decode(route: Route, text: str, response: aiohttp.ClientResponse) -> Any:
    """Return the route's result. Anything that is not one is somebody else's answer, such as a
    captive portal's.
    """
    try:
        return json_decode(route.result_type, text, strict=False)
    except Exception as err:
        raise UnreachableError(
            "the answer is not one of Dropbox's", response.headers.get("X-Dropbox-Request-Id")
        ) from err
