"""Benchmarks of what the event loop of Home Assistant notices."""

from collections.abc import Callable
import json
import subprocess
import sys

from benchmarks.contenders.job import Job
from benchmarks.measure import Figures
from benchmarks.pi import PI_SECONDS, PI_STEPS, slowness
from benchmarks.report import FAILED
from benchmarks.run import CORE, US, Runner
from benchmarks.seed import fill_folder
from benchmarks.stage import FREE, GIB, MIB, REPOSITORY, SHAPED

_BACKUPS = 1000
_FOLDER = "/kept"
_LONGEST = 0.020
_MOST_MEMORY = 25 * MIB
# Name of the piece, in words, and where it runs.
_PIECES = {
    "tls 16": ("encrypting the smallest write, 16 KiB", "event loop"),
    "tls 32": ("encrypting the first write, 32 KiB", "event loop"),
    "hash": ("hashing a chunk of 4 MiB", "thread"),
    "listing": (f"the answer of a listing of {_BACKUPS} backups", "thread"),
    "read catalog": (f"reading a catalog of {_BACKUPS} backups", "thread"),
    "write catalog": (f"writing a catalog of {_BACKUPS} backups", "thread"),
    "core archive": ("`backup.json` of an archive of Core's", "thread"),
    "supervisor archive": ("`backup.json` of one of Supervisor's", "thread"),
}


def stall(run: Runner) -> None:
    """How long the event loop of Home Assistant stands still, here and on a Raspberry Pi 4."""
    factor = slowness()
    catalog = fill_folder(run.stage.control, _FOLDER, _BACKUPS)
    run.report.text(
        f"A Raspberry Pi 4 takes {factor:.1f} times as long as this machine (n-body in Python: "
        f"{PI_SECONDS} s there for {PI_STEPS:,} steps). The catalog has {catalog // 1024} KiB."
    )
    here: list[Figures | None] = []
    rows = []
    for direction in ("upload", "download"):
        for one in (US, CORE):
            figures = run.watch(direction, one, 256 * MIB, FREE)
            rows.append([f"{one.name}, {direction}, loopback", *_stalls(figures)])
            here += [figures] * (one is US)
        figures = run.watch(direction, US, 64 * MIB, SHAPED)
        rows.append([f"{US.name}, {direction}, shaped", *_stalls(figures)])
        here.append(figures)
    figures = run.middle(_list, run, 1.0)
    rows.append([f"{US.name}, listing {_BACKUPS} backups and planning", *_stalls(figures)])
    here.append(figures)
    run.report.table(
        "longest time for which a timer had to wait",
        ["", "by the clock", "of CPU"],
        rows,
    )
    _budget(run, "longest stall on this machine, by the clock", [f.stall for f in here if f])
    _as_on_a_pi(run, factor)
    _pieces(run, factor)


def bodies(run: Runner) -> None:
    """Forms of a request body: throughput, CPU and stall, 6 connections of 4 MiB chunks."""
    rows = []
    for form, name in (
        ("Body", "**ours** (`transport.Body`)"),
        ("bytes", "`bytes`"),
        ("BytesIO", "`io.BytesIO`"),
        ("generator", "async generator, 64 KiB pieces"),
    ):
        plain = run.middle(run.stage.send_body, form, GIB, watch=False)
        watched = run.middle(run.stage.send_body, form, GIB, watch=True)
        speed = [f"{GIB / MIB / plain.seconds:.0f}", f"{plain.cpu:.2f}"] if plain else [FAILED, ""]
        rows.append([name, *speed, *_stalls(watched)])
    run.report.table(
        "request bodies",
        ["", "MiB/s", "CPU seconds per GiB", "longest stall", "of CPU"],
        rows,
    )


def loading(run: Runner) -> None:
    """Import the client, and the whole SDK."""
    ours: Figures | None = None
    rows = []
    for name, module in (
        ("**Dropbox Backup** (`dropbox_api.upload.upload`, `.download`)", _OUR_MODULES),
        ("`import dropbox`", "dropbox"),
        ("python-dropbox-api", "python_dropbox_api"),
    ):
        figures = run.middle(_import, module)
        took = [f"{figures.seconds * 1e3:.0f} ms", _mib(figures)] if figures else [FAILED, ""]
        rows.append([name, *took])
        ours = figures if module is _OUR_MODULES else ours
    run.report.table("loading, after aiohttp", ["", "time", "memory"], rows)
    if ours:
        met = ours.memory <= _MOST_MEMORY
        run.report.budget("memory for loading ≤ 25 MiB", _mib(ours), met=met)


def _as_on_a_pi(run: Runner, factor: float) -> None:
    run.stage.plain_processor = True
    there: list[Figures | None] = []
    rows = []
    measures: list[tuple[str, Callable[[], Figures | None]]] = [
        ("upload, loopback", lambda: run.watch("upload", US, 256 * MIB, FREE, pi=factor)),
        ("upload, shaped", lambda: run.watch("upload", US, 64 * MIB, SHAPED, pi=factor)),
        ("download, loopback", lambda: run.watch("download", US, 256 * MIB, FREE, pi=factor)),
        ("download, shaped", lambda: run.watch("download", US, 64 * MIB, SHAPED, pi=factor)),
        (f"listing {_BACKUPS} backups", lambda: run.middle(_list, run, factor)),
    ]
    for name, measure in measures:
        figures = measure()
        there.append(figures)
        cpu = figures.stall_cpu if figures else None
        rows.append([name, *([FAILED, ""] if cpu is None else [_ms(cpu), _ms(cpu * factor)])])
    run.stage.plain_processor = False
    run.report.table(
        "as on a Raspberry Pi 4: without instructions for AES and SHA, longest stall",
        ["", "CPU here", f"x {factor:.1f}"],
        rows,
    )
    stalls = [f.stall_cpu * factor if f and f.stall_cpu is not None else None for f in there]
    _budget(run, "longest stall on a Raspberry Pi 4, of CPU", stalls)


def _pieces(run: Runner, factor: float) -> None:
    run.stage.plain_processor = True
    certificate = str(run.stage.folder / "tls" / "server.pem")
    figures = run.middle(run.stage.run, Job("pieces", run.stage.token, "", certificate, 0))
    run.stage.plain_processor = False
    if figures is None:
        return
    rows = [
        [words, where, _ms(figures.more[name] * factor), _ms(_holds(figures, name) * factor)]
        for name, (words, where) in _PIECES.items()
    ]
    run.report.table(
        f"one by one, without instructions for AES and SHA, x {factor:.1f}",
        ["what", "runs in", "CPU", "holds up the event loop for"],
        rows,
    )
    longest = max(_holds(figures, name) for name in _PIECES) * factor
    run.report.budget(
        "longest piece of work on a Raspberry Pi 4 ≤ 20 ms", _ms(longest), met=longest <= _LONGEST
    )


def _holds(figures: Figures, piece: str) -> float:
    in_loop = _PIECES[piece][1] == "event loop"
    return figures.more[piece if in_loop else f"{piece}, held"]


def _list(run: Runner, factor: float) -> Figures:
    job = Job(
        "folder_with_us",
        run.stage.token,
        _FOLDER,
        str(run.stage.file(MIB)),
        _BACKUPS,
        options={"pi": factor},
        watch=True,
    )
    try:
        return run.stage.run(job)
    finally:
        _forget_the_newest(run)


def _forget_the_newest(run: Runner) -> None:
    """Take away what the contender added."""
    files = run.stage.control.files(_FOLDER)
    archives = [one["path"] for one in files if one["path"].endswith(".tar")]
    for path in archives:
        if path.endswith(f"_{_BACKUPS:08x}.tar"):
            run.stage.control.delete(path)


def _budget(run: Runner, what: str, stalls: list[float | None]) -> None:
    known = [one for one in stalls if one is not None]
    if known:
        worst = max(known)
        run.report.budget(f"{what} ≤ 20 ms", _ms(worst), met=worst <= _LONGEST)


def _import(modules: str) -> Figures:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, modules],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
    )
    return Figures(**json.loads(done.stdout))


def _stalls(figures: Figures | None) -> list[str]:
    if figures is None:
        return [FAILED, ""]
    return [_ms(value or 0.0) for value in (figures.stall, figures.stall_cpu)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _mib(figures: Figures) -> str:
    return f"{figures.memory / MIB:.0f} MiB"


_OUR_MODULES = (
    "custom_components.dropbox_backup.dropbox_api.upload.upload,"
    "custom_components.dropbox_backup.dropbox_api.download"
)
_IMPORT = """
import aiohttp, importlib, json, sys, types
from dataclasses import asdict
from benchmarks.measure import Figures, measured
# The integration's own __init__ belongs to Home Assistant.
package = types.ModuleType("custom_components.dropbox_backup")
package.__path__ = ["custom_components/dropbox_backup"]
sys.modules[package.__name__] = package
figures = Figures()
with measured(figures):
    for name in sys.argv[1].split(","):
        importlib.import_module(name)
print(json.dumps(asdict(figures)))
"""
