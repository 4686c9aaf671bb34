"""One request to Dropbox and what became of it: an answer, or one of our errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
import socket
import time
from typing import cast, override

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter

from ..codes import Reason
from ..waits import WAITS
from .answers import error_of
from .bandwidth import BandwidthLimit
from .errors import DropboxError, Fault, UnreachableError

type OnSent = Callable[[int], None]
"""Told how many more bytes of a body were handed to the connection."""

type OnFailure = Callable[[DropboxError], None]

type BeforeLastBytes = Callable[[], Awaitable[None]]
"""Returns when the last bytes of a body may follow the others."""

_CONNECT_TIMEOUT = 30.0
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
# How much one connection may decrypt before others, and the event loop, go on.
_LARGEST_READ = 32 * 1024
# Where CPython's asyncio/sslproto.py keeps the memory that it reads into.
_MEMORY_OF_TLS = "_ssl_buffer_view"
_LEAST_UNSENT = 128 * 1024


@dataclass(frozen=True, slots=True)
class Sending:
    """How a body is sent, and who is told.

    `on_sent` hears of every slice, `on_failure` of every try that is going to be repeated. The
    body is not complete before `hold` returns.
    """

    on_sent: OnSent | None = None
    on_failure: OnFailure | None = None
    hold: BeforeLastBytes | None = None
    speed: BandwidthLimit | None = None


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
            self._moved(WAITS.for_movement)
            if self._on_sent is not None:
                self._on_sent(len(part))
            await asyncio.sleep(0)  # a fast line never makes `drain` wait

    async def _wait_for_turn(self, speed: BandwidthLimit, size: int) -> None:
        # The speed limit holds us back, not the line: no deadline meanwhile.
        if self.deadline is not None:
            self.deadline.reschedule(None)
        await speed.take(size)
        self._moved(WAITS.for_movement)

    def _moved(self, allowed: float) -> None:
        if self.deadline is None:
            return
        when = asyncio.get_running_loop().time() + allowed
        if when > (self.deadline.when() or 0.0) + WAITS.deadline_step:
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
    answer_timeout: float = WAITS.for_movement,
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
                    asyncio.get_running_loop().time() + _CONNECT_TIMEOUT + WAITS.for_movement
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
                    raise await error_of(response)
                yield response
    except TimeoutError as err:
        raise UnreachableError(Fault.NO_ANSWER) from err
    except (aiohttp.ClientError, OSError) as err:
        raise UnreachableError(Reason.of(Fault.NO_CONNECTION, error=type(err).__name__)) from err
