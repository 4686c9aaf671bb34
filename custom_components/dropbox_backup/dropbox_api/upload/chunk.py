"""Sending one chunk: its slot on the line, and what of it counts as sent."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from ..concurrency import SLOW, Duration, Stopwatch
from ..errors import CorruptError, DropboxError, Fault, RateLimitedError, RefusedError
from ..transport import BeforeLastBytes, OnSent, Sending
from .pool import Lane

_TRIES_OF_A_CORRUPT_CHUNK = 5


@dataclass(slots=True)
class Sent:
    """Bytes that left us: acknowledged ones plus those of the chunks in flight."""

    report: Callable[[int], None]
    total: int = 0

    def add(self, count: int) -> None:
        """Count bytes that were handed to the connection."""
        self.total += count
        self.report(self.total)


class ChunkSlot:
    """One chunk's slot on the line: from its first byte until its last one has left us.

    While Dropbox prepares its answer, the next chunk has the line.
    """

    @classmethod
    async def begin(cls, lane: Lane, size: int) -> Self:
        """Wait for a slot for a chunk of so many bytes. Raises `StoppedError`."""
        lane.check()
        await lane.pool.concurrency.begin()
        slot = cls(lane, size)
        try:
            lane.check()
        except BaseException:
            slot.end()
            raise
        return slot

    def __init__(self, lane: Lane, size: int) -> None:
        self._lane = lane
        self._size = size
        self._watch = Stopwatch()
        self._failed = False
        self._ended = False

    def sending(self, on_sent: OnSent, hold: BeforeLastBytes | None) -> Sending:
        """Return how to send the chunk."""
        return Sending(on_sent, self._on_failure, hold, self._lane.pool.speed)

    def _on_failure(self, err: DropboxError) -> None:
        self._failed = True
        if isinstance(err, RateLimitedError):
            self._lane.pool.concurrency.slow_down()

    def all_sent(self) -> None:
        """Free the slot: the last byte has left us."""
        took = self._watch.read()
        # How long something took that had to be repeated tells nothing about the line, and how
        # short a small one took neither.
        comparable = self._size == self._lane.pool.chunk_size or took.seconds > SLOW
        tells = (
            not self._failed and comparable and self._lane.pool.was_line(took.seconds, self._size)
        )
        self.end(took if tells else None)

    def end(self, took: Duration | None = None) -> None:
        """Free the slot, if that has not been done; `took` as in `Concurrency.end`."""
        if not self._ended:
            self._ended = True
            self._lane.pool.concurrency.end(took)


class ChunkSend:
    """The tries to send one chunk; it counts into the total once, however many they are."""

    def __init__(
        self, sent: Sent, size: int, slot: ChunkSlot, hold: BeforeLastBytes | None = None
    ) -> None:
        self._sent = sent
        self._size = size
        self._slot = slot
        self._counted = 0
        self.sending = slot.sending(self._add, hold)

    async def until_undamaged[T](self, send: Callable[[], Awaitable[T]]) -> T:
        """Return what `send` returns, which is called again when the chunk arrived damaged.

        Raises `CorruptError` when it always does.
        """
        for last_try in (False,) * (_TRIES_OF_A_CORRUPT_CHUNK - 1) + (True,):
            try:
                return await send()
            except RefusedError as err:
                if not err.has("content_hash_mismatch"):
                    raise
                if last_try:
                    raise CorruptError(Fault.DAMAGED_ON_THE_WAY, err.request_id) from err
                self._sent.add(-self._counted)
                self._counted = 0
        raise AssertionError("unreachable")

    def complete(self) -> None:
        """Count what was not counted yet: the chunk is there."""
        self._add(self._size)

    def _add(self, count: int) -> None:
        # A repeated chunk starts again from its first byte: what was counted before stays counted.
        count = min(count, self._size - self._counted)
        self._counted += count
        self._sent.add(count)
        if self._counted == self._size:
            self._slot.all_sent()
