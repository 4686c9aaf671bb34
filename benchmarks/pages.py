"""Benchmarks with a real Home Assistant: its start, and its Backups page."""

import asyncio
from collections import Counter
from pathlib import Path
from statistics import median
import tempfile

from benchmarks.contenders.job import Job
from benchmarks.home import FOLDER, Home, Start, signed_in
from benchmarks.loop import loading
from benchmarks.measure import Figures
from benchmarks.report import FAILED
from benchmarks.run import CORE, US, Runner
from benchmarks.seed import fill_folder, fill_for_core
from benchmarks.stage import FREE, SHAPED

_COUNTS = (1, 100, 1000)
_MOST_LOOP_TIME = 0.1
_MOST_REQUESTS = 3
_MOST_REQUESTS_COLD = 3
# Of these a listing is made; the others ask for free space and such.
_LISTING = ("files/list_folder", "files/list_folder/continue", "files/download")


def startup(run: Runner) -> None:
    """Start Home Assistant with and without the integration: time of the event loop, requests."""
    loading(run)
    with_us, without = asyncio.run(_starts(run))
    ours = median(one.ours for one in with_us)
    longest = max(one.longest for one in with_us)
    asked, later = with_us[-1].until_running, with_us[-1].until_quiet
    rows = [
        ["main thread until quiet, with it", *_three([one.main_thread for one in with_us])],
        ["main thread until quiet, without", *_three([one.main_thread for one in without])],
        ["of it in our code and what that calls", *_three([one.ours for one in with_us])],
    ]
    run.report.table(
        "CPU of Home Assistant's event loop during a start, in seconds",
        ["", "least", "median", "most"],
        rows,
    )
    run.report.text(
        f"The longest of our steps took {longest * 1e3:.1f} ms. Requests until Home Assistant ran: "
        f"{_routes(asked)}. Those of the first check, right after: {_routes(later - asked)}."
    )
    run.report.budget(
        "start of Home Assistant: ≤ 100 ms of event loop",
        f"{ours * 1e3:.0f} ms",
        met=ours <= _MOST_LOOP_TIME,
    )
    run.report.budget(
        "start of Home Assistant: ≤ 3 requests",
        str(asked.total()),
        met=asked.total() <= _MOST_REQUESTS,
    )


def page(run: Runner) -> None:
    """Open Home Assistant's Backups page: requests to Dropbox, and seconds on the shaped line."""
    header = ["", *(f"{count:,} in Dropbox" for count in _COUNTS)]
    pages = asyncio.run(_pages())
    rows = [
        [f"{US.name}, first look at a folder", *(one.first for one in pages)],
        [f"{US.name}, after a restart", *(one.restarted for one in pages)],
        [f"{US.name}, from then on", *(one.warm for one in pages)],
    ]
    cores = [_core(run, count) for count in _COUNTS]
    rows += [
        [f"{CORE.name}, {words}", *(_asked(one, name) for one in cores)]
        for name, words in (("cold", "first"), ("warm", "from then on"))
    ]
    run.report.table("requests to open the Backups page, and seconds", header, rows)
    worst = max(one.cold_requests for one in pages)
    run.report.budget(
        "Backups page, cold: ≤ 3 requests", str(worst), met=worst <= _MOST_REQUESTS_COLD
    )
    warm = max(one.warm_requests for one in pages)
    run.report.budget("Backups page, warm: no request", str(warm), met=warm == 0)


async def _starts(run: Runner) -> tuple[list[Start], list[Start]]:
    """Start in turns with and without the config entry."""
    with_us: list[Start] = []
    without: list[Start] = []
    with tempfile.TemporaryDirectory(prefix="dropbox_backup_bench_") as name:
        async with signed_in(Path(name)) as home:
            for _ in range(run.runs):
                for disabled, starts in ((None, with_us), ("user", without)):
                    await home.stop()
                    home.change_entry(disabled_by=disabled)
                    starts.append(await home.start())
    return with_us, without


class _Page:
    """What it took to open the page with so many backups in Dropbox."""

    def __init__(self) -> None:
        self.first = self.restarted = self.warm = FAILED
        self.cold_requests = self.warm_requests = 0

    async def open(self, home: Home, count: int) -> None:
        """Open it after a look at a folder that is new to Home Assistant, after a restart, and
        again.
        """
        await home.stop()
        await asyncio.to_thread(fill_folder, home.control, FOLDER, count)
        await asyncio.to_thread(home.control.set_line, SHAPED)
        for restarted in (False, True):
            if restarted:
                await home.stop()
            start = await home.start()
            seconds, asked = await home.open_backups_page()
            # The listing has been made while Home Assistant started: the page itself asks nothing.
            requests = sum(start.until_running[route] for route in _LISTING) + asked.total()
            self.cold_requests = max(self.cold_requests, requests)
            text = _cell(requests, seconds)
            self.first, self.restarted = (self.first, text) if restarted else (text, FAILED)
        seconds, asked = await home.open_backups_page()
        self.warm, self.warm_requests = _cell(asked.total(), seconds), asked.total()
        await asyncio.to_thread(home.control.set_line, FREE)


async def _pages() -> list[_Page]:
    pages = []
    with tempfile.TemporaryDirectory(prefix="dropbox_backup_bench_") as name:
        async with signed_in(Path(name)) as home:
            for count in _COUNTS:
                opened = _Page()
                await opened.open(home, count)
                pages.append(opened)
    return pages


def _core(run: Runner, count: int) -> Figures | None:
    fill_for_core(run.stage.control, count)
    run.stage.control.set_line(SHAPED)
    try:
        return run.middle(run.stage.run, Job("page_with_core", run.stage.token, "", "", count))
    finally:
        run.stage.control.set_line(FREE)


def _asked(figures: Figures | None, name: str) -> str:
    if figures is None:
        return FAILED
    return _cell(int(figures.more[f"{name} requests"]), figures.more[name])


def _cell(requests: int, seconds: float) -> str:
    return f"{requests:,}, {seconds:.1f} s"


def _three(values: list[float]) -> list[str]:
    return [f"{value:.3f}" for value in (min(values), median(values), max(values))]


def _routes(counters: Counter[str]) -> str:
    return ", ".join(f"{count} x `{route}`" for route, count in sorted(counters.items())) or "none"
