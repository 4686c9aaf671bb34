"""Benchmark of manners: what others on the line and in Home Assistant notice."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
import tempfile
import time

import aiohttp

from benchmarks.contenders.job import Job
from benchmarks.home import FOLDER, Home, signed_in
from benchmarks.proxy import Meter
from benchmarks.run import Runner
from benchmarks.seed import write_large_archive
from benchmarks.stage import FREE, GIB, MIB, SHAPED
from tests.support.world import World

_LIMIT = 1e6  # bytes per second: 8 Mbit/s
_LIMITED_SIZE = 40 * MIB
_WINDOW = 10.0
# Its beginning fills buffers on the way, its end is short of bytes.
_EDGE = 2.0
_TOLERANCE = 0.05
_LARGE = 2 * GIB
_PING_EVERY = 0.02
_IDLE_SECONDS = 5.0
_PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class _Answers:
    """How long answers took, in seconds."""

    times: list[float]

    def row(self) -> list[str]:
        """Return number, median, 95th percentile and worst."""
        ordered = sorted(self.times)
        worst = (median(ordered), ordered[int(len(ordered) * 0.95)], ordered[-1])
        return [str(len(ordered)), *(f"{seconds * 1e3:.1f} ms" for seconds in worst)]


def manners(run: Runner) -> None:
    """Hold the speed limit against what arrives, and ask Home Assistant while it uploads."""
    _speed_limit(run)
    idle, shaped, loopback = asyncio.run(_answers())
    run.report.table(
        "answers of Home Assistant (`GET /api/`) to others",
        ["", "asked", "median", "95 %", "worst"],
        [
            ["idle", *idle.row()],
            ["while it uploads on the shaped line", *shaped.row()],
            ["while it uploads at full speed on loopback", *loopback.row()],
        ],
    )


def _speed_limit(run: Runner) -> None:
    file = str(run.stage.file(_LIMITED_SIZE))
    options = {"bytes_per_second": _LIMIT}
    job = Job(
        "upload_with_us", run.stage.token, "/backup.tar", file, _LIMITED_SIZE, options=options
    )
    with Meter(run.stage.dropbox.port) as meter:
        here = f"127.0.0.1:{meter.port}"
        hosts = ("DROPBOX_API_HOST", "DROPBOX_API_CONTENT_HOST")
        once = replace(run, runs=1)
        figures = once.middle(run.stage.run, job, **dict.fromkeys(hosts, here))
    if figures is None:
        run.report.text("Speed limit: failed.")
        return
    shares = [size / _LIMIT / _WINDOW for size in _windows(meter.arrived)]
    run.report.table(
        "speed limit of 8 Mbit/s, what arrives in any 10 seconds",
        ["seconds", "least", "most"],
        [[f"{figures.seconds:.0f}", f"{min(shares):.1%}", f"{max(shares):.1%}"]],
    )
    run.report.budget(
        "a limit of 8 Mbit/s holds within 5 % over any 10 seconds",
        f"{min(shares):.1%} to {max(shares):.1%}",
        met=min(shares) >= 1 - _TOLERANCE and max(shares) <= 1 + _TOLERANCE,
    )


def _windows(arrived: list[tuple[float, int]]) -> list[int]:
    """Return how much arrived in each window of 10 seconds, one beginning with each arrival."""
    begun, ended = arrived[0][0] + _EDGE, arrived[-1][0] - _EDGE
    sums = []
    within, last = 0, 0
    for index, (moment, size) in enumerate(arrived):
        while last < len(arrived) and arrived[last][0] < moment + _WINDOW:
            within += arrived[last][1]
            last += 1
        if moment >= begun and moment + _WINDOW <= ended:
            sums.append(within)
        within -= arrived[index][1]
        del size
    return sums


async def _answers() -> tuple[_Answers, _Answers, _Answers]:
    """Ask a real Home Assistant again and again: idle, then while it uploads."""
    with tempfile.TemporaryDirectory(prefix="dropbox_backup_bench_") as name:
        async with signed_in(Path(name)) as home:
            idle = await _ask_for(home.world, _IDLE_SECONDS)
            shaped = await _ask_during_upload(home, _LARGE // 8, shaped=True)
            loopback = await _ask_during_upload(home, _LARGE, shaped=False)
            return idle, shaped, loopback


async def _ask_during_upload(home: Home, size: int, *, shaped: bool) -> _Answers:
    await home.stop()
    await asyncio.to_thread(write_large_archive, home.config, size)
    await asyncio.to_thread(home.control.set_line, SHAPED if shaped else FREE)
    await home.begin()
    deadline = time.monotonic() + _PATIENCE
    while not any("append" in route for route in await home.requests()):
        if time.monotonic() > deadline:
            raise TimeoutError("no upload began")
        await asyncio.sleep(0.02)
    uploading = asyncio.create_task(_until_uploaded(home, size))
    times: list[float] = []
    async with asyncio.timeout(_PATIENCE):
        await _ask(home.world, times, uploading)
    await home.settle()
    return _Answers(times)


async def _until_uploaded(home: Home, size: int) -> None:
    while True:
        files = await asyncio.to_thread(home.control.files, FOLDER)
        if any(one["size"] >= size for one in files):
            return
        await asyncio.sleep(0.2)


async def _ask_for(world: World, seconds: float) -> _Answers:
    times: list[float] = []
    await _ask(world, times, asyncio.create_task(asyncio.sleep(seconds)))
    return _Answers(times)


async def _ask(world: World, times: list[float], until: asyncio.Task[None]) -> None:
    headers = {"Authorization": f"Bearer {world.home.account.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while not until.done():
            begun = time.perf_counter()
            async with session.get(f"{world.home.url}/api/") as response:
                await response.read()
            times.append(time.perf_counter() - begun)
            await asyncio.sleep(_PING_EVERY)
    await until
