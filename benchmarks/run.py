"""Repeating measurements, and who takes part in them."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from statistics import median
import subprocess
import sys

from benchmarks.measure import Figures
from benchmarks.report import Report
from benchmarks.stage import GIB, MIB, Stage, has_rclone
from tests.support.dropbox_server import Line

# What takes more seconds is measured once: there the line decides, and hardly varies.
_LONG = 13.0
_WORST_COUNTS = {"memory"}


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part, under which name, with which settings."""

    name: str
    who: str
    options: dict[str, int] = field(default_factory=dict)


def _rclone_version() -> str:
    done = subprocess.run(["rclone", "version"], capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0].removeprefix("rclone v")


_SDK = f"official SDK {version('dropbox')}"
# While Home Assistant packs a backup, the integration opens the session for it.
US = Contender("**Dropbox Backup**", "us", {"opened_ahead": 1})
US_COLD = Contender("**Dropbox Backup**, without its session opened ahead", "us")
CORE = Contender(f"HA's `dropbox` (python-dropbox-api {version('python-dropbox-api')})", "core")
SDK = Contender(_SDK, "sdk")
SDK_PARALLEL = Contender(f"{_SDK}, 8 in parallel", "sdk", {"parallel_uploads": 8})
SDK_PARALLEL_DOWN = Contender(f"{_SDK}, 8 in parallel", "sdk", {"parallel_downloads": 8})
RCLONE = [Contender(f"rclone {_rclone_version()}", "rclone")] if has_rclone() else []


@dataclass(slots=True)
class Runner:
    """Repeats, and keeps the middle. A peer that fails fails alone."""

    stage: Stage
    report: Report
    runs: int
    huge: bool = False

    def middle[**P](
        self, measure: Callable[P, Figures], *args: P.args, **kwargs: P.kwargs
    ) -> Figures | None:
        """Return the median of each figure (of memory: the worst), or None if a run
        failed.
        """
        done: list[Figures] = []
        while len(done) < self.runs:
            try:
                done.append(measure(*args, **kwargs))
            except Exception as err:  # noqa: BLE001  (whatever it is, the others go on)
                print(f"{measure.__name__} {args[1:]}: {err!r}", file=sys.stderr, flush=True)
                return None
            if done[-1].seconds > _LONG:
                break
        return _middle_of(done)

    def go(self, direction: str, one: Contender, size: int, line: Line) -> Figures | None:
        """Let somebody upload or download a file, several times."""
        return self.middle(_go, self, direction, one, size, line)

    def watch(
        self, direction: str, one: Contender, size: int, line: Line, **options: float
    ) -> Figures | None:
        """Do the same with an eye on the event loop."""
        return self.middle(_go, self, direction, one, size, line, watch=True, **options)


def _go(
    run: Runner,
    direction: str,
    one: Contender,
    size: int,
    line: Line,
    *,
    watch: bool = False,
    **options: float,
) -> Figures:
    transfer = run.stage.upload if direction == "upload" else run.stage.download
    return transfer(one.who, size, line, watch=watch, **one.options, **options)


def _middle_of(runs: list[Figures]) -> Figures:
    result = Figures()
    for item in fields(Figures):
        values = [getattr(run, item.name) for run in runs]
        if item.name == "more":
            result.more = {key: median(run.more[key] for run in runs) for key in runs[0].more}
        elif None in values:
            setattr(result, item.name, None)
        else:
            choose = max if item.name in _WORST_COUNTS else median
            setattr(result, item.name, choose(values))
    return result


def size_text(size: int) -> str:
    """Return a round size in words."""
    return f"{size // GIB} GiB" if size % GIB == 0 else f"{size // MIB} MiB"
