"""One API call in progress: who calls, the body on its way in, and what is to go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
import socket
import struct
import time

from aiohttp import web

from tests.support.dropbox_server import errors, schema
from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.faults import Active, FaultKind
from tests.support.dropbox_server.line import Throttle
from tests.support.dropbox_server.request_log import RequestRecord
from tests.support.dropbox_server.state import ServerState
from tests.support.dropbox_server.storage import FileTree
from tests.support.dropbox_server.tokens import AccessToken

MAX_ARGUMENT_BYTES = 1024 * 1024
# A reset throws away what the client has not read yet; so long, in seconds, it may read.
RESET_DELAY = 0.02


class ConnectionGoneError(ConnectionResetError):
    """The client went away, or a fault cut the connection."""


def abort(request: web.Request) -> None:
    """Reset the connection: the client sees ECONNRESET, not an orderly end."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Lingering for zero seconds makes the kernel send RST instead of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Body:
    """The request body: shaped by the line, spoilt by faults, counted."""

    def __init__(
        self, request: web.Request, record: RequestRecord, throttle: Throttle, faults: Active
    ) -> None:
        """Nothing is read yet."""
        self._request = request
        self._record = record
        self._throttle = throttle
        self._reset = faults.first(FaultKind.RESET_IN_BODY)
        self._stall = faults.first(FaultKind.STALL, "during")
        self._corrupt = faults.first(FaultKind.CORRUPT_UPLOAD)
        self._received = 0

    @property
    def announced_size(self) -> int | None:
        """Content-Length in bytes; None for chunked bodies."""
        return self._request.content_length if self._request.body_exists else 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes in; raises ConnectionGoneError."""
        content = self._request.content
        while True:
            asked = time.monotonic()
            try:
                if self._throttle.active:
                    data = await content.read(self._throttle.slice_size)
                else:
                    data = await content.readany()
            except (ConnectionError, web.RequestPayloadError) as error:
                raise ConnectionGoneError from error
            if not data:
                break
            await self._throttle.passed(len(data), time.monotonic() - asked)
            start, self._received = self._received, self._received + len(data)
            self._record.bytes_received += len(data)
            yield await self._spoil(data, start)
        self._check_complete()

    async def drain(self) -> None:
        """Read the rest and throw it away, as a buffering front end does before it answers."""
        async for _ in self.chunks():
            pass

    async def text(self) -> str:
        """Read a small body whole."""
        data = bytearray()
        async for chunk in self.chunks():
            if len(data) < MAX_ARGUMENT_BYTES:
                data += chunk
        return data.decode("utf-8", errors="replace")

    async def _spoil(self, data: bytes, start: int) -> bytes:
        if (stall := self._stall) and self._received >= stall.after_bytes:
            self._stall = None
            await stall.stall()
        if self._reset and self._received >= self._reset.after_bytes:
            abort(self._request)
            raise ConnectionGoneError
        if self._corrupt and start <= self._corrupt.after_bytes < self._received:
            spoilt = bytearray(data)
            spoilt[self._corrupt.after_bytes - start] ^= 0xFF
            return bytes(spoilt)
        return data

    def _check_complete(self) -> None:
        if self._reset:
            # The body was shorter than the fault expected: it dies before the work all the same.
            abort(self._request)
            raise ConnectionGoneError
        announced = self.announced_size
        if announced is not None and self._received < announced:
            raise ConnectionGoneError


@dataclass(slots=True)
class Call:
    """An authorized call."""

    state: ServerState
    request: web.Request
    spec: schema.RouteSpec
    record: RequestRecord
    faults: Active
    body: Body
    # Longpoll has no caller; all other routes have all four.
    maybe_token: AccessToken | None = None
    maybe_app: DropboxApp | None = None
    maybe_account: DropboxAccount | None = None
    maybe_tree: FileTree | None = None

    @property
    def token(self) -> AccessToken:
        """The access token of the call."""
        return _present(self.maybe_token)

    @property
    def app(self) -> DropboxApp:
        """The app that calls."""
        return _present(self.maybe_app)

    @property
    def account(self) -> DropboxAccount:
        """The user on whose behalf the app calls."""
        return _present(self.maybe_account)

    @property
    def tree(self) -> FileTree:
        """The namespace that is `""` for this call."""
        return _present(self.maybe_tree)

    def bad_input(self, message: str) -> errors.RefusalError:
        """Make the 400 that says where the argument came from."""
        place = "request body" if self.spec.style == "rpc" else 'HTTP header "Dropbox-API-Arg"'
        return errors.bad_input(self.spec.name, f"{place}: {message}")

    async def think(self) -> None:
        """Let the server's own time pass; the body is in, the work not begun."""
        if self.state.shaper.line.server_time:
            await asyncio.sleep(self.state.shaper.line.server_time)


def _present[Part](part: Part | None) -> Part:
    if part is None:
        message = "this route has no caller"
        raise RuntimeError(message)
    return part
