"""How many transfers run at once: more while it pays, fewer on a thin line or a busy machine.

One connection rarely fills a line: Dropbox's edge, the round trips and the waiting for answers
leave gaps. Too many on a thin line only make each of them slow, and what is repeated after a break
large. Where the event loop has no time left, more of them bring nothing, and everybody else waits
longer for a turn.
"""

import asyncio
from collections import deque
from collections.abc import Callable
import time
from typing import NamedTuple

# In seconds. A transfer that takes longer has hardly any gaps: the next one need not fill them.
SLOW = 15.0
# One more must bring so much, as a share of what it could bring.
_PAYS = 0.3
# With such a share of its thread's time used, the event loop is the limit, not the line.
_BUSY = 0.7
# After a step that did not pay, so many rounds pass before the next try.
_ROUNDS_OF_REST = 8


class Duration(NamedTuple):
    """How long a transfer took, and how much CPU the event loop's thread used meanwhile, in
    seconds.
    """

    seconds: float
    cpu: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether the event loop was the limit, not the line."""
        return self.cpu > _BUSY * self.seconds


class Stopwatch:
    """Begins now. For the event loop's thread only."""

    def __init__(self) -> None:
        """Start."""
        self._begun, self._cpu = time.monotonic(), time.thread_time()

    def read(self) -> Duration:
        """Return what it took until now."""
        return Duration(time.monotonic() - self._begun, time.thread_time() - self._cpu)


class Concurrency:
    """Lets transfers begin, in order, and learns from how long they took."""

    def __init__(
        self,
        begin: int,
        most: int,
        least: int = 2,
        ceiling: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Begin with so many at once; `most` and `least` bound what becomes of it.

        `ceiling` returns how many there may be for another reason than the line, or None. It is
        asked again and again, and what was learnt outlasts it.
        """
        self._most = most
        self._ceiling = ceiling
        self._at_least = least
        self.allowed = max(self._least, min(begin, most))
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._durations: list[float] = []
        # Before the latest step up: how many transfers per second there were.
        self._rate_before: float | None = None
        self._rest = 0

    @property
    def _least(self) -> int:
        return min(self._at_least, self._most)

    def bound(self, most: int) -> None:
        """Let there be so many at most from now on; those that run go on."""
        self._most = most
        self._step_to(self.allowed)
        self._rate_before = None
        self._let_begin()

    async def begin(self) -> None:
        """Wait until one more may run."""
        if self._may_begin() and all(waiter.done() for waiter in self._waiting):
            self.running += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self.end()  # its turn came just as it was cancelled: pass it on
            raise

    def end(self, took: Duration | None = None) -> None:
        """Take note that one has ended; `took` if that tells about the line."""
        self.running -= 1
        if took is not None:
            self.learn(took)
        self._let_begin()

    def _let_begin(self) -> None:
        while self._waiting and self._may_begin():
            waiter = self._waiting.popleft()
            if not waiter.done():  # cancelled
                self.running += 1
                waiter.set_result(None)

    def _may_begin(self) -> bool:
        ceiling = self._ceiling()
        allowed = self.allowed if ceiling is None else min(self.allowed, ceiling)
        return self.running < allowed

    def allow_one_more(self) -> None:
        """Let one more run, as far as that is allowed at all."""
        self._step_to(self.allowed + 1)

    def slow_down(self) -> None:
        """Halve: Dropbox wants us to. What it says to several of one round counts once."""
        if self._rest == _ROUNDS_OF_REST and not self._durations:
            return
        self._step_to(self.allowed // 2)
        self._rate_before = None
        self._rest = _ROUNDS_OF_REST

    def learn(self, took: Duration) -> None:
        """Adapt to how long one transfer took, as one of `allowed` at once."""
        if took.seconds > SLOW or took.busy:
            self._step_to(self.allowed - 1)
            self._rate_before = None
            return
        self._durations.append(max(took.seconds, 1e-6))
        if len(self._durations) < self.allowed:
            return
        rate = self.allowed * len(self._durations) / sum(self._durations)
        wanted = 1 + _PAYS / (self.allowed - 1) if self.allowed > 1 else 1.0
        if self._rate_before is not None and rate < self._rate_before * wanted:
            self._rate_before = None
            self._rest = _ROUNDS_OF_REST
            self._step_to(self.allowed - 1)
        elif self._rest:
            self._rest -= 1
            self._durations.clear()
        elif self.allowed < self._most:
            self._rate_before = rate
            self.allow_one_more()
        else:
            self._durations.clear()

    def _step_to(self, allowed: int) -> None:
        self.allowed = max(self._least, min(allowed, self._most))
        self._durations.clear()
