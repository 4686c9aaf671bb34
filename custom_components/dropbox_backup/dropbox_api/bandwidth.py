"""How fast uploads may go at most."""

import asyncio
from collections.abc import Awaitable, Callable
import time

# Bytes that go in one piece take so long, in seconds: smooth enough for whoever shares the line.
_SLICE_TIME = 0.05
_SMALLEST_SLICE = 1024
# A busy machine may wake us late: up to so many seconds are caught up. More is lost, so that no
# burst follows a rest.
_CATCH_UP = 0.25


class BandwidthLimit:
    """At most so many bytes per second, over everything that shares this object.

    `bytes_per_second` may be set at any moment; None is no limit. Whoever sends takes turns, in the
    order in which they ask.
    """

    def __init__(
        self,
        bytes_per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` and `sleep` in seconds."""
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0
        self._order = asyncio.Lock()

    def slice_size(self, largest: int) -> int:
        """Return how many bytes to take at once, `largest` at most."""
        if self.bytes_per_second is None:
            return largest
        return min(largest, max(_SMALLEST_SLICE, int(self.bytes_per_second * _SLICE_TIME)))

    async def take(self, size: int) -> None:
        """Wait until so many bytes may be sent. Who is cancelled has taken nothing."""
        async with self._order:
            # Nobody is ahead by more than one slice: a new limit holds within that time.
            while (wait := self._free_at - self._clock()) > 0:
                await self._sleep(wait)
            if self.bytes_per_second is None:
                return
            now = self._clock()
            begin = self._free_at if now - self._free_at < _CATCH_UP else now
            self._free_at = begin + size / self.bytes_per_second
