"""How much is under way at once, over all uploads of an account, and who of them may go on."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import math
from pathlib import Path
import time

from ..bandwidth import BandwidthLimit
from ..client import DropboxClient
from ..concurrency import Concurrency
from ..content_hash import BLOCK_SIZE
from ..errors import DropboxError, StoppedError
from .commits import Committer
from .slots import Slots
from .source import memory_for

# In seconds. A session lives for 7 days, and an upload may take some of them.
# https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-start
_PREPARED_FOR = 24 * 3600.0
# 40 MiB, which leaves some of the 64 MiB that an upload may take for everything else.
MOST_IN_MEMORY = 10
# Of the memory that the machine has left, uploads take this share at most.
_SHARE_OF_MEMORY = 1 / 8
# A slow machine must not stand still while one chunk is hashed and another one sent.
_LEAST_IN_MEMORY = 2
_MEMORY_OF_LINUX = Path("/proc/meminfo")
# With a speed limit, chunks worth so many seconds travel at once. That fills the gaps between them.
_LIMITED_SECONDS = 1.0
# A chunk that took so many times as long as the speed limit asks for was held up by the line.
_MUCH_LONGER = 1.5


def chunks_in_memory(available: int | None) -> int:
    """Return how many chunks of 4 MiB uploads may hold on a machine with so much memory left, in
    bytes; None if that is not known.
    """
    if available is None:
        return MOST_IN_MEMORY
    fitting = int(available * _SHARE_OF_MEMORY) // BLOCK_SIZE
    return max(_LEAST_IN_MEMORY, min(fitting, MOST_IN_MEMORY))


def available_memory(told_in: Path = _MEMORY_OF_LINUX) -> int | None:
    """Return how many bytes of memory the machine can still give out, if it says so."""
    try:
        # No disk is asked, so the event loop may.
        with told_in.open(encoding="ascii") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name == "MemAvailable":
                    return int(value.removesuffix("kB\n")) * 1024
    except OSError, ValueError:
        pass
    return None


@dataclass(slots=True)
class _UnderWay:
    """How many uploads there are, and how many of them are of one chunk."""

    all: int = 0
    small: int = 0


class UploadPool:
    """What all uploads of an account share: memory, the line, and what was learned of both.

    At most `parallel` chunks of `chunk_size` bytes are held in memory: those that are being sent,
    those whose answer is awaited, and one that is ready; by default 10, fewer on a machine with
    little memory left. How many are sent at once follows the line, from `begin` on, and `speed`.
    Speed and `parallel` (`resize`) may change while uploads are under way.
    """

    def __init__(
        self,
        chunk_size: int = BLOCK_SIZE,
        parallel: int | None = None,
        begin: int = 5,
        memory: Callable[[], int | None] = available_memory,
    ) -> None:
        """Refuse what Dropbox would refuse: chunks are multiples of 4 MiB and at most 150 MiB.
        `memory` returns how many bytes are left, None if that is not known.

        https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-start
        """
        if chunk_size % BLOCK_SIZE or not 0 < chunk_size <= 148 * 1024 * 1024:
            raise ValueError("chunks must be multiples of 4 MiB up to 148 MiB")
        self._memory = memory
        parallel = self._chunks(parallel)
        self.chunk_size = chunk_size
        self.slots = Slots(parallel)
        self.speed = BandwidthLimit()
        self.concurrency = Concurrency(begin, parallel, ceiling=self._needed_for_speed)
        self.committer = Committer()
        # The closing chunk may be under way while others are, see `SessionUpload._send`.
        self.closes_early = True
        self._spare: list[memoryview] = []
        self._under_way = _UnderWay()
        self._prepared: tuple[str, float] | None = None  # a session, and when it was opened

    @property
    def alone(self) -> bool:
        """Whether at most one upload of a single chunk is under way."""
        return self._under_way.small <= 1

    def resize(self, parallel: int | None) -> None:
        """Let `parallel` be this from now on: chunks in flight go on, and of the next ones there
        are so many at most.
        """
        parallel = self._chunks(parallel)
        self.slots.resize(parallel)
        self.concurrency.bound(parallel)
        del self._spare[parallel:]

    def _chunks(self, parallel: int | None) -> int:
        """Return how many chunks may be in memory, if so many are wished for."""
        if parallel is None:
            return chunks_in_memory(self._memory())
        if parallel < 1:
            raise ValueError("at least one chunk must be in flight")
        return parallel

    def was_line(self, seconds: float, size: int) -> bool:
        """Tell whether a chunk took as long as it did because of the line, not of our own limit."""
        needed = self._needed_for_speed()
        if needed is None or self.speed.bytes_per_second is None:
            return True
        return seconds > _MUCH_LONGER * needed * size / self.speed.bytes_per_second

    def _needed_for_speed(self) -> int | None:
        """Return how many chunks at once are enough for the speed limit: more would only take
        longer, each of them.
        """
        if self.speed.bytes_per_second is None:
            return None
        return 1 + math.ceil(self.speed.bytes_per_second * _LIMITED_SECONDS / self.chunk_size)

    def buffer(self, size: int) -> memoryview:
        """Return memory for a chunk. Used again, it needs not be cleared or mapped again."""
        if self._spare and size == self.chunk_size:
            return self._spare.pop()
        return memory_for(size)

    def give_back(self, chunk: memoryview) -> None:
        """Take memory back that nobody reads any more."""
        if len(chunk) == self.chunk_size and not self.slots.too_many:
            self._spare.append(chunk)

    async def prepare(self, client: DropboxClient) -> None:
        """Open the session of the next upload ahead of time, so that its data need not wait for it.

        Worth it when an upload is near; harmless when it never comes, or when this fails.
        """
        if self._fresh() is None:
            with suppress(DropboxError):
                session_id = await client.trying_once().upload_session_start()
                self._prepared = (session_id, time.monotonic())

    async def open_session(self, client: DropboxClient) -> str:
        """Return the id of a concurrent session that nobody has used."""
        session_id = self._fresh()
        self._prepared = None
        return session_id or await client.upload_session_start()

    def _fresh(self) -> str | None:
        if self._prepared is None:
            return None
        session_id, opened = self._prepared
        return session_id if time.monotonic() - opened < _PREPARED_FOR else None

    @contextmanager
    def in_use(self, *, small: bool) -> Iterator[None]:
        """Count an upload. Memory for the next chunk is kept while there may be one."""
        self._under_way.all += 1
        self._under_way.small += small
        try:
            yield
        finally:
            self._under_way.all -= 1
            self._under_way.small -= small
            self._let_go()

    def _let_go(self) -> None:
        """Give memory back to the kernel if nobody uploads: one chunk now and the others one by
        one, because each takes a moment.
        """
        if self._spare and not self._under_way.all:
            self._spare.pop()
            asyncio.get_running_loop().call_soon(self._let_go)


class Lane:
    """The uploads of a pool that are stopped together.

    Once `stopped` is set, none of them begins another chunk: it raises `StoppedError` when those in
    flight have arrived. What only has to be made a file still is.
    """

    def __init__(self, pool: UploadPool) -> None:
        """Let everything go."""
        self.pool = pool
        self.stopped = False

    def check(self) -> None:
        """Raise `StoppedError` if nothing more may be sent."""
        if self.stopped:
            raise StoppedError
