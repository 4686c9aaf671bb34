"""Benchmark of many small backups, as after an outage."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
import itertools
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from benchmarks.contenders.job import Job
from benchmarks.home import FOLDER, signed_in
from benchmarks.report import FAILED
from benchmarks.run import CORE, RCLONE, US, Runner
from benchmarks.seed import archive, backups, fill_home
from benchmarks.stage import FREE, MIB, SHAPED
from tests.support.dropbox_server import ControlClient, Rules

_COUNT = 50
# An archive of about 2 MiB.
_FILLING = 2 * MIB - 16 * 1024
_LEAST_RATIO = 3.0
_PATIENCE = 600.0
# Dropbox locks the account for a moment with each write, and refuses another one meanwhile.
_RULES = Rules(write_lock=True, write_duration=0.1)
_REFUSED = "too_many_write_operations"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How long it took, how many requests, and what Dropbox refused: in all, and in a row."""

    seconds: float
    requests: int
    refused: int
    in_a_row: int


def many(run: Runner) -> None:
    """Catch up with 50 backups of 2 MiB on the shaped line, with Dropbox's lock for writing."""
    rows: list[list[str]] = []
    together = _tried(rows, f"{US.name}, catching up", lambda: asyncio.run(_catch_up()))
    folder = run.stage.folder / "many"
    folder.mkdir(exist_ok=True)
    for backup in backups(_COUNT):
        (folder / f"{backup.backup_id}.tar").write_bytes(archive(backup, _FILLING))
    alone = _tried(
        rows, f"{US.name}, one after the other", lambda: _one_by_one(run, folder, "many_with_us")
    )
    core = f"{CORE.name}, one after the other"
    _tried(rows, core, lambda: _one_by_one(run, folder, "many_with_core"))
    for one in RCLONE:
        _tried(rows, f"{one.name}, its batch mode `sync`", partial(_rclone, run, folder))
    run.report.table(
        f"{_COUNT} backups of 2 MiB, shaped line",
        ["", "seconds", "requests", f"`{_REFUSED}`", "in a row"],
        rows,
    )
    if together and alone:
        ratio = alone.seconds / together.seconds
        run.report.budget(
            f"{_COUNT} backups of 2 MiB: ≤ 1/3 of the time of one after the other",
            f"1/{ratio:.1f}",
            met=ratio >= _LEAST_RATIO,
        )
        run.report.budget(
            f"`{_REFUSED}` never more than once in a row",
            str(together.in_a_row),
            met=together.in_a_row <= 1,
        )


def _tried(rows: list[list[str]], name: str, measure: Callable[[], _Outcome]) -> _Outcome | None:
    try:
        outcome = measure()
    except Exception as err:  # noqa: BLE001  (whatever it is, the others go on)
        print(f"{name}: {err!r}", file=sys.stderr, flush=True)
        rows.append([name, FAILED, "", "", ""])
        return None
    counts = (outcome.requests, outcome.refused, outcome.in_a_row)
    rows.append([name, f"{outcome.seconds:.1f}", *map(str, counts)])
    return outcome


async def _catch_up() -> _Outcome:
    """Let a real Home Assistant find the backups when it starts."""
    with tempfile.TemporaryDirectory(prefix="dropbox_backup_bench_") as name:
        async with signed_in(Path(name)) as home:
            await home.stop()
            home.change_entry(options={"keep": 0})
            fill_home(home.config, _COUNT, _FILLING)
            await asyncio.to_thread(_make_hard, home.control)
            await home.start()
            deadline = time.monotonic() + _PATIENCE
            while len(await asyncio.to_thread(_archives, home.control)) < _COUNT:
                if time.monotonic() > deadline:
                    raise TimeoutError("not all backups arrived")
                await asyncio.sleep(0.5)
            await home.settle()
            return _outcome(await asyncio.to_thread(home.control.log))


def _one_by_one(run: Runner, folder: Path, who: str) -> _Outcome:
    size = next(iter(folder.iterdir())).stat().st_size
    with _hard(run):
        run.stage.run(Job(who, run.stage.token, "/many", str(folder), size))
        return _outcome(run.stage.control.log())


def _rclone(run: Runner, folder: Path) -> _Outcome:
    with _hard(run):
        run.stage.control.clear_log()
        run.stage.rclone(["copy", str(folder), "local:/many"], batch_mode="sync")
        return _outcome(run.stage.control.log())


@contextmanager
def _hard(run: Runner) -> Iterator[None]:
    _make_hard(run.stage.control)
    try:
        yield
    finally:
        run.stage.control.set_line(FREE)
        run.stage.control.set_rules(Rules())
        run.stage.clear()


def _make_hard(control: ControlClient) -> None:
    control.set_line(SHAPED)
    control.set_rules(_RULES)


def _archives(control: ControlClient) -> list[str]:
    return [one["path"] for one in control.files(FOLDER) if one["path"].endswith(".tar")]


def _outcome(log: list[dict[str, Any]]) -> _Outcome:
    """Judge by the server's log, from the first request that brings data to the end of the last
    one that does.
    """
    sent = [one for one in log if one["route"].startswith("files/upload")]
    begun = min(one["time"] for one in sent)
    ended = max(one["time"] + one["duration"] for one in sent)
    refused = [_REFUSED in one["error"] for one in sent]
    in_a_row = max(len(list(group)) if bad else 0 for bad, group in itertools.groupby(refused))
    return _Outcome(ended - begun, len(log), sum(refused), in_a_row)
