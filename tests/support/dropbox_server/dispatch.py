"""The way of every API call: line, faults, checks, route, answer, log."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from typing import Any
from weakref import WeakSet

from aiohttp import web

from tests.support.dropbox_server import errors, schema
from tests.support.dropbox_server.calls import RESET_DELAY, Body, Call, ConnectionGoneError, abort
from tests.support.dropbox_server.errors import RefusalError
from tests.support.dropbox_server.faults import Active, Fault, FaultKind
from tests.support.dropbox_server.request_log import RequestRecord, mask
from tests.support.dropbox_server.routes import HANDLERS, STREAMS
from tests.support.dropbox_server.routes.account import root_info
from tests.support.dropbox_server.state import ServerState

_RPC_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "text/plain; charset=dropbox-cors-hack",
)
_UPLOAD_TYPES = ("application/octet-stream", "text/plain; charset=dropbox-cors-hack")
_DOWNLOAD_TYPES = (
    "application/octet-stream",
    "application/octet-stream; charset=utf-8",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/plain; charset=dropbox-cors-hack",
)
_HANDSHAKE_ROUND_TRIPS = 2


def _bound_buffer(request: web.Request, size: int | None) -> None:
    """Let no more than `size` bytes of a connection lie in our receive buffer."""
    if size is None or request.transport is None:
        return
    if (sock := request.transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class Dispatcher:
    """Answers `/2/<namespace>/<route>`, and wraps the OAuth routes in the same line and faults."""

    def __init__(self, state: ServerState) -> None:
        """Serve from `state`."""
        self._state = state
        self._connections: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Answer an API call."""
        return await self._observe(request, request.match_info["route"], self._serve)

    async def oauth(self, request: web.Request, answer: Any) -> web.StreamResponse:
        """Answer an OAuth request with `answer(request, body text)`, a coroutine function."""

        async def serve(
            request: web.Request, record: RequestRecord, faults: Active, body: Body
        ) -> web.StreamResponse:
            del faults
            response: web.Response = await answer(request, await body.text())
            record.processed = True
            return response

        return await self._observe(request, request.path.strip("/"), serve)

    async def _observe(self, request: web.Request, name: str, serve: Any) -> web.StreamResponse:
        """Log a request, let the line and the faults have it, and turn refusals into answers."""
        state = self._state
        request["request_id"] = secrets.token_hex(16)
        faults = state.faults.select(name)
        record = RequestRecord(name, state.clock.now(), faults=faults.names())
        state.log.add(record)
        started = time.monotonic()
        task = asyncio.current_task()
        assert task is not None  # aiohttp makes one for each request
        state.under_way.add(task)
        task.add_done_callback(state.under_way.discard)
        _bound_buffer(request, state.shaper.buffer_size())
        body = Body(request, record, state.shaper.upload(request.transport), faults)
        try:
            response = await self._with_faults(request, record, faults, body, serve)
        except ConnectionError:
            record.status = 0
            record.error = record.error or "connection gone"
            return web.Response()  # nobody will read it
        except Exception as error:
            record.status = 500
            record.error = repr(error)
            raise
        else:
            record.status = response.status
            return response
        finally:
            record.duration = time.monotonic() - started

    async def _with_faults(
        self, request: web.Request, record: RequestRecord, faults: Active, body: Body, serve: Any
    ) -> web.StreamResponse:
        await self._travel(request)
        if faults.first(FaultKind.RESET_BEFORE_BODY):
            abort(request)
            raise ConnectionGoneError
        await _stall(faults.first(FaultKind.STALL, "before"))
        try:
            if fault := faults.first(FaultKind.STATUS):
                await body.drain()
                raise fault.refusal()
            response: web.StreamResponse = await serve(request, record, faults, body)
        except RefusalError as refusal:
            await body.drain()
            record.error = refusal.summary
            response = _refused(refusal)
        await _stall(faults.first(FaultKind.STALL, "after"))
        if faults.first(FaultKind.LOST_RESPONSE):
            abort(request)
            record.error = "response lost"
            raise ConnectionGoneError
        if isinstance(response, web.Response):
            response = self._finish(request, record, faults, response)
        return response

    def _finish(
        self, request: web.Request, record: RequestRecord, faults: Active, response: web.Response
    ) -> web.Response:
        body = response.body if isinstance(response.body, bytes) else b""
        if faults.first(FaultKind.GARBAGE):
            body = b'{"this is": not JSON'
            response = web.Response(body=body, content_type="application/json")
        if fault := faults.first(FaultKind.RESET_IN_RESPONSE):
            response = _Interrupted(body, fault.after_bytes, response)
        elif fault := faults.first(FaultKind.SPLIT_RESPONSE):
            response = _Split(body, fault, response)
        response.headers["X-Dropbox-Request-Id"] = request["request_id"]
        record.bytes_sent += len(body)
        return response

    async def _travel(self, request: web.Request) -> None:
        """Wait for the round trips that the line takes before the first byte of the request."""
        round_trips = 1
        if request.transport is not None and request.transport not in self._connections:
            self._connections.add(request.transport)
            round_trips += _HANDSHAKE_ROUND_TRIPS
        if delay := self._state.shaper.line.latency * round_trips:
            await asyncio.sleep(delay)

    async def _serve(
        self, request: web.Request, record: RequestRecord, faults: Active, body: Body
    ) -> web.StreamResponse:
        spec = schema.ROUTES.get(record.route)
        if spec is None:
            text = f'Unknown API function: "{record.route}"'
            raise RefusalError(400, text.encode(), "text/plain; charset=utf-8", summary=text)
        call = Call(self._state, request, spec, record, faults, body)
        _check_method(call)
        _check_content_type(call)
        self._authorize(call)
        argument = await _argument(call)
        record.argument = argument
        decoded = _decode(call, argument)
        if spec.style != "upload":  # those read their body first
            await call.think()
        if stream := STREAMS.get(spec.name):
            response = await stream(call, decoded)
            record.processed = True
            return response
        result = await HANDLERS[spec.name](call, decoded)
        record.processed = True
        text = json.dumps(schema.encode_result(spec, result))
        return web.Response(body=text.encode(), content_type="application/json")

    def _authorize(self, call: Call) -> None:
        """Find out who calls; raises the 400 and 401 answers, and 422 for a wrong path root."""
        header = call.request.headers.get("Authorization")
        if not call.spec.needs_token:
            if header is not None:
                message = (
                    "Your request includes an Authorization header, but this function does not"
                    " use it."
                )
                raise errors.bad_input(call.spec.name, message)
            return
        if header is None:
            message = 'Must provide HTTP header "Authorization" or URL parameter "authorization".'
            raise errors.bad_input(call.spec.name, message)
        scheme, _, text = header.partition(" ")
        if scheme != "Bearer" or not text:
            message = (
                f'Invalid authorization value in HTTP header "Authorization": "{scheme} ...".'
                ' Expecting "Bearer <access token>".'
            )
            raise errors.bad_input(call.spec.name, message)
        self._identify(call, text)
        call.maybe_tree = _root(call)

    def _identify(self, call: Call, text: str) -> None:
        state = self._state
        call.record.token = mask(text)
        token = state.tokens.access.get(text)
        if token is None:
            raise errors.invalid_access_token()
        account, app = state.accounts.get(token.account_id), state.apps.get(token.app_key)
        if call.faults.first(FaultKind.EXPIRE_TOKEN):
            state.tokens.expire_access_tokens(token.account_id)
        if call.faults.first(FaultKind.REVOKE_GRANTS):
            state.tokens.revoke_all(token.account_id)
        if account is not None and call.faults.first(FaultKind.SUSPEND_USER):
            account.suspended = True
        if token.revoked or account is None or app is None:
            raise errors.invalid_access_token()
        if account.suspended:
            raise errors.user_suspended()
        if state.tokens.expired(token):
            raise errors.expired_access_token()
        if call.spec.scope is not None and call.spec.scope not in token.scopes:
            raise errors.missing_scope(call.spec.scope)
        call.maybe_token, call.maybe_account, call.maybe_app = token, account, app


def _check_method(call: Call) -> None:
    allowed = {"POST", "GET"} if call.spec.style == "download" else {"POST"}
    if call.request.method not in allowed:
        message = f'Unexpected HTTP method "{call.request.method}". Expecting "POST".'
        raise errors.bad_input(call.spec.name, message)


def _check_content_type(call: Call) -> None:
    given = call.request.headers.get("Content-Type")
    expected = {"rpc": _RPC_TYPES, "upload": _UPLOAD_TYPES, "download": _DOWNLOAD_TYPES}[
        call.spec.style
    ]
    if not given:
        if call.spec.style == "upload" or (call.spec.style == "rpc" and call.spec.takes_argument):
            message = 'Missing or empty HTTP "Content-Type" header.'
            raise errors.bad_input(
                call.spec.name, f"{message}  Expecting one of {_quoted(expected)}."
            )
        return
    if given.lower().replace(";charset", "; charset") not in expected:
        message = (
            f'Bad HTTP "Content-Type" header: "{given}".  Expecting one of {_quoted(expected)}.'
        )
        raise errors.bad_input(call.spec.name, message)


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join(f'"{value}"' for value in values)


async def _argument(call: Call) -> str:
    """Read the JSON text of the argument, from where the route's style puts it."""
    if call.spec.style == "rpc":
        return await call.body.text()
    text = call.request.headers.get("Dropbox-API-Arg") or call.request.query.get("arg")
    if text is None:
        message = 'Must provide HTTP header "Dropbox-API-Arg" or URL parameter "arg".'
        raise errors.bad_input(call.spec.name, message)
    if not text.isascii():
        raise call.bad_input("could not decode input as JSON")
    if call.spec.style == "download":
        await call.body.drain()
    return text


def _decode(call: Call, text: str) -> Any:
    if not call.spec.takes_argument:
        text = text or "null"
    try:
        return schema.decode_argument(call.spec, text)
    except schema.SchemaError as error:
        raise call.bad_input(str(error)) from error


def _root(call: Call) -> Any:
    """Choose the namespace that is `""`: by app, or by the header `Dropbox-API-Path-Root`."""
    header = call.request.headers.get("Dropbox-API-Path-Root")
    account = call.account
    if header is None:
        return account.app_files(call.app)
    try:
        root = schema.decode_path_root(header)
    except schema.SchemaError as error:
        message = f'HTTP header "Dropbox-API-Path-Root": {error}'
        raise errors.bad_input(call.spec.name, message) from error
    if root.is_root():
        if root.get_root() != account.root_namespace:
            raise errors.invalid_path_root(root_info(account))
        return account.team_files
    if root.is_namespace_id():
        if root.get_namespace_id() not in {account.home_namespace, account.root_namespace}:
            raise errors.path_root_forbidden()
        return account.tree(root.get_namespace_id())
    return account.app_files(call.app)


def _refused(refusal: RefusalError) -> web.Response:
    headers = {"Content-Type": refusal.content_type, **refusal.headers}
    return web.Response(status=refusal.status, body=refusal.body, headers=headers)


async def _stall(fault: Fault | None) -> None:
    if fault is not None:
        await fault.stall()


class _Split(web.Response):
    """A response that comes in two pieces."""

    def __init__(self, body: bytes, fault: Fault, like: web.Response) -> None:
        super().__init__(status=like.status, body=body, headers=like.headers)
        self._pieces = (body[: fault.after_bytes], body[fault.after_bytes :])
        self._pause = max(fault.seconds, RESET_DELAY)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the first piece, then the rest."""
        first, rest = self._pieces
        if self._payload_writer is not None and first:
            await self._payload_writer.write(first)
            await self._payload_writer.drain()
            await asyncio.sleep(self._pause)
        await web.StreamResponse.write_eof(self, data or rest)


class _Interrupted(web.Response):
    """A response that dies on the way: announced whole, sent in part, then reset."""

    def __init__(self, body: bytes, after_bytes: int, like: web.Response) -> None:
        super().__init__(status=like.status, body=body, content_type=like.content_type)
        self._sent_part = body[:after_bytes]

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the part and cut the connection."""
        del data
        request = self._req
        if self._payload_writer is not None and self._sent_part:
            await self._payload_writer.write(self._sent_part)
            await self._payload_writer.drain()
        if isinstance(request, web.Request):
            await asyncio.sleep(RESET_DELAY)
            abort(request)
        raise ConnectionResetError
