"""Calling a route: sign-in, bounded retries, rate limits, and Dropbox's JSON in and out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
import json
import random
import time
from typing import Any, Literal, Self

import aiohttp

from . import hosts
from .answers import Route, decode, read
from .errors import DropboxError, RateLimitedError, SignInError, UnreachableError
from .rate_limit import RateLimit
from .sdk import json_encode
from .threads import in_thread
from .transport import Body, OnFailure, Sending, request

type GetToken = Callable[[str | None], Awaitable[str]]
"""Returns a valid access token; given one that Dropbox has just refused, a new one. Raises
`SignInError` or
`UnreachableError`."""

type Sleep = Callable[[float], Awaitable[None]]

_HOSTS = {"api": hosts.api, "content": hosts.content, "notify": hosts.notify}
# Characters of JSON that the event loop decodes in a few milliseconds, also on a small board. A
# page of a thousand files is ten times as large.
_LARGE_ANSWER = 32 * 1024
# A page of 2,000 files with the longest names is smaller; on a thin line it takes minutes.
_LARGEST_ANSWER = 16 * 1024 * 1024
_LONGEST_ANSWER = 600.0
_FIRST_WAIT = 0.5
# Fresh access tokens within one call. A second may expire while a slow line sends a chunk.
_RENEWALS = 2
_LONGEST_WAIT = 60.0
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
        patience: float = 60.0,
        sleep: Sleep = asyncio.sleep,
        writes: asyncio.Lock | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """`patience`: for how many seconds a failing call is tried again before its error is
        raised. `writes` is shared by all that write into the same Dropbox, `rate_limit` by all that
        call on behalf of the account.
        """
        self._session = session
        self._get_token = get_token
        self._patience = patience
        self._sleep = sleep
        self._writes = writes or asyncio.Lock()
        self.rate_limit = rate_limit or RateLimit()

    def with_patience(self, seconds: float) -> Self:
        """Return one for the same account that tries failing calls again for so many seconds."""
        return type(self)(
            self._session,
            self._get_token,
            patience=seconds,
            sleep=self._sleep,
            writes=self._writes,
            rate_limit=self.rate_limit,
        )

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
            self._patience,
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
        """Call a route until it answers or patience ends; return what `convert` makes of its
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
            except (UnreachableError, RateLimitedError) as err:
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


class Retries:
    """When to try a failing call again, and when to stop."""

    def __init__(
        self,
        patience: float,
        sleep: Sleep,
        failures: list[DropboxError] | None = None,
        on_failure: OnFailure | None = None,
        *,
        rate_limit: RateLimit | None = None,
        lasting: bool = False,
    ) -> None:
        """Patience counts from now on, or with `lasting` from the first failure."""
        self._patience = patience
        self._deadline = None if lasting else time.monotonic() + patience
        self._rate_limit = rate_limit or RateLimit()
        self._sleep = sleep
        self._failures = failures
        self._on_failure = on_failure
        self._next_wait = _FIRST_WAIT

    def must_rest(self, *, writes: bool = False) -> bool:
        """Tell whether Dropbox has asked anybody to wait who calls for this account."""
        return self._rate_limit.remaining(writes=writes) > 0

    async def wait_for_rest(self, *, writes: bool = False, together: bool = False) -> None:
        """Sleep while `must_rest`; `together` with others that share the next call.

        Raises `RateLimitedError` at once if that is longer than patience.
        """
        while rest := self._rate_limit.remaining(writes=writes):
            now = time.monotonic()
            deadline = now + self._patience if self._deadline is None else self._deadline
            if now + rest > deadline:
                raise RateLimitedError("too_many_requests", retry_after=rest)
            await self._sleep(rest if together else rest + _jitter(_FIRST_WAIT))

    async def wait_after(self, err: UnreachableError | RateLimitedError) -> None:
        """Sleep before the next try, or raise the error when patience has ended."""
        wait = _jitter(self._next_wait)
        if isinstance(err, RateLimitedError):
            self._rate_limit.note(err)
            wait += err.retry_after or 0.0
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


def _jitter(seconds: float) -> float:
    """Return a little less: the chunks of one upload must not all come back at the same moment."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  (no secret, and repeatable)


@asynccontextmanager
async def _one_write(
    lock: asyncio.Lock | None, data: bytes | memoryview | None, sending: Sending
) -> AsyncIterator[Sending]:
    """Wait for the turn to write, a body only before its last bytes; return how to send it.

    Dropbox refuses writes that overlap (`too_many_write_operations`), and that costs both of them.
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
