"""Everything the server knows, shared by all routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from tests.support.dropbox_server import errors
from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.clock import Clock
from tests.support.dropbox_server.faults import Faults
from tests.support.dropbox_server.line import Line, Shaper
from tests.support.dropbox_server.request_log import RequestLog
from tests.support.dropbox_server.storage import FileTree
from tests.support.dropbox_server.tokens import TokenStore
from tests.support.dropbox_server.upload_sessions import UploadSessions


@dataclass(frozen=True, slots=True)
class Rules:
    """Behaviour that a test may choose; times in seconds.

    The last four are points on which Dropbox's documents are silent: run a client against both.
    """

    write_lock: bool = False
    """Refuse a write that overlaps another in its namespace (429 too_many_write_operations)."""
    write_duration: float = 0.0
    """How long a commit, delete or move holds the namespace."""
    longpoll_scale: float = 1.0
    """Real seconds per second of longpoll's timeout."""
    longpoll_jitter: float = 0.0
    """Added to longpoll's timeout, before scaling (Dropbox: up to 90 s)."""
    longpoll_backoff: int | None = None
    """`backoff` in longpoll's answers."""
    largest_page: int | None = None
    """So many entries of a folder come at once at most, however many were asked for."""
    search_delay: float = 0.0
    """How long a search does not know of a file that is new, changed or gone."""
    range_error_status: int = 416
    """Answer to a range behind the end: 416, or 409 with `range/not_satisfiable`."""
    omit_passing: bool = False
    """Whether a delta leaves out what came and went since the cursor."""
    resend_after_close: str = "closed"
    """A block sent again to a closed concurrent session: `closed` (refused) or `accept`."""
    resend_in_session: str = "accept"
    """An identical block sent again to an open concurrent session: `accept` or `refuse`."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Build rules of the control API's JSON; raises ValueError for an unknown field."""
        if unknown := set(value) - {item.name for item in fields(cls)}:
            message = f"unknown fields {sorted(unknown)}"
            raise ValueError(message)
        return cls(**value)

    def as_json(self) -> dict[str, object]:
        """Return the rules for the control API."""
        return asdict(self)


class ServerState:
    """Apps, accounts, tokens, upload sessions, and the switches for tests."""

    def __init__(self, data_dir: Path) -> None:
        """Open the data that lies in `data_dir`."""
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()
        self.rules = Rules()
        self.faults = Faults()
        self.log = RequestLog()
        self.apps: dict[str, DropboxApp] = {}
        self.accounts: dict[str, DropboxAccount] = {}
        self.tokens = TokenStore(data_dir / "tokens.json", self.clock)
        self.sessions = UploadSessions(data_dir / "sessions", self.clock)
        self.shaper = Shaper(Line())
        self.stopping = False
        self.stopping_watchers: set[asyncio.Event] = set()
        # Also those whose client has hung up, of which aiohttp knows nothing any more.
        self.under_way: set[asyncio.Task[object]] = set()
        self.executor = ThreadPoolExecutor(2, thread_name_prefix="dropbox-server")
        self._writing: set[FileTree] = set()

    def is_held(self, tree: FileTree) -> bool:
        """Tell whether a write to this namespace is refused now."""
        return self.rules.write_lock and tree in self._writing

    @asynccontextmanager
    async def writing(self, tree: FileTree) -> AsyncIterator[None]:
        """Hold a namespace while it is written to; raises the 429 when it is held already."""
        if self.is_held(tree):
            raise errors.rate_limited(1, "too_many_write_operations")
        self._writing.add(tree)
        try:
            if self.rules.write_duration:
                await asyncio.sleep(self.rules.write_duration)
            yield
        finally:
            self._writing.discard(tree)
