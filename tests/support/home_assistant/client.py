"""Home Assistant's REST and websocket API."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
import contextlib
import itertools
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

# JSON as it comes: its shape is Home Assistant's affair.
type JsonObject = dict[str, Any]

_READ_SIZE = 1 << 20
_ASK_AGAIN = 0.1


class ApiError(Exception):
    """Home Assistant refused a request."""

    def __init__(self, what: str, code: str, message: str) -> None:
        super().__init__(f"{what}: {code}: {message}")
        self.code = code


class Client:
    """A signed-in user, who has the frontend open.

    Both connections are made when they are needed, and the websocket again after a restart.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        self._session = aiohttp.ClientSession(
            # No limit on the whole of a transfer, only on silence.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300),
        )
        self._websocket: _Websocket | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._websocket is not None:
            await self._websocket.close()
        await self._session.close()

    async def rest(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: dict[str, str] | None = None,
    ) -> Any:
        """Call the REST API and return its JSON. Raises `ApiError`.

        Sends what the frontend sends, so that OAuth comes back to this address.
        """
        headers = self._authorization | {"HA-Frontend-Base": self.url}
        async with self._session.request(
            method, self.url + path, json=json, params=params, headers=headers
        ) as response:
            if not response.ok:
                text = await response.text()
                raise ApiError(f"{method} {path}", str(response.status), text)
            return await response.json()

    async def ws(self, kind: str, **fields: object) -> Any:
        """Send a websocket command and return its result. Raises `ApiError`, `ConnectionError`."""
        return await (await self._connected()).command({"type": kind, **fields})

    @contextlib.asynccontextmanager
    async def subscribe(
        self, kind: str, **fields: object
    ) -> AsyncGenerator[asyncio.Queue[JsonObject]]:
        """Subscribe by a websocket command; the events arrive in the queue."""
        async with (await self._connected()).subscribe({"type": kind, **fields}) as events:
            yield events

    async def _connected(self) -> _Websocket:
        async with self._connecting:
            if self._websocket is None or self._websocket.closed:
                address = f"{self.url}/api/websocket"
                self._websocket = await _Websocket.open(self._session, address, self._token)
            return self._websocket

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    # States and actions

    async def state(self, entity_id: str) -> JsonObject:
        """Return the state object of one entity."""
        found: JsonObject = await self.rest("GET", f"/api/states/{entity_id}")
        return found

    async def states(self) -> dict[str, JsonObject]:
        """Return all state objects by their entity id."""
        return {state["entity_id"]: state for state in await self.rest("GET", "/api/states")}

    async def call(self, action: str, **data: object) -> None:
        """Perform an action such as `button.press`, and wait until it has been done."""
        domain, service = action.split(".")
        await self.ws("call_service", domain=domain, service=service, service_data=data)

    async def ask(self, action: str, **data: object) -> JsonObject:
        """Perform an action that returns a response, and return that."""
        domain, service = action.split(".")
        result = await self.ws(
            "call_service", domain=domain, service=service, service_data=data, return_response=True
        )
        response: JsonObject = result["response"]
        return response

    async def entities(self, platform: str) -> dict[str, JsonObject]:
        """Return the registered entities of an integration by their unique id."""
        entries = await self.ws("config/entity_registry/list")
        return {entry["unique_id"]: entry for entry in entries if entry["platform"] == platform}

    async def config_entries(self, domain: str) -> list[JsonObject]:
        """Return the config entries of an integration."""
        entries: list[JsonObject] = await self.ws("config_entries/get", domain=domain)
        return entries

    async def restart(self) -> None:
        """Ask for a restart: the process will end with status 100."""
        # The answer may not come any more.
        with contextlib.suppress(ApiError, ConnectionError, aiohttp.ClientError):
            await self.rest("POST", "/api/services/homeassistant/restart", json={})

    # Files

    async def download(self, path: str, to: Path, **params: str) -> int:
        """Download a file and return its length in bytes. Raises `ApiError`."""
        return sum([size async for size in self._download(path, to, params)])

    async def _download(self, path: str, to: Path, params: dict[str, str]) -> AsyncIterator[int]:
        async with self._session.get(
            self.url + path, params=params, headers=self._authorization
        ) as response:
            if not response.ok:
                raise ApiError(f"GET {path}", str(response.status), await response.text())
            with to.open("wb") as file:
                async for chunk in response.content.iter_chunked(_READ_SIZE):
                    yield file.write(chunk)


async def sign_in(url: str, username: str, password: str) -> str:
    """Sign in as the login page does, and return an access token. Raises `ApiError`."""
    client_id = f"{url}/"
    async with aiohttp.ClientSession(url) as session:

        async def post(path: str, **how: Any) -> JsonObject:
            async with session.post(path, **how) as response:
                if not response.ok:
                    raise ApiError(f"POST {path}", str(response.status), await response.text())
                answer: JsonObject = await response.json()
                return answer

        start = {
            "client_id": client_id,
            "handler": ["homeassistant", None],
            "redirect_uri": f"{client_id}?auth_callback=1",
        }
        flow = await post("/auth/login_flow", json=start)
        answers = {"client_id": client_id, "username": username, "password": password}
        result = await post(f"/auth/login_flow/{flow['flow_id']}", json=answers)
        if result["type"] != "create_entry":
            raise ApiError("sign in", str(result["type"]), str(result.get("errors")))
        grant = {
            "client_id": client_id,
            "grant_type": "authorization_code",
            "code": result["result"],
        }
        token = await post("/auth/token", data=grant)
        return str(token["access_token"])


class _Websocket:
    """One connection: matches results and events to the commands that wait for them."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._results: dict[int, asyncio.Future[JsonObject]] = {}
        self._events: dict[int, asyncio.Queue[JsonObject]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, session: aiohttp.ClientSession, address: str, token: str) -> Self:
        connection = await session.ws_connect(address, max_msg_size=0, heartbeat=30)
        await connection.receive_json()  # auth_required
        await connection.send_json({"type": "auth", "access_token": token})
        answer = await connection.receive_json()
        if answer["type"] != "auth_ok":
            await connection.close()
            raise ApiError("websocket", answer["type"], answer.get("message", ""))
        return cls(connection)

    @property
    def closed(self) -> bool:
        return self._connection.closed or self._reader.done()

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self._connection.close()

    async def command(self, message: JsonObject) -> Any:
        return await self._send(next(self._ids), message)

    @contextlib.asynccontextmanager
    async def subscribe(self, message: JsonObject) -> AsyncGenerator[asyncio.Queue[JsonObject]]:
        subscription = next(self._ids)
        events = self._events[subscription] = asyncio.Queue()
        try:
            await self._send(subscription, message)
            yield events
        finally:
            self._events.pop(subscription, None)
            if not self.closed:
                with contextlib.suppress(ApiError, ConnectionError):
                    await self.command({"type": "unsubscribe_events", "subscription": subscription})

    async def _send(self, number: int, message: JsonObject) -> Any:
        if self.closed:
            raise ConnectionError("Home Assistant closed the websocket")
        result = self._results[number] = asyncio.get_running_loop().create_future()
        await self._connection.send_json({"id": number, **message})
        answer = await result
        if not answer["success"]:
            error = answer["error"]
            raise ApiError(message["type"], error["code"], error["message"])
        return answer["result"]

    async def _read(self) -> None:
        try:
            async for frame in self._connection:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    self._handle(frame.json())
        finally:
            for result in self._results.values():
                if not result.done():
                    result.set_exception(ConnectionError("Home Assistant closed the websocket"))

    def _handle(self, message: JsonObject) -> None:
        if message["type"] == "result":
            result = self._results.pop(message["id"], None)
            if result is not None and not result.done():
                result.set_result(message)
        elif message["type"] == "event" and (events := self._events.get(message["id"])):
            events.put_nowait(message["event"])


async def until[T](ask: Callable[[], Awaitable[T]], *, within: float = 60) -> T:
    """Ask again and again until the answer is true, and return it. Raises `TimeoutError`."""
    async with asyncio.timeout(within):
        while not (answer := await ask()):  # noqa: ASYNC110 - the other side is a process
            await asyncio.sleep(_ASK_AGAIN)
        return answer
