"""`python -m benchmarks`: run benchmarks and print their tables, in Markdown."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
import json
from pathlib import Path
from statistics import median
import subprocess
import sys
import time

from tests.dropbox_server import Line

from .measure import Figures
from .stage import (
    FREE,
    GIB,
    MIB,
    REPOSITORY,
    SHAPED,
    THIN,
    Stage,
    has_rclone,
    machine,
    stage,
    table,
)

_LINE_BYTES = {SHAPED: 25e6, THIN: 0.25e6}
_BACKUPS_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part, under which name, with which settings."""

    name: str
    who: str
    options: dict[str, int] = field(default_factory=dict)


US = Contender("**Dropbox Backup**", "us")
US_AGAIN = Contender("**Dropbox Backup**, the second of two", "us", {"before": 1})
CORE = Contender("HA's `dropbox` (python-dropbox-api 0.1.6)", "core")
SDK = Contender("official SDK 12.2.4", "sdk")
SDK_PARALLEL = Contender("official SDK, 8 in parallel", "sdk", {"parallel_uploads": 8})
SDK_PARALLEL_DOWN = Contender("official SDK, 8 in parallel", "sdk", {"parallel_downloads": 8})
RCLONE = [Contender("rclone", "rclone")] if has_rclone() else []


@dataclass(slots=True)
class Runner:
    """Repeats, and keeps the middle."""

    stage: Stage
    runs: int
    huge: bool

    def middle[**P](
        self, measure: Callable[P, Figures], *args: P.args, **kwargs: P.kwargs
    ) -> Figures:
        """Return the median of each figure (of stalls and memory: the worst)."""
        all_runs = [measure(*args, **kwargs) for _ in range(self.runs)]
        result = Figures()
        for item in fields(Figures):
            values = [getattr(run, item.name) for run in all_runs]
            if None not in values:
                choose = max if item.name in {"memory", "stall", "stall_cpu"} else median
                setattr(result, item.name, choose(values))
            else:
                setattr(result, item.name, None)
        return result


def upload(run: Runner) -> None:
    """Upload on a line with round trips, thinking time and a limit per connection."""
    contenders = [US, US_AGAIN, CORE, SDK, SDK_PARALLEL, *RCLONE]
    _on_line(run, "upload", contenders, SHAPED, [64 * MIB, 256 * MIB])


def thin(run: Runner) -> None:
    """Upload and restore on a thin line: 2 Mbit/s, 80 ms."""
    _on_line(run, "upload", [US, CORE, SDK], THIN, [8 * MIB])
    _on_line(run, "download", [US, CORE, SDK], THIN, [8 * MIB])


def restore(run: Runner) -> None:
    """Download on a line with round trips, thinking time and a limit per connection."""
    contenders = [US, CORE, SDK, SDK_PARALLEL_DOWN, *RCLONE]
    _on_line(run, "download", contenders, SHAPED, [64 * MIB, 256 * MIB])


def loopback(run: Runner) -> None:
    """Upload and restore on a line without limits: what the code itself costs."""
    size = GIB
    _curl(run, size)
    for direction, contenders in (
        ("upload", [US, CORE, SDK, *RCLONE]),
        ("download", [US, CORE, SDK, *RCLONE]),
    ):
        rows = []
        for one in contenders:
            figures = run.middle(_go, run, direction, one, size, FREE)
            rows.append(
                [one.name, f"{size / MIB / figures.seconds:.0f}", f"{figures.cpu * GIB / size:.2f}"]
            )
        _print(
            f"{direction}, 1 GiB over TLS on loopback",
            ["", "MiB/s", "CPU seconds per GiB"],
            rows,
        )


def memory(run: Runner) -> None:
    """Memory over idle, however large the backup."""
    sizes = [64 * MIB, GIB] + ([10 * GIB] if run.huge else [])
    rows = []
    for direction in ("upload", "download"):
        for one in (US, CORE):
            peaks = [run.middle(_go, run, direction, one, size, FREE).memory for size in sizes]
            rows.append([f"{one.name}, {direction}", *(f"{peak / MIB:.0f} MiB" for peak in peaks)])
    _print("memory over idle", ["", *map(_size, sizes)], rows)


def stall(run: Runner) -> None:
    """How long the event loop of Home Assistant stands still."""
    rows = []
    for direction in ("upload", "download"):
        for one in (US, CORE):
            for line, name in ((FREE, "loopback"), (SHAPED, "shaped")):
                figures = run.middle(_go, run, direction, one, 256 * MIB, line, watch=True)
                rows.append([f"{one.name}, {direction}, {name}", *_stalls(figures)])
    run.stage.plain_processor = True
    for direction in ("upload", "download"):
        figures = run.middle(_go, run, direction, US, 256 * MIB, FREE, watch=True)
        rows.append(
            [f"{US.name}, {direction}, loopback, no AES/SHA instructions", *_stalls(figures)]
        )
    run.stage.plain_processor = False
    for number in range(_BACKUPS_LISTED):
        run.stage.control.put(f"/kept/{number}.tar", b"x")
    figures = run.middle(run.stage.list_folder, "/kept", _BACKUPS_LISTED)
    rows.append([f"{US.name}, listing {_BACKUPS_LISTED} backups", *_stalls(figures)])
    _print("longest stall of the event loop", ["", "by the clock", "of CPU"], rows)


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
        speed = f"{GIB / MIB / plain.seconds:.0f}"
        rows.append([name, speed, f"{plain.cpu:.2f}", *_stalls(watched)])
    _print(
        "request bodies",
        ["", "MiB/s", "CPU seconds per GiB", "longest stall", "of CPU"],
        rows,
    )


def startup(run: Runner) -> None:
    """Import the client, and the whole SDK."""
    rows = []
    for name, module in (
        ("**Dropbox Backup** (`dropbox_api.upload`, `.download`)", _OUR_MODULES),
        ("`import dropbox`", "dropbox"),
        ("python-dropbox-api", "python_dropbox_api"),
    ):
        figures = run.middle(_import, module)
        rows.append([name, f"{figures.seconds * 1e3:.0f} ms", f"{figures.memory / MIB:.0f} MiB"])
    _print("loading, after aiohttp", ["", "time", "memory"], rows)


BENCHMARKS: dict[str, Callable[[Runner], None]] = {
    function.__name__: function
    for function in (upload, thin, restore, loopback, memory, stall, bodies, startup)
}
_OUR_MODULES = (
    "custom_components.dropbox_backup.dropbox_api.upload,"
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


def _import(modules: str) -> Figures:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, modules],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
    )
    return Figures(**json.loads(done.stdout))


def _on_line(
    run: Runner, direction: str, contenders: list[Contender], line: Line, sizes: list[int]
) -> None:
    rows = []
    for one in contenders:
        row = [one.name]
        first_byte = None
        for size in sizes:
            figures = run.middle(_go, run, direction, one, size, line)
            share = size / figures.seconds / _LINE_BYTES[line]
            row.append(f"{figures.seconds:.1f} s = {share:.0%}")
            first_byte = figures.first_byte
        if direction == "download":
            row.append("" if first_byte is None else f"{first_byte:.2f} s")
        rows.append(row)
    last = ["first byte"] if direction == "download" else []
    shaped = "shaped" if line is SHAPED else "thin"
    _print(
        f"{direction}, {shaped} line: seconds, and share of the line",
        ["", *map(_size, sizes), *last],
        rows,
    )


def _go(
    run: Runner, direction: str, one: Contender, size: int, line: Line, *, watch: bool = False
) -> Figures:
    transfer = run.stage.upload if direction == "upload" else run.stage.download
    return transfer(one.who, size, line, watch=watch, **one.options)


def _curl(run: Runner, size: int) -> None:
    """Show that the local Dropbox is not what limits the others."""
    connections = 2
    seconds = median(run.stage.curl(size, connections) for _ in range(run.runs))
    print(f"\nBare `curl`, {connections} at once: {connections * size / MIB / seconds:.0f} MiB/s")


def _stalls(figures: Figures) -> list[str]:
    return [f"{(value or 0) * 1e3:.0f} ms" for value in (figures.stall, figures.stall_cpu)]


def _size(size: int) -> str:
    return f"{size // GIB} GiB" if size % GIB == 0 else f"{size // MIB} MiB"


def _print(title: str, header: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n{table(header, rows)}", flush=True)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--runs", type=int, default=3, help="of each; the median counts")
    parser.add_argument("--huge", action="store_true", help="memory also with 10 GiB")
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    print(f"Command: scripts/bench {' '.join(sys.argv[1:])}\n")
    print(f"Machine: {machine()}\n\nDate: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
    begun = time.monotonic()
    with stage() as the_stage:
        run = Runner(the_stage, arguments.runs, arguments.huge)
        for name in arguments.benchmarks or BENCHMARKS:
            BENCHMARKS[name](run)
    load = Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
    print(f"\nTook {time.monotonic() - begun:.0f} s; load of the machine at the end: {load}")


if __name__ == "__main__":
    main()
