"""Upload sessions: what has arrived of each, on disk and in memory.

Blocks are written at their offsets into one sparse file. A journal of one line per block beside it
lets a restarted server continue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
import json
from pathlib import Path
import secrets
import shutil

from tests.support.dropbox_server.clock import Clock
from tests.support.dropbox_server.hashing import BLOCK_SIZE, combine

SESSION_LIFETIME = 7 * 24 * 3600.0
MAX_FILE_SIZE = 2**41 - 2**22


@dataclass(frozen=True, slots=True)
class Block:
    """The data of one request: `size` bytes at `offset`, with the digests of its 4 MiB blocks."""

    offset: int
    size: int
    digests: list[bytes]

    @property
    def end(self) -> int:
        """Offset behind the data."""
        return self.offset + self.size


@dataclass(slots=True)
class UploadSession:
    """One session. A sequential session's next offset is `size`."""

    id: str
    account_id: str
    app_key: str
    concurrent: bool
    created_at: float
    directory: Path
    blocks: dict[int, Block] = field(default_factory=dict)
    closed: bool = False
    _receiving: list[tuple[int, float]] = field(default_factory=list)
    _settled: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def data(self) -> Path:
        """The sparse file with everything that has arrived."""
        return self.directory / "data"

    @property
    def size(self) -> int:
        """Offset behind the last block."""
        return max((block.end for block in self.blocks.values()), default=0)

    def has_gaps(self) -> bool:
        """Tell whether a part before the end is missing."""
        return sum(block.size for block in self.blocks.values()) != self.size

    def overlapping(self, offset: int, size: int) -> list[Block]:
        """List the blocks that share bytes with that range."""
        end = offset + size
        return [
            block for block in self.blocks.values() if block.offset < end and offset < block.end
        ]

    def add(self, block: Block, *, close: bool) -> None:
        """Note data that has arrived."""
        if block.size:
            self.blocks[block.offset] = block
            digests = [digest.hex() for digest in block.digests]
            self._note({"offset": block.offset, "size": block.size, "digests": digests})
        if close:
            self.closed = True
            self._note({"closed": True})

    def content_hash(self) -> str | None:
        """Hash of the whole, from the blocks' digests; None if a block was not aligned to 4 MiB."""
        blocks = sorted(self.blocks.values(), key=lambda block: block.offset)
        if any(block.offset % BLOCK_SIZE for block in blocks):
            return None
        return combine(digest for block in blocks for digest in block.digests)

    @asynccontextmanager
    async def receiving(self, offset: int, size: float) -> AsyncIterator[None]:
        """Reserve a range of the file; waits while a request that writes there is under way."""
        end = offset + size
        async with self._settled:
            await self._settled.wait_for(
                lambda: not any(first < end and offset < last for first, last in self._receiving)
            )
            self._receiving.append((offset, end))
        try:
            yield
        finally:
            async with self._settled:
                self._receiving.remove((offset, end))
                self._settled.notify_all()

    def discard(self) -> None:
        """Remove the session from the disk."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _note(self, line: dict[str, object]) -> None:
        with (self.directory / "journal.jsonl").open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")


class UploadSessions:
    """All sessions that are open."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Load the sessions that lie in `directory`."""
        self._directory = directory
        self._clock = clock
        directory.mkdir(parents=True, exist_ok=True)
        loaded = (_load(folder) for folder in directory.iterdir())
        self.open: dict[str, UploadSession] = {session.id: session for session in loaded if session}

    def start(self, account_id: str, app_key: str, *, concurrent: bool) -> UploadSession:
        """Start a session."""
        folder = self._directory / secrets.token_hex(8)
        folder.mkdir()
        session = UploadSession(
            id="pid_upload_session:" + secrets.token_urlsafe(32),
            account_id=account_id,
            app_key=app_key,
            concurrent=concurrent,
            created_at=self._clock.now(),
            directory=folder,
        )
        session.data.touch()
        header = {
            "id": session.id,
            "account_id": account_id,
            "app_key": app_key,
            "concurrent": concurrent,
            "created_at": session.created_at,
        }
        (folder / "session.json").write_text(json.dumps(header), encoding="utf-8")
        self.open[session.id] = session
        return session

    def find(self, session_id: str, account_id: str, app_key: str) -> UploadSession | None:
        """Return a session of that user and app, unless its seven days are over."""
        session = self.open.get(session_id)
        if session is None or (session.account_id, session.app_key) != (account_id, app_key):
            return None
        if session.created_at + SESSION_LIFETIME <= self._clock.now():
            self.end(session)
            return None
        return session

    def end(self, session: UploadSession) -> None:
        """Forget a session that is committed or too old."""
        self.open.pop(session.id, None)
        session.discard()


def _load(folder: Path) -> UploadSession | None:
    header_path = folder / "session.json"
    if not header_path.exists():
        return None
    session = UploadSession(**json.loads(header_path.read_text("utf-8")), directory=folder)
    journal = folder / "journal.jsonl"
    for line in journal.read_text("utf-8").splitlines() if journal.exists() else []:
        entry = json.loads(line)
        if "closed" in entry:
            session.closed = True
        else:
            digests = [bytes.fromhex(digest) for digest in entry["digests"]]
            session.blocks[entry["offset"]] = Block(entry["offset"], entry["size"], digests)
    return session
