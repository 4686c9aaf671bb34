"""Benchmarks of uploading and restoring one backup."""

from dataclasses import replace
from statistics import median
import time

from benchmarks.measure import Figures
from benchmarks.plot import Bar, Chart
from benchmarks.report import FAILED
from benchmarks.run import (
    CORE,
    RCLONE,
    SDK,
    SDK_PARALLEL,
    SDK_PARALLEL_DOWN,
    US,
    US_COLD,
    Contender,
    Runner,
    size_text,
)
from benchmarks.stage import FREE, GIB, MIB, SHAPED, THIN
from tests.support.dropbox_server import Line

_LINE_BYTES = {SHAPED: 25e6, THIN: 0.25e6}
# A restore over a line of 2 Mbit/s takes 330 seconds; core's ends after 300.
_SLOW_SIZE = 82 * MIB
_MOST_MEMORY = 64 * MIB


def upload(run: Runner) -> None:
    """Upload on a line with round trips, thinking time and a limit per connection."""
    contenders = [US, US_COLD, CORE, SDK, SDK_PARALLEL, *RCLONE]
    shares = _on_line(run, "upload", contenders, SHAPED, [64 * MIB, 256 * MIB])
    _budget_of_line(run, "upload, shaped line", shares, 64 * MIB, 0.75)
    _budget_of_line(run, "upload, shaped line", shares, 256 * MIB, 0.90)
    _plot(run, shares, "upload")


def restore(run: Runner) -> None:
    """Download on a line with round trips, thinking time and a limit per connection."""
    contenders = [US, CORE, SDK, SDK_PARALLEL_DOWN, *RCLONE]
    shares = _on_line(run, "download", contenders, SHAPED, [64 * MIB, 256 * MIB])
    _budget_of_line(run, "restore, shaped line", shares, 256 * MIB, 0.90)
    _plot(run, shares, "restore")


def thin(run: Runner) -> None:
    """Upload and restore on a thin line: 2 Mbit/s, 80 ms."""
    for direction in ("upload", "download"):
        shares = _on_line(run, direction, [US, CORE, SDK], THIN, [8 * MIB])
        _budget_of_line(run, f"{direction}, thin line", shares, 8 * MIB, 0.95)


def loopback(run: Runner) -> None:
    """Upload and restore on a line without limits: what the code itself costs."""
    size = GIB
    _curl(run, size)
    for direction in ("upload", "download"):
        rows, done = [], {}
        for one in (US, CORE, SDK, *RCLONE):
            figures = done[one.who] = run.go(direction, one, size, FREE)
            rows.append([one.name, *_costs(figures, size)])
        run.report.table(
            f"{direction}, 1 GiB over TLS on loopback",
            ["", "MiB/s", "CPU seconds per GiB"],
            rows,
        )
        ours, cores = done["us"], done["core"]
        if direction == "upload" and ours and cores:
            for name, mine, theirs in (
                ("seconds", ours.seconds, cores.seconds),
                ("CPU seconds", ours.cpu, cores.cpu),
            ):
                run.report.budget(
                    f"{direction} on loopback: {name} of HA's `dropbox` or fewer",
                    f"{mine:.2f} against {theirs:.2f}",
                    met=mine <= theirs,
                )


def memory(run: Runner) -> None:
    """Memory over idle, however large the backup."""
    sizes = [64 * MIB, GIB] + ([10 * GIB] if run.huge else [])
    once = replace(run, runs=1)
    rows, ours = [], []
    for direction in ("upload", "download"):
        for one in (US, CORE):
            done = [once.go(direction, one, size, FREE) for size in sizes]
            rows.append([f"{one.name}, {direction}", *map(_memory, done)])
            if one is US:
                ours += [figures.memory for figures in done if figures]
    run.report.table("memory over idle", ["", *map(size_text, sizes)], rows)
    if ours:
        run.report.budget(
            f"memory while transferring up to {size_text(sizes[-1])} ≤ 64 MiB",
            f"{max(ours) / MIB:.0f} MiB",
            met=max(ours) <= _MOST_MEMORY,
        )


def slow(run: Runner) -> None:
    """Restore for longer than the five minutes after which aiohttp's default timeout strikes."""
    once = replace(run, runs=1)
    rows = []
    for one in (US, CORE):
        run.stage.put(_SLOW_SIZE)
        begun = time.monotonic()
        figures = once.go("download", one, _SLOW_SIZE, THIN)
        how = "whole" if figures else "broken off"
        ended = f"{how} after {time.monotonic() - begun:.0f} s"
        rows.append([one.name, ended])
        if one is US:
            run.report.budget("a restore of more than 5 minutes", ended, met=figures is not None)
    run.report.table(f"restore of {_SLOW_SIZE // MIB} MiB on the thin line", ["", ""], rows)


type _Shares = dict[str, dict[int, float]]
"""Share of the line by contender and size."""


def _on_line(
    run: Runner, direction: str, contenders: list[Contender], line: Line, sizes: list[int]
) -> _Shares:
    rows: list[list[str]] = []
    shares: _Shares = {}
    for one in contenders:
        row, first_byte = [one.name], None
        for size in sizes:
            figures = run.go(direction, one, size, line)
            if figures is None:
                row.append(FAILED)
                continue
            share = size / figures.seconds / _LINE_BYTES[line]
            shares.setdefault(one.name, {})[size] = share
            row.append(f"{figures.seconds:.1f} s = {share:.0%}")
            first_byte = figures.first_byte
        if direction == "download":
            row.append("" if first_byte is None else f"{first_byte:.2f} s")
        rows.append(row)
    last = ["first byte"] if direction == "download" else []
    name = "shaped" if line is SHAPED else "thin"
    run.report.table(
        f"{direction}, {name} line: seconds, and share of the line",
        ["", *map(size_text, sizes), *last],
        rows,
    )
    return shares


def _budget_of_line(run: Runner, what: str, shares: _Shares, size: int, least: float) -> None:
    share = shares.get(US.name, {}).get(size)
    if share is not None:
        run.report.budget(
            f"{what}, {size_text(size)}: ≥ {least:.0%} of it",
            f"{share:.1%}",
            met=share >= least,
        )


def _plot(run: Runner, shares: _Shares, name: str) -> None:
    largest = max((size for sizes in shares.values() for size in sizes), default=0)
    bars = [
        Bar(_plain(one), sizes[largest], one == US.name)
        for one, sizes in shares.items()
        if largest in sizes and one != US_COLD.name
    ]
    title = f"{name.capitalize()} of {size_text(largest)}: share of a 200 Mbit/s line"
    run.report.charts.append(Chart(name, title, bars))


def _plain(markdown: str) -> str:
    return markdown.replace("*", "").replace("`", "")


def _curl(run: Runner, size: int) -> None:
    """Show that the local Dropbox is not what limits the others."""
    connections = 2
    try:
        seconds = median(run.stage.curl(size, connections) for _ in range(run.runs))
    except (OSError, AssertionError) as err:
        run.report.text(f"Bare `curl`: failed ({type(err).__name__}).")
        return
    speed = connections * size / MIB / seconds
    run.report.text(f"Bare `curl`, {connections} uploads at once: {speed:.0f} MiB/s.")


def _costs(figures: Figures | None, size: int) -> list[str]:
    if figures is None:
        return [FAILED, ""]
    return [f"{size / MIB / figures.seconds:.0f}", f"{figures.cpu * GIB / size:.2f}"]


def _memory(figures: Figures | None) -> str:
    return FAILED if figures is None else f"{figures.memory / MIB:.0f} MiB"
