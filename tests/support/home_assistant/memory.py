"""How much memory another process uses, as Linux counts it."""

from dataclasses import dataclass
from pathlib import Path
import re

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Resident memory in bytes: now, and the most since the process began or `reset_peak`."""

    now: int
    peak: int

    @classmethod
    def of(cls, pid: int) -> MemoryUse:
        """Measure a process. Raises `OSError` if it is gone."""
        status = Path(f"/proc/{pid}/status").read_text()
        return cls(now=_bytes(status, "VmRSS"), peak=_bytes(status, "VmHWM"))


def reset_peak(pid: int) -> None:
    """Let the peak of a process of ours begin again at what it uses now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _bytes(status: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    if match is None:  # A process that has ended but was not waited for has no memory at all.
        raise ProcessLookupError(f"{name} is unknown")
    return int(match[1]) * 1024
