"""`python -m benchmarks`: run benchmarks, print their tables, and write them into
docs/performance.md.
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
import os
from pathlib import Path
import sys
import tempfile
import time
import traceback

from benchmarks import growth, loop, manners, many, pages, profiling, transfers
from benchmarks.report import Report, write_section
from benchmarks.run import Runner
from benchmarks.stage import machine, stage

type Benchmark = Callable[[Runner], None]

# In the order of docs/performance.md.
ALL: dict[str, Benchmark] = {
    function.__name__: function
    for function in (
        transfers.upload,
        transfers.restore,
        transfers.thin,
        transfers.loopback,
        profiling.profile,
        transfers.memory,
        loop.stall,
        pages.startup,
        pages.page,
        many.many,
        manners.manners,
        growth.growth,
    )
}
# Only when they are asked for: one takes ten minutes, the other helped with a decision.
MORE: dict[str, Benchmark] = {"slow": transfers.slow, "bodies": loop.bodies}


def main() -> int:
    """Run what the command line names; return the exit code: 1 if a benchmark failed."""
    arguments = _arguments()
    names = list(arguments.benchmarks or ALL)
    if arguments.slow and "slow" not in names:
        names.append("slow")
    write = arguments.write or not arguments.benchmarks
    command = f"scripts/bench {' '.join(sys.argv[1:])}".strip()
    about = f"Machine: {machine()}\n\nDate: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    print(f"Command: {command}\n\n{about}", flush=True)
    begun = time.monotonic()
    failed = []
    with tempfile.TemporaryDirectory(prefix="dropbox_backup_bench_") as folder:
        for name in names:
            try:
                _run(name, arguments, Path(folder), command if write else None)
            except Exception:  # noqa: BLE001  (the others shall run)
                failed.append(name)
                traceback.print_exc()
    load = os.getloadavg()[0]
    took = f"Took {time.monotonic() - begun:.0f} s; load of the machine at the end: {load:.1f}"
    print(f"\n{took}")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    if write:
        write_section("machine", f"Command: `{command}`\n\n{about}\n\n{took}")
    return 1 if failed else 0


def _run(name: str, arguments: argparse.Namespace, folder: Path, command: str | None) -> None:
    """Run one benchmark, with a local Dropbox of its own; write its section if there is a command
    to name.
    """
    report = Report(name)
    begun = time.monotonic()
    print(f"\n### {name}", flush=True)
    with stage(folder) as the_stage:
        (ALL | MORE)[name](Runner(the_stage, report, arguments.runs, arguments.huge))
    minutes = (time.monotonic() - begun) / 60
    print(f"\n({minutes:.1f} minutes)", flush=True)
    if command is not None:
        made = f"<sub>`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC</sub>"
        report.save(made)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = ", ".join(ALL)
    parser.add_argument(
        "benchmarks",
        nargs="*",
        help=f"of {names}, {', '.join(MORE)}; default: all but the last {len(MORE)}, and their "
        "results are written into docs/performance.md",
    )
    parser.add_argument("--runs", type=int, default=3, help="of each; the median counts (3)")
    parser.add_argument("--write", action="store_true", help="write also what is named")
    parser.add_argument("--huge", action="store_true", help="growth and memory also with 10 GiB")
    parser.add_argument(
        "--slow", action="store_true", help="also a restore of more than five minutes"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(ALL | MORE):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
