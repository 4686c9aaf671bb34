"""Calling a route: sign-in, bounded retries, rate limits, and Dropbox's JSON in and out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
import json
from typing import Any, Literal, Self

import aiohttp

from . import hosts
from .answers import Route, decode, read
from .errors import DropboxError, SignInError, TransientError
from .rate_limit import RateLimit
from .retry import RETRY_FOR, Retries, Sleep, Waiter
from .sdk import json_encode
from .threads import in_thread
from .transport import Body, OnFailure, Sending, request

type GetToken = Callable[[str | None], Awaitable[str]]
"""Returns a valid access token; given one that Dropbox has just refused, a new one. Raises
`SignInError` or
`UnreachableError`."""

_HOSTS = {"api": hosts.api, "content": hosts.content, "notify": hosts.notify}
# Characters of JSON that the event loop decodes in a few milliseconds, also on a small board. A
# page of a thousand files is ten times as large.
_LARGE_ANSWER = 32 * 1024
# A page of 2,000 files with the longest names is smaller; on a thin line it takes minutes.
_LARGEST_ANSWER = 16 * 1024 * 1024
_LONGEST_ANSWER = 600.0
# Fresh access tokens within one call. A second may expire while a slow line sends a chunk.
_RENEWALS = 2
# Seconds that one write waits for another. After that Dropbox may decide.
_LONGEST_TURN = 10.0
_PLAINLY = Sending()


class Caller:
    """Calls routes for one account, over a session that is shared with others."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        get_token: GetToken,
        *,
        retry_for: float | None = None,
        sleep: Sleep = asyncio.sleep,
        writes: asyncio.Lock | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """`retry_for`: for how many seconds a failing call is tried again before its error is
        raised; not given: as if nobody in particular waited. `writes` is shared by all that write
        into the same Dropbox, `rate_limit` by all that call on behalf of the account.
        """
        self._session = session
        self._get_token = get_token
        self._retry_for = RETRY_FOR[Waiter.BACKGROUND] if retry_for is None else retry_for
        self._sleep = sleep
        self._writes = writes or asyncio.Lock()
        self.rate_limit = rate_limit or RateLimit()

    def retrying_for(self, seconds: float) -> Self:
        """Return one for the same account that tries failing calls again for so many seconds."""
        return type(self)(
            self._session,
            self._get_token,
            retry_for=seconds,
            sleep=self._sleep,
            writes=self._writes,
            rate_limit=self.rate_limit,
        )

    def trying_once(self) -> Self:
        """Return one for the same account that leaves it to its caller to try again."""
        return self.retrying_for(RETRY_FOR[Waiter.NOBODY])

    def retries(
        self,
        failures: list[DropboxError] | None = None,
        on_failure: OnFailure | None = None,
        *,
        lasting: bool = False,
    ) -> Retries:
        """Return when to try a failing call again, and when to stop.

        `lasting`: one try may take long although all is well, such as a large body.
        """
        return Retries(
            self._retry_for,
            self._sleep,
            failures,
            on_failure,
            rate_limit=self.rate_limit,
            lasting=lasting,
        )

    async def _call[T](
        self,
        namespace: Literal["files", "users"],
        route: Route,
        arg: Any,
        convert: Callable[[Any], T],
        *,
        data: bytes | memoryview | None = None,
        sending: Sending = _PLAINLY,
        writes: bool = False,
        answer_timeout: float | None = None,
        failures: list[DropboxError] | None = None,
    ) -> T:
        """Call a route until it answers or its time is up; return what `convert` makes of its
        result.

        `writes`: whether it locks the user's Dropbox. `failures` collects the errors of the tries
        that were repeated.
        """
        lasting = bool(data) or answer_timeout is not None
        retries = self.retries(failures, sending.on_failure, lasting=lasting)
        lock = self._writes if writes else None
        while True:
            await retries.wait_for_rest(writes=writes)
            try:
                async with (
                    _one_write(lock, data, sending) as now,
                    self._send(
                        namespace,
                        route,
                        arg,
                        data=data,
                        sending=now,
                        answer_timeout=answer_timeout,
                    ) as response,
                ):
                    async with asyncio.timeout(_LONGEST_ANSWER):
                        text = (await read(response, _LARGEST_ANSWER)).decode("utf-8", "replace")
                    if len(text) < _LARGE_ANSWER:
                        return decode(route, text, response, convert)
                    return await in_thread(decode, route, text, response, convert)
            except TransientError as err:
                await retries.wait_after(err)

    @asynccontextmanager
    async def _open(
        self, namespace: Literal["files"], route: Route, arg: Any, *, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        retries = self.retries()
        while True:
            await retries.wait_for_rest()
            begun = False
            try:
                async with self._send(namespace, route, arg, headers=headers) as response:
                    begun = True
                    yield response
                    return
            except TransientError as err:
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
        data: bytes | memoryview | None = None,
        sending: Sending = _PLAINLY,
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
            body = _encode(route, arg, sent, data, sending)
            timeout = {} if answer_timeout is None else {"answer_timeout": answer_timeout}
            try:
                async with request(self._session, url, sent, body, **timeout) as response:
                    yield response
                    return
            except SignInError as err:
                if not (err.is_token_expired and renewals_left) or token == refused:
                    raise
                refused = token


@asynccontextmanager
async def _one_write(
    lock: asyncio.Lock | None, data: bytes | memoryview | None, sending: Sending
) -> AsyncIterator[Sending]:
    """Wait for the turn to write, a body only before its last bytes; return how to send it.

    Dropbox refuses writes that overlap (`too_many_write_operations`), and that costs both of them.

    https://www.dropbox.com/developers/reference/data-ingress-guide (namespace locks)
    """
    if lock is None:
        yield sending
        return
    write = _WriteLock(lock)
    try:
        if data:
            yield replace(sending, hold=write.begin)
        else:
            await write.begin()
            yield sending
    finally:
        write.end()


class _WriteLock:
    """One holder of a lock, who may be gone before it gets it."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._held = False
        self._ended = False

    async def begin(self) -> None:
        if self._held:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_TURN):
                await self._lock.acquire()
                self._held = True
        # Dropbox may answer before a body is complete, and nobody waits for the body any more.
        if self._ended:
            self.end()

    def end(self) -> None:
        self._ended = True
        if self._held:
            self._held = False
            self._lock.release()


def _encode(
    route: Route,
    arg: Any,
    headers: dict[str, str],
    data: bytes | memoryview | None,
    sending: Sending,
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
    return Body(data or b"", sending)
