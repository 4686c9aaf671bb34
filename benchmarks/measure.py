"""What a process uses while it does something: time, CPU, memory, and how long its event loop
stood still.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
import re
import time

_TICK = 0.001
_STATUS = Path("/proc/self/status")
# Writing 5 makes the kernel forget the peak so far.
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Figures:
    """Times in seconds, memory in bytes.

    `stall` is the longest time for which a timer of the event loop had to wait; `stall_cpu` is the
    most CPU that its thread used in such a time, which other processes on the machine don't spoil.
    None: there is no event loop. `more` is what only some benchmarks measure.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    stall: float | None = None
    stall_cpu: float | None = None
    first_byte: float | None = None
    more: dict[str, float] = field(default_factory=dict)


@contextmanager
def measured(figures: Figures) -> Iterator[None]:
    """Fill in time, CPU and peak of memory over what was in use before."""
    _CLEAR_REFS.write_text("5", encoding="ascii")
    idle = _memory("VmRSS")
    cpu, begun = time.process_time(), time.perf_counter()
    yield
    figures.seconds = time.perf_counter() - begun
    figures.cpu = time.process_time() - cpu
    figures.memory = _memory("VmHWM") - idle


@asynccontextmanager
async def loop_watched(figures: Figures, watch: bool) -> AsyncIterator[None]:  # noqa: FBT001
    """Fill in how long the event loop stood still, sampled every millisecond, if asked to.

    Not in the same run as the CPU: a thousand samples per second use some of it.
    """
    if not watch:
        yield
        return
    figures.stall = figures.stall_cpu = 0.0
    ticker = _Ticker(figures)
    ticker.start()
    try:
        yield
    finally:
        ticker.stop()


class _Ticker:
    """A timer that takes note of how late it is called, and of the CPU that others used meanwhile:
    no more of it than it was late, because before that nobody was waiting.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle
        self._due = self._cpu = 0.0

    def start(self) -> None:
        self._cpu = time.thread_time()
        self._due = time.perf_counter() + _TICK
        self._handle = self._loop.call_later(_TICK, self._look)

    def stop(self) -> None:
        self._handle.cancel()

    def _look(self) -> None:
        late = max(time.perf_counter() - self._due, 0.0)
        cpu = min(time.thread_time() - self._cpu, late)
        self._figures.stall = max(self._figures.stall or 0.0, late)
        self._figures.stall_cpu = max(self._figures.stall_cpu or 0.0, cpu)
        self.start()


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1024
