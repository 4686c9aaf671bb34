"""Benchmark of where the CPU goes."""

from dataclasses import replace

from benchmarks.contenders.job import Job
from benchmarks.run import US, Runner
from benchmarks.stage import GIB

_SIZE = GIB // 2
# What has less is added up.
_SMALLEST = 0.01


def profile(run: Runner) -> None:
    """Where the CPU goes in an upload over TLS on loopback."""
    job = Job("shares_of_upload", run.stage.token, "", str(run.stage.file(_SIZE)), _SIZE)
    figures = replace(run, runs=1).middle(run.stage.run, job)
    if figures is None:
        raise RuntimeError("there is no profile")
    seconds = {
        name: value * GIB / _SIZE for name, value in figures.more.items() if name != "requests"
    }
    total = sum(seconds.values())
    large = {name: value for name, value in seconds.items() if value >= _SMALLEST * total}
    rows = [
        [*reversed(name.split(", ", 1)), f"{value:.2f}", f"{value / total:.0%}"]
        for name, value in sorted(large.items(), key=lambda item: -item[1])
    ]
    rest = total - sum(large.values())
    rows.append(["what has less than 1 %", "", f"{rest:.2f}", f"{rest / total:.0%}"])
    rows.append(["**in all**", "", f"**{total:.2f}**", ""])
    run.report.table(
        f"{US.name}, upload on loopback: CPU seconds per GiB",
        ["what", "where", "seconds", "share"],
        rows,
    )
