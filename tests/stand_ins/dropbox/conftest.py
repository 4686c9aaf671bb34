"""A local Dropbox, and two ways to talk to it: raw HTTP and the official SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import json
from pathlib import Path
import ssl
from typing import Any

import aiohttp
import dropbox
import pytest

from tests.support.before_home_assistant import PORT, TLS
from tests.support.dropbox_server import DropboxServer, Tokens

MIB = 1024 * 1024
BLOCK = 4 * MIB


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def tags(self) -> str:
        """The error's summary without the padding dots."""
        return str(self.json["error_summary"]).rstrip(".").rstrip("/")


class Api:
    """Raw calls, so that a test can also send what the SDK would never send."""

    def __init__(self, server: DropboxServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.tokens: Tokens = server.issue_tokens()
        self.headers: dict[str, str] = {}

    @property
    def token(self) -> str:
        return self.tokens.access_token

    async def rpc(self, route: str, argument: object = None, **headers: str) -> Answer:
        body = json.dumps(argument).encode()
        return await self.post(route, body, {"Content-Type": "application/json", **headers})

    async def upload(self, route: str, argument: object, data: Any = b"", **headers: str) -> Answer:
        common = {
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": json.dumps(argument),
        }
        return await self.post(route, data, {**common, **headers})

    async def download(self, argument: object, **headers: str) -> Answer:
        common = {"Dropbox-API-Arg": json.dumps(argument)}
        return await self.post("files/download", b"", {**common, **headers})

    async def post(self, route: str, data: Any, headers: Mapping[str, str]) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}", **self.headers, **headers}
        url = f"{self.server.url}/2/{route}"
        kept = {name: value for name, value in sent.items() if value}
        async with self.session.post(
            url, data=data, headers=kept, skip_auto_headers=["Content-Type"]
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    # -- the calls that most tests begin with ----------------------------------------------------

    async def start(self, *, concurrent: bool = False, data: bytes = b"", **fields: object) -> str:
        kind = {"session_type": "concurrent"} if concurrent else {}
        answer = await self.upload("files/upload_session/start", {**kind, **fields}, data)
        assert answer.status == 200, answer.text
        return str(answer.json["session_id"])

    async def append(self, session: str, offset: int, data: Any, **fields: object) -> Answer:
        cursor = {"session_id": session, "offset": offset}
        argument = {"cursor": cursor, **fields}
        return await self.upload("files/upload_session/append_v2", argument, data)

    async def finish(
        self, session: str, offset: int, path: str, data: bytes = b"", **fields: object
    ) -> Answer:
        cursor = {"session_id": session, "offset": offset}
        argument = {"cursor": cursor, "commit": {"path": path}, **fields}
        return await self.upload("files/upload_session/finish", argument, data)


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """Allow sockets; Home Assistant's plugin still confines them to this machine."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DropboxServer]:
    """Run a server where the SDK of this process looks for Dropbox."""
    async with DropboxServer(tmp_path / "dropbox", PORT, tls_dir=TLS) as running:
        yield running


@pytest.fixture
async def session(server: DropboxServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Open connections that trust the server."""
    context = ssl.create_default_context(cafile=str(server.ca_file))
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as opened:
        yield opened


@pytest.fixture
async def api(server: DropboxServer, session: aiohttp.ClientSession) -> Api:
    """Talk raw HTTP."""
    return Api(server, session)


class Sdk:
    """Runs Dropbox's synchronous client beside the event loop that serves it."""

    def __init__(self, client: dropbox.Dropbox) -> None:
        self.client = client

    async def __call__(self, work: Callable[[dropbox.Dropbox], Any]) -> Any:
        return await in_thread(lambda: work(self.client))


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run blocking work in a thread that is gone afterwards."""
    with ThreadPoolExecutor(1) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


@pytest.fixture
async def sdk(server: DropboxServer) -> AsyncIterator[Sdk]:
    """Make Dropbox's own client, signed in with a refresh token."""
    client = dropbox.Dropbox(
        oauth2_refresh_token=server.issue_tokens().refresh_token,
        app_key=server.app.key,
        app_secret=server.app.secret,
        max_retries_on_error=1,
    )
    yield Sdk(client)
    client.close()
