"""Benchmark of growth: more backups, and larger ones."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.contenders.job import Job
from benchmarks.measure import Figures
from benchmarks.report import FAILED
from benchmarks.run import US, Runner, size_text
from benchmarks.seed import fill_folder
from benchmarks.stage import FREE, GIB, MIB, Stage

_COUNTS = (1, 10, 100, 1000)
_FLAT = 1.25
_SMALL = 2 * MIB


def growth(run: Runner) -> None:
    """From 1 to 1,000 backups in the folder, and from 64 MiB to 1 GiB (10 GiB with --huge)."""
    _more_backups(run)
    _larger_backups(replace(run, runs=1))


def _more_backups(run: Runner) -> None:
    catalogs, looks = [], []
    for count in _COUNTS:
        folder = f"/kept/{count}"
        catalogs.append(fill_folder(run.stage.control, folder, count))
        looks.append(run.middle(_look, run.stage, folder, count))
    rows = [
        ["first listing, requests", *_all(looks, "cold requests", "{:.0f}")],
        ["first listing, ms", *_all(looks, "cold", "{:.1f}", 1e3)],
        ["listing again, requests", *_all(looks, "warm requests", "{:.0f}")],
        ["listing again, ms", *_all(looks, "warm", "{:.1f}", 1e3)],
        ["making a plan, ms", *_all(looks, "plan", "{:.2f}", 1e3)],
        ["a new small backup, requests", *_all(looks, "new requests", "{:.0f}")],
        ["a new small backup, ms", *_all(looks, "new", "{:.1f}", 1e3)],
        ["memory, MiB", *(FAILED if one is None else f"{one.memory / MIB:.1f}" for one in looks)],
        ["catalog, KiB", *(f"{size / 1024:.1f}" for size in catalogs)],
    ]
    header = ["backups in the folder", *(f"{count:,}" for count in _COUNTS)]
    run.report.table("more backups, on loopback", header, rows)
    first, last = looks[0], looks[-1]
    if first and last:
        same = all(
            first.more[f"{what} requests"] == last.more[f"{what} requests"]
            for what in ("cold", "warm", "new")
        )
        run.report.budget(
            "requests do not grow with the number of backups",
            f"{last.more['cold requests']:.0f}, then {last.more['warm requests']:.0f}, "
            f"{last.more['new requests']:.0f} for a new one",
            met=same,
        )


def _larger_backups(run: Runner) -> None:
    sizes = [64 * MIB, 256 * MIB, GIB] + ([10 * GIB] if run.huge else [])
    rows, seconds = [], {}
    for size in sizes:
        # The kernel needs long to bring a large file into memory; the small ones are there.
        with run.stage.file(size).open("rb") as file:
            while file.read(64 * MIB):
                pass
    for direction in ("upload", "download"):
        done = [run.go(direction, US, size, FREE) for size in sizes]
        rows += [
            [f"{direction}, seconds per GiB", *_per_gib(done, sizes, lambda one: one.seconds)],
            [f"{direction}, CPU seconds per GiB", *_per_gib(done, sizes, lambda one: one.cpu)],
            [
                f"{direction}, requests per GiB",
                *_per_gib(done, sizes, lambda one: one.more["requests"]),
            ],
            [
                f"{direction}, memory in MiB",
                *(FAILED if one is None else f"{one.memory / MIB:.0f}" for one in done),
            ],
        ]
        if (first := done[0]) and (last := done[-1]):
            seconds[direction] = (last.seconds / sizes[-1]) / (first.seconds / sizes[0])
    run.report.table("larger backups, on loopback", ["", *map(size_text, sizes)], rows)
    for direction, grown in seconds.items():
        run.report.budget(
            f"{direction}: {size_text(sizes[-1])} takes no more time per GiB than "
            f"{size_text(sizes[0])} (within a quarter)",
            f"{grown:.2f} times",
            met=grown <= _FLAT,
        )


def _look(stage: Stage, folder: str, count: int) -> Figures:
    before = {one["path"] for one in stage.control.files(folder)}
    file = str(stage.file(_SMALL))
    try:
        return stage.run(Job("folder_with_us", stage.token, folder, file, count))
    finally:
        for one in stage.control.files(folder):
            if one["path"] not in before:
                stage.control.delete(one["path"])


def _all(looks: list[Figures | None], name: str, form: str, times: float = 1) -> list[str]:
    return [FAILED if one is None else form.format(one.more[name] * times) for one in looks]


def _per_gib(
    done: list[Figures | None], sizes: list[int], value: Callable[[Figures], float]
) -> list[str]:
    return [
        FAILED if one is None else f"{value(one) * GIB / size:.1f}"
        for one, size in zip(done, sizes, strict=True)
    ]
