"""The table at the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
import sys

from tests.soak.gauges import Reading
from tests.soak.home import SoakHome
from tests.soak.ledger import Fate
from tests.soak.story import SoakStory

MIB = 1 << 20
# Home Assistant itself and Python's allocator move by some MiB.
_MEMORY_MAY_GROW = 16 * MIB
_FILES_MAY_GROW = 4
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that came of it. `passed`: how much time went by in Home Assistant."""

    seconds: float
    passed: timedelta
    fates: Counter[Fate]
    story: SoakStory
    home: SoakHome
    harm: Counter[str]
    requests: Mapping[str, int]
    log: Counter[str]


def say(text: str) -> None:
    """Print a line at once: it may take minutes until the next."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def report(outcome: Outcome) -> int:
    """Print the table and the violations; return the exit code."""
    story = outcome.story
    requests, harm = sum(outcome.requests.values()), sum(outcome.harm.values())
    rows = [
        ("Home Assistant's time", f"{outcome.passed.days} days in {outcome.seconds:.0f} s"),
        ("starts, reloads", f"{outcome.home.starts}, {outcome.home.reloads}"),
        ("requests", f"{requests}, {harm} of them ({harm / max(1, requests):.1%}) went wrong"),
        ("upload sessions opened", str(outcome.requests.get("files/upload_session/start", 0))),
        ("restored and compared", str(story.restored)),
        ("backups of the neighbours", str(story.neighbour.made)),
        *_indented("what happened", story.happened),
        *_indented("what went wrong on the line", outcome.harm),
        *_indented("what the event entity told", story.ledger.told),
        *_indented("what was logged", outcome.log),
        *_indented("backups", {fate.value: outcome.fates[fate] for fate in Fate}),
        ("  in all", str(outcome.fates.total())),
    ]
    for name, value in rows:
        say(f"{name:<44} {value}")
    say(f"\n{'after backups':>13} {'memory, MiB':>12} {'files':>6} {'threads':>8} {'tasks':>6}")
    for one in story.readings:
        memory = f"{one.memory / MIB:.1f}"
        say(f"{one.backups:>13} {memory:>12} {one.files:>6} {one.threads:>8} {one.tasks:>6}")
    violations = [*story.ledger.violations, *_growth(story.readings)]
    for text in violations[:_SHOWN]:
        say(f"\nVIOLATION: {text}")
    if violations:
        say(f"\n{len(violations)} violations")
        return 1
    say("\nEvery backup is accounted for, and no promise was broken.")
    return 0


def _indented(title: str, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(title, ""), *((f"  {name}", str(count)) for name, count in sorted(counts.items()))]


def _growth(readings: list[Reading]) -> list[str]:
    """Return what grew since the process had warmed up: after a quarter of its life."""
    if not readings:
        return []
    warm, last = readings[len(readings) // 4], readings[-1]
    grown = []
    if last.memory - warm.memory > _MEMORY_MAY_GROW:
        grown.append(f"memory grew by {(last.memory - warm.memory) / MIB:.1f} MiB")
    if last.files - warm.files > _FILES_MAY_GROW:
        grown.append(f"open files grew from {warm.files} to {last.files}")
    return grown
