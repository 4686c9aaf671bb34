"""How `scripts/test` spreads the tests over several processes.

Most tests wait: for a program that starts, for a line, for a timer. So two processors are kept busy
only by more processes than two. Each has a local Dropbox, folders and ports of its own.
"""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Each takes 300 MB, and the longest tests can't be divided.
MOST = 8

# They take longest, so they begin first: nothing shall run on when all else is done.
LONG = (
    "tests/faults/test_kill.py",
    "tests/faults/",
    "tests/test_benchmarks.py",
    "tests/soak/",
    "tests/e2e/",
)

# The tests of one such file share a Home Assistant process.
TOGETHER = ("tests/faults/test_kill.py",)

# They measure time, so they come last, one after the other: nothing else runs then.
ALONE = (
    "tests/dropbox_api/test_bandwidth.py",
    "tests/stand_ins/dropbox/test_line.py",
    "tests/sync/remote/test_listing.py::test_a_thousand_backups_are_recalled",
    "tests/behaviour/test_many.py::test_fifty_backups",
)


@pytest.hookimpl(tryfirst=True)  # the plugin has one of its own
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes to use: only this one when somebody asks for certain tests."""
    if config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword:
        return 0
    return min(2 * (os.process_cpu_count() or 1), MOST)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return what gives a process its next tests: one at a time, or one group."""
    config.option.loadscopereorder = False  # the order is ours
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _group
    return scheduler


def pytest_configure_node(node: Any) -> None:
    """Give all processes the same seed."""
    node.workerinput["seed"] = node.config.option.seed


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the tests into the order in which they begin."""
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=_turn)


def _group(nodeid: str) -> str:
    if nodeid.startswith(ALONE):
        return "alone"
    return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER) else nodeid


def _turn(item: pytest.Item) -> int:
    if item.nodeid.startswith(ALONE):
        return len(LONG) + 1
    long = (turn for turn, files in enumerate(LONG) if item.nodeid.startswith(files))
    return next(long, len(LONG))
