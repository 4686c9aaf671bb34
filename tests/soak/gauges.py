"""What this process uses, and what is left over in it."""

import asyncio
from collections import Counter
import ctypes
from dataclasses import dataclass
import gc
import os
from pathlib import Path
import threading
from types import CoroutineType

from homeassistant.core import HomeAssistant

from custom_components.dropbox_backup.sync.engine import Engine
from custom_components.dropbox_backup.sync.storage.journal import Journal
from tests.support.home_assistant.memory import MemoryUse

_OURS = str(Path("custom_components", "dropbox_backup"))
# Of each there is one as long as Home Assistant runs. More are left over from before a restart or a
# reload.
_ONE_OF_EACH = (HomeAssistant, Engine, Journal)


@dataclass(frozen=True, slots=True)
class Reading:
    """Memory in bytes; the rest are numbers. `backups`: how many had been made."""

    backups: int
    memory: int
    files: int
    threads: int
    tasks: int


def read(backups: int) -> Reading:
    """Read the gauges, leaving out what waits to be collected, and what was given back to the
    allocator, which keeps some for later.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # of glibc
    return Reading(
        backups=backups,
        memory=MemoryUse.of(os.getpid()).now,
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
    )


def our_tasks() -> list[str]:
    """Return what of the product's runs at present."""
    found = []
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if isinstance(coroutine, CoroutineType) and _OURS in coroutine.cr_code.co_filename:
            found.append(coroutine.__qualname__)
    return sorted(found)


def left_over() -> dict[str, int]:
    """Return of what there is more than one."""
    gc.collect()
    counts = Counter(type(one) for one in gc.get_objects())
    return {kind.__name__: counts[kind] for kind in _ONE_OF_EACH if counts[kind] > 1}
