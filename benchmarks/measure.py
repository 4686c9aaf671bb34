"""What a process uses while it does something: time, CPU, memory, and how long its event loop
stood still.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
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

    `stall` is the longest time in which the event loop ran nobody else; `stall_cpu` is how much of
    the CPU its thread used in the worst such time, which other processes on the machine don't
    spoil. None: there is no event loop.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    stall: float | None = None
    stall_cpu: float | None = None
    first_byte: float | None = None


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
    ticker = asyncio.create_task(_tick(figures))
    try:
        yield
    finally:
        ticker.cancel()


async def _tick(figures: Figures) -> None:
    while True:
        before, cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(_TICK)
        late = time.perf_counter() - before - _TICK
        figures.stall = max(figures.stall or 0.0, late)
        figures.stall_cpu = max(figures.stall_cpu or 0.0, time.thread_time() - cpu)


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1024
