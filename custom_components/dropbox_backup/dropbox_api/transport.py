"""One request to Dropbox and what became of it: an answer, or one of our errors.

Wire format: https://www.dropbox.com/developers/documentation/http/documentation
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
import json
import math
import re
import socket
import time
from typing import Any, TypeIs, cast, override

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter

from .errors import (
    DropboxError,
    RateLimitedError,
    RefusedError,
    SignInError,
    UnreachableError,
    refusal,
)
from .rate_limit import LONGEST_REST
from .speed import SpeedLimit

type OnSent = Callable[[int], None]
"""Told how many more bytes of a body were handed to the connection."""

type OnFailure = Callable[[DropboxError], None]

type Hold = Callable[[], Awaitable[None]]
"""Returns when the last bytes of a body may follow the others."""

_CONNECT_TIMEOUT = 30.0
# Nothing moved for so long: the connection is dead. Small enough to notice, large enough for a line
# that stutters.
_IDLE_TIMEOUT = 60.0
# After the last byte of a body left us, a thin line may still be draining the kernel's buffers.
_ANSWER_TIMEOUT = 300.0
# One write to TLS is encrypted in one go, in the event loop. Large writes cost less per byte, as
# long as a small board does not stand still for them: the size follows the time that they take.
_FIRST_WRITE = 32 * 1024
_SMALLEST_WRITE = 16 * 1024
_LARGEST_WRITE = 256 * 1024
_SHORT_WRITE = 0.0004
_LONG_WRITE = 0.001
_READ_BUFFER = 256 * 1024
# What one connection may decrypt before it is the others' turn, and the event loop's.
_LARGEST_READ = 32 * 1024
# Where CPython's asyncio/sslproto.py keeps the memory that it reads into.
_MEMORY_OF_TLS = "_ssl_buffer_view"
_LEAST_UNSENT = 128 * 1024
# A deadline is moved at most so often: it costs a timer each time.
_DEADLINE_STEP = 1.0
_LONGEST_REASON = 200
# Bytes of an error that are looked at, and seconds that they may take.
_LARGEST_ERROR = 64 * 1024
_LONGEST_ERROR = 60.0
# Tags and ids are shown and stored: what looks otherwise was not made by Dropbox.
_TAG = re.compile(r"[\w.]{1,100}", re.ASCII)
_NOT_IN_ID = re.compile(r"[^\w.-]", re.ASCII)
_LONGEST_ID = 64
_REQUIRED_SCOPE = re.compile(r"required scope '([\w.]+)'")


@dataclass(frozen=True, slots=True)
class Sending:
    """How a body is sent, and who is told.

    `on_sent` hears of every slice, `on_failure` of every try that is going to be repeated. The
    body is not complete before `hold` returns.
    """

    on_sent: OnSent | None = None
    on_failure: OnFailure | None = None
    hold: Hold | None = None
    speed: SpeedLimit | None = None


class Body(aiohttp.payload.Payload):
    """A request body in memory, written in small slices so that the event loop stays free.

    Every slice that the connection accepted moves `deadline`.
    """

    _autoclose = True

    def __init__(self, data: bytes | memoryview, sending: Sending | None = None) -> None:
        """Take the data; nothing is copied."""
        super().__init__(data, content_type="application/octet-stream")
        sending = sending or Sending()
        self._size = len(data)
        self._on_sent = sending.on_sent
        self._hold = sending.hold
        self._speed = sending.speed
        self.deadline: asyncio.Timeout | None = None

    @override
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    @override
    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    @override
    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        _keep_short(cast("StreamWriter", writer).transport)
        view = memoryview(self._value)[:content_length]
        held = min(len(view), _SMALLEST_WRITE) if self._hold is not None else 0
        await self._write_slices(writer, view[: len(view) - held])
        if self._hold is not None:
            if self.deadline is not None:
                self.deadline.reschedule(None)
            await self._hold()
            await self._write_slices(writer, view[len(view) - held :])
        self._moved(_ANSWER_TIMEOUT)

    async def _write_slices(self, writer: AbstractStreamWriter, view: memoryview) -> None:
        size, start = _FIRST_WRITE, 0
        while start < len(view):
            part = view[start : start + size]
            if self._speed is not None and self._speed.bytes_per_second is not None:
                part = part[: self._speed.slice_size(size)]
                await self._wait_for_turn(self._speed, len(part))
            start += len(part)
            begun = time.perf_counter()
            await cast("StreamWriter", writer).write(part, drain=False)
            took = time.perf_counter() - begun
            if took < _SHORT_WRITE:
                size = min(size * 2, _LARGEST_WRITE)
            elif took > _LONG_WRITE:
                size = max(size // 2, _SMALLEST_WRITE)
            await writer.drain()
            self._moved(_IDLE_TIMEOUT)
            if self._on_sent is not None:
                self._on_sent(len(part))
            await asyncio.sleep(0)  # a fast line never makes `drain` wait

    async def _wait_for_turn(self, speed: SpeedLimit, size: int) -> None:
        # It is us who stand still, not the line.
        if self.deadline is not None:
            self.deadline.reschedule(None)
        await speed.take(size)
        self._moved(_IDLE_TIMEOUT)

    def _moved(self, allowed: float) -> None:
        if self.deadline is None:
            return
        when = asyncio.get_running_loop().time() + allowed
        if when > (self.deadline.when() or 0.0) + _DEADLINE_STEP:
            self.deadline.reschedule(when)


def _keep_short(transport: asyncio.Transport | None) -> None:
    """Let the kernel take little more from us than the line does: what it has taken counts as sent,
    and the chunks whose turn comes then would crowd a line that is still full.
    """
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _LEAST_UNSENT)


def _read_little(response: aiohttp.ClientResponse) -> None:
    """Let a connection read, and decrypt, only a little at once: asyncio takes 256 KiB, and several
    connections that do so one after the other hold up a small board for a tenth of a second.

    Neither asyncio nor aiohttp has a setting for it. Where they look different, nothing is changed.
    """
    transport = response.connection and response.connection.transport
    protocol = getattr(transport, "_ssl_protocol", None)
    memory = getattr(protocol, _MEMORY_OF_TLS, None)
    if isinstance(memory, memoryview):
        with suppress(AttributeError):
            setattr(protocol, _MEMORY_OF_TLS, memory[:_LARGEST_READ])


@asynccontextmanager
async def request(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    body: Body | bytes | None,
    *,
    answer_timeout: float = _IDLE_TIMEOUT,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """POST and yield Dropbox's answer once its status is good.

    There is no total timeout, only ones that start again whenever something moves: a transfer may
    take hours. Raises one of our errors for everything else that can happen, also while the answer
    is being read.
    """
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=answer_timeout
    )
    if isinstance(body, Body):
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_ANSWER_TIMEOUT
        )
    try:
        async with asyncio.timeout(None) as deadline:
            if isinstance(body, Body):
                body.deadline = deadline
                deadline.reschedule(
                    asyncio.get_running_loop().time() + _CONNECT_TIMEOUT + _IDLE_TIMEOUT
                )
            async with session.post(
                url,
                headers=headers,
                data=body,
                timeout=timeout,
                allow_redirects=False,
                read_bufsize=_READ_BUFFER,
            ) as response:
                deadline.reschedule(None)  # from here on the read timeout watches
                _read_little(response)
                if response.status not in {200, 206}:
                    raise await _error_of(response)
                yield response
    except TimeoutError as err:
        raise UnreachableError("Dropbox did not answer in time") from err
    except (aiohttp.ClientError, OSError) as err:
        raise UnreachableError(f"no connection to Dropbox: {type(err).__name__}") from err


async def read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body, which may come in many pieces; of a longer one the first `limit` bytes."""
    body = bytearray()
    while len(body) < limit and (piece := await response.content.read(limit - len(body))):
        body += piece
    return bytes(body)


def request_id_of(response: aiohttp.ClientResponse) -> str | None:
    """Return what Dropbox's support asks for, if it is in the answer."""
    return (
        _NOT_IN_ID.sub("", response.headers.get("X-Dropbox-Request-Id", ""))[:_LONGEST_ID] or None
    )


async def _error_of(response: aiohttp.ClientResponse) -> DropboxError:
    # One that breaks off is not judged: half of it may say something else.
    async with asyncio.timeout(_LONGEST_ERROR):
        text = (await read(response, _LARGEST_ERROR)).decode("utf-8", "replace")
    # Dropbox quotes a header that it can't read.
    secret = response.request_info.headers.get("Authorization", "").partition(" ")[2]
    return _judge(response, text.replace(secret, "***") if secret else text)


def _judge(response: aiohttp.ClientResponse, text: str) -> DropboxError:
    """Return what an error says, or if that can't be read, what its status says."""
    request_id = request_id_of(response)
    answer = _json_of(text)
    tags = _tags(answer)
    reason = "/".join(tags)
    match response.status:
        # The login page of a hotel's network may have these numbers too.
        case 401 | 403 if not reason and request_id is None:
            return UnreachableError(f"unexpected answer with status {response.status}")
        case 401:
            return SignInError(reason or "the sign-in was refused", request_id)
        case 403:
            return RefusedError(reason or "access denied", request_id)
        case 409 if reason:
            return refusal(tags, request_id)
        case 416:
            return RefusedError("range/not_satisfiable", request_id)
        case 422:
            return RefusedError(f"path_root/{reason}", request_id)
        case 429:
            return RateLimitedError(
                reason or "too_many_requests", request_id, _retry_after(response, answer)
            )
        # Dropbox tells in plain text what is wrong with the request. A page of somebody's proxy is
        # not Dropbox's.
        case 400 if request_id is not None:
            # An app that lost a permission is told so in plain text only.
            if scope := _REQUIRED_SCOPE.search(text):
                return SignInError(f"missing_scope/{scope[1]}", request_id)
            return RefusedError(_one_line(text) or "bad request", request_id)
        case status:
            return UnreachableError(f"unexpected answer with status {status}", request_id)


def _json_of(text: str) -> Any:  # Any: of unknown shape
    try:
        return json.loads(text)
    except ValueError, RecursionError:
        return None


def _tags(answer: Any) -> list[str]:  # Any: JSON of unknown shape
    """Return Dropbox's error as its path of tags: `{".tag": "path", "path": {".tag": "x"}}` is
    `[path, x]`.
    """
    node = answer.get("error") if isinstance(answer, dict) else None
    tags: list[str] = []
    while isinstance(node, dict):
        tag = node.get(".tag")
        if _is_tag(tag):
            tags.append(tag)
            if _is_tag(scope := node.get("required_scope")):
                tags.append(scope)
        following = [node.get("reason"), node.get(tag) if isinstance(tag, str) else None]
        node = next((child for child in following if isinstance(child, dict)), None)
    return tags


def _is_tag(value: object) -> TypeIs[str]:
    return isinstance(value, str) and _TAG.fullmatch(value) is not None


def _retry_after(response: aiohttp.ClientResponse, answer: Any) -> float | None:
    """Return how many seconds to wait, from the header (seconds or a date) or from the body; never
    more than `LONGEST_REST`.
    """
    header = response.headers.get("Retry-After", "")
    error = answer.get("error") if isinstance(answer, dict) else None
    for value in (header, error.get("retry_after") if isinstance(error, dict) else None):
        try:
            seconds = float(value or "")
        except TypeError, ValueError, OverflowError:
            continue
        if not math.isnan(seconds):
            return _capped(seconds)
    try:
        return _capped(parsedate_to_datetime(header).timestamp() - time.time())
    except TypeError, ValueError, OverflowError, OSError:
        return None


def _capped(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_REST)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]
