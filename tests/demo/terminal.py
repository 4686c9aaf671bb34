"""What the demo says, readable in a terminal and in the log of a build."""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
from dataclasses import dataclass, field
import io
import os
import sys
import time
from typing import TextIO

_BAR_WIDTH = 30
_REFRESH = 0.1
# Where there is no cursor to move, a line each time that so much is done.
_STRIDE = 25


def size(bytes_: float) -> str:
    """Write a number of bytes as people do: `64.0 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if abs(bytes_) < 1024:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.2f} GiB"


@dataclass
class Terminal:
    """Writes steps, results and tables."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    _step: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.out, io.TextIOWrapper):
            # Not every terminal has a tick.
            self.out.reconfigure(errors="replace")

    @property
    def _is_live(self) -> bool:
        return self.out.isatty() and os.environ.get("TERM") != "dumb"

    def title(self, text: str) -> None:
        """Open the demo."""
        self._line(self._styled("1", text))

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step, and mark it when it fails."""
        self._step += 1
        self._line()
        self._line(self._styled("1;36", f"{self._step}. {text}"))
        try:
            yield
        except Exception:
            self.bad("failed")
            raise

    def good(self, text: str) -> None:
        """Say what was reached."""
        self._line(f"   {self._styled('32', '✓')} {text}")

    def bad(self, text: str) -> None:
        """Say what went wrong."""
        self._line(f"   {self._styled('31', '✗')} {text}")

    def note(self, text: str) -> None:
        """Say something beside."""
        self._line(f"     {self._styled('2', text)}")

    def plain(self, text: str = "") -> None:
        """Say something as it is."""
        self._line(text)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table with as much width as its contents need."""
        body = [list(row) for row in rows]
        widths = [max(len(row[n]) for row in [list(head), *body]) for n in range(len(head))]

        def line(row: Sequence[str]) -> str:
            cells = zip(row, widths, strict=True)
            return "     " + "  ".join(cell.ljust(width) for cell, width in cells).rstrip()

        self._line(self._styled("2", line(head)))
        for row in body:
            self._line(line(row))

    @contextlib.contextmanager
    def progress(self, total: int) -> Iterator[Progress]:
        """Show a bar for a transfer of `total` bytes."""
        bar = Progress(self.out, total, live=self._is_live)
        try:
            yield bar
        finally:
            bar.end()

    def _line(self, text: str = "") -> None:
        self.out.write(text + "\n")
        self.out.flush()

    def _styled(self, code: str, text: str) -> str:
        if not self._is_live or "NO_COLOR" in os.environ:
            return text
        return f"\x1b[{code}m{text}\x1b[0m"


class Progress:
    """A bar that is redrawn in place."""

    def __init__(self, out: TextIO, total: int, *, live: bool) -> None:
        self._out = out
        self._total = total
        self._live = live
        self._began = time.monotonic()
        self._drawn_at = 0.0
        self._said = 0

    def show(self, percent: float) -> None:
        """Draw the bar at `percent`, but not so often that it flickers."""
        if self._live and time.monotonic() - self._drawn_at >= _REFRESH:
            self._drawn_at = time.monotonic()
            self._out.write(f"\r     {self._text(percent)}\x1b[K")
            self._out.flush()
        elif not self._live and percent >= self._said + _STRIDE:
            self._said = int(percent // _STRIDE * _STRIDE)
            self._out.write(f"     {self._text(percent)}\n")
            self._out.flush()

    def end(self) -> None:
        """Take the bar away; what came of it is for the caller to say."""
        if self._live:
            self._out.write("\r\x1b[K")
            self._out.flush()

    @property
    def elapsed(self) -> float:
        """Seconds since the bar appeared."""
        return time.monotonic() - self._began

    def _text(self, percent: float) -> str:
        filled = round(_BAR_WIDTH * percent / 100)
        done = self._total * percent / 100
        bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
        rate = size(done / self.elapsed) if self.elapsed else "-"
        return f"{bar} {percent:3.0f} %  {size(done)} of {size(self._total)}, {rate}/s"
