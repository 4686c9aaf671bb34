"""The server: start it, stop it, and everything a test may want of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
import socket
from typing import Self

from aiohttp import web

from tests.support.dropbox_server import certificates
from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.control import Control
from tests.support.dropbox_server.dispatch import Dispatcher
from tests.support.dropbox_server.index_page import IndexPage
from tests.support.dropbox_server.line import Line, Shaper
from tests.support.dropbox_server.oauth import OAuth
from tests.support.dropbox_server.state import ServerState
from tests.support.dropbox_server.tokens import AuthorizationCode, Tokens

HOST = "127.0.0.1"
# On a shaped line the kernels must not swallow seconds of an upload before the server reads it.
# This holds for connections made after the line was set.
_SHAPED_RECEIVE_BUFFER = 64 * 1024
_ETHERNET_SEGMENT = 1448
_FREE_RECEIVE_BUFFER = 4 * 1024 * 1024
_READ_BUFFER = 256 * 1024
_MAX_HEADER = 64 * 1024
# In seconds.
_SHUTDOWN = 0.5


class DropboxServer(ServerState):
    """A local Dropbox on 127.0.0.1. Use it as an async context manager, or start and stop it.

    Without `add_app` and `add_account` there are one default app and one default account.
    """

    def __init__(self, data_dir: Path, port: int = 0, *, tls_dir: Path | None = None) -> None:
        """Keep all data in `data_dir`; port 0 takes a free one.

        Key and authority are in `tls_dir`, by default in `data_dir`, and are made if missing.
        """
        super().__init__(data_dir)
        self.port = port
        self.ca_file, self._tls = certificates.make(tls_dir or data_dir / "tls")
        self._socket: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Listen; the port is known afterwards."""
        if not self.apps:
            self.add_app(DropboxApp())
        if not self.accounts:
            self.add_account(DropboxAccount())
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            read_bufsize=_READ_BUFFER,
            max_field_size=_MAX_HEADER,
            shutdown_timeout=_SHUTDOWN,
        )
        await self._runner.setup()
        handler = self._runner.server
        assert handler is not None  # setup made it
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, self.port))
        self.port = self._socket.getsockname()[1]
        self._fit_receive_buffer()
        # Not aiohttp's own site: only asyncio's server can cut all connections when it stops.
        self._listener = await asyncio.get_running_loop().create_server(
            handler, sock=self._socket, ssl=self._tls, backlog=256
        )

    async def stop(self) -> None:
        """Stop listening, cut the connections, close the files. The data stays."""
        self.stopping = True
        for watcher in self.stopping_watchers:
            watcher.set()
        self.faults.clear()
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._listener is not None:
            # Clients that do not answer TLS's goodbye would keep a timer running.
            self._listener.abort_clients()
            await asyncio.sleep(0)
        if self.under_way:
            _, left = await asyncio.wait(self.under_way, timeout=_SHUTDOWN)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        self.executor.shutdown()  # its jobs are short
        for account in self.accounts.values():
            account.close()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, the value for each of the SDK's host variables."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Base URL."""
        return f"https://{self.host}"

    def env(self) -> dict[str, str]:
        """Environment variables that lead the SDK, requests and HA to this server."""
        return {
            "DROPBOX_API_HOST": self.host,
            "DROPBOX_API_CONTENT_HOST": self.host,
            "DROPBOX_API_NOTIFY_HOST": self.host,
            "DROPBOX_WEB_HOST": self.host,
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
            "SSL_CERT_FILE": str(self.ca_file),
        }

    def add_app(self, app: DropboxApp) -> DropboxApp:
        """Register an app, or replace its registration."""
        self.apps[app.key] = app
        return app

    def add_account(self, account: DropboxAccount) -> DropboxAccount:
        """Add a user; files from an earlier run with the same `data_dir` are there again."""
        account.attach(self.data_dir / "accounts", self.clock)
        self.accounts[account.account_id] = account
        _ = account.files
        return account

    @property
    def app(self) -> DropboxApp:
        """The first app."""
        return next(iter(self.apps.values()))

    @property
    def account(self) -> DropboxAccount:
        """The first account."""
        return next(iter(self.accounts.values()))

    def issue_tokens(
        self,
        app: DropboxApp | None = None,
        account: DropboxAccount | None = None,
        *,
        scopes: tuple[str, ...] | None = None,
    ) -> Tokens:
        """Sign in without the authorize page (as an app with a secret, offline)."""
        app, account = app or self.app, account or self.account
        granted = list(app.scopes if scopes is None else scopes)
        grant = AuthorizationCode(
            "",
            app.key,
            account.account_id,
            granted,
            None,
            None,
            "plain",
            offline=True,
            expires_at=0,
        )
        refresh = self.tokens.issue_refresh(grant)
        access = self.tokens.issue_access(app.key, account.account_id, granted, refresh.token)
        return Tokens(
            access.token,
            refresh.token,
            self.tokens.lifetime,
            " ".join(granted),
            account.account_id,
        )

    @property
    def line(self) -> Line:
        """How the line behaves; assign to change it, also while transfers run."""
        return self.shaper.line

    @line.setter
    def line(self, line: Line) -> None:
        self.shaper = Shaper(line)
        self._fit_receive_buffer()

    def _fit_receive_buffer(self) -> None:
        if self._socket is not None:
            shaped = self.line.shapes_uploads
            size = _SHAPED_RECEIVE_BUFFER if shaped else _FREE_RECEIVE_BUFFER
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            # The client's kernel sizes its buffer by the segment, which on loopback is 64 KiB.
            segment = _ETHERNET_SEGMENT if shaped else 0
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)

    def _application(self) -> web.Application:
        dispatcher, oauth = Dispatcher(self), OAuth(self)
        index = IndexPage(self)

        async def authorize(request: web.Request) -> web.StreamResponse:
            answer = oauth.decide if request.method == "POST" else oauth.page
            return await dispatcher.oauth(request, answer)

        async def token(request: web.Request) -> web.StreamResponse:
            return await dispatcher.oauth(request, oauth.token)

        application = web.Application()
        application.router.add_route("*", "/2/{route:.+}", dispatcher.call)
        application.router.add_get("/oauth2/authorize", authorize)
        application.router.add_post("/oauth2/authorize", authorize)
        application.router.add_post("/oauth2/token", token)
        application.router.add_get("/", index.index)
        application.router.add_get("/_files/{account_id}/{namespace}", index.download)
        Control(self).add_routes(application)
        return application
