"""Runs tests on a source text that lies nowhere: each time in a process that is forked before the
integration is imported, so that the working tree stays as it is and Home Assistant is loaded once.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
import importlib
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
import json
import os
from pathlib import Path
import resource
import select
import signal
import sys
import time
import traceback
from types import CodeType

import pytest

from tests.mutation.modules import PACKAGE, ROOT, TESTS, path_of
from tests.mutation.mutants import Mutant

# A fault may well be one that eats memory, or writes without an end.
_MOST_MEMORY = 8 << 30
_LARGEST_FILE = 8 << 30  # a test has one of so many bytes, all of them holes
# One that is this much slower than the true code hangs.
_SLOWER = 4
_START = 10.0
_CLEAN_RUN = 1800.0
# They are imported anew each time: they import the integration, or have to find themselves unused.
_IMPORTED_ANEW = ("custom_components", "tests", "conftest", "dropbox", "stone")
# A tool id that neither coverage nor a debugger uses.
_TOOL = 4
# The start as well: of a lambda that has but one line, no line is told.
_EVENTS = sys.monitoring.events.LINE | sys.monitoring.events.PY_START


@dataclass(slots=True)
class Ran:
    """What one test does: how long it takes, and which lines of the module it runs."""

    seconds: float = 0.0
    lines: set[int] = field(default_factory=set)


class NotCleanError(Exception):
    """The tests fail as it is."""


class Trial:
    """One module and its tests, which pass."""

    def __init__(self, module: str, directory: Path, seed: int) -> None:
        """Run the tests on the true code. Raises `NotCleanError`."""
        self.path = path_of(module)
        self._name = f"{PACKAGE}.{module}"
        self._directory = directory
        self._seed = seed
        self.source = self.path.read_text()
        notes = directory / "notes.json"
        code = _forked(
            lambda: self._watched(TESTS[module], notes), _CLEAN_RUN, directory / "clean.log"
        )
        if code != 0:
            raise NotCleanError((directory / "clean.log").read_text()[-3000:])
        noted = json.loads(notes.read_text())
        self._tests = {
            test: Ran(one["seconds"], set(one["lines"])) for test, one in noted["tests"].items()
        }
        _import_all(noted["modules"])
        # Now as each mutant is run: what fails here would pass for a mutant that was noticed.
        if not self.survives(Mutant(self.source, 0, None, "")):
            raise NotCleanError((directory / "mutant.log").read_text()[-3000:])

    def survives(self, mutant: Mutant) -> bool:
        """Tell whether all tests pass that run the faulty lines."""
        tests = sorted(self._that_run(mutant.lines), key=lambda test: self._tests[test].seconds)
        if not tests:
            return True
        times = [self._tests[test].seconds for test in tests]
        log = self._directory / "mutant.log"
        code = _forked(
            lambda: self._run(mutant.source, tests, _START + _SLOWER * max(times)),
            2 * _START + _SLOWER * sum(times),
            log,
        )
        return code == 0

    def _that_run(self, lines: range | None) -> Iterable[str]:
        for test, ran in self._tests.items():
            if ran.lines if lines is None else ran.lines.intersection(lines):
                yield test

    def _run(self, source: str, tests: Iterable[str], for_one: float, *plugins: object) -> int:
        loader = _Loader(self._name, self.path, source, watched=bool(plugins))
        sys.meta_path.insert(0, _Finder(self._name, loader))
        options = [
            "-x",
            "--quiet",
            "-pno:cacheprovider",
            f"--timeout={for_one}",
            f"--seed={self._seed}",
            f"--hypothesis-seed={self._seed}",
            f"--basetemp={self._directory / 'tests'}",
        ]
        return int(pytest.main([*options, *tests], [*plugins]))

    def _watched(self, tests: Iterable[str], notes: Path) -> int:
        watch = Watch()
        code = self._run(self.source, tests, _CLEAN_RUN, watch)
        ran = {
            test: {"seconds": one.seconds, "lines": sorted(one.lines)}
            for test, one in watch.ran.items()
        }
        notes.write_text(json.dumps({"tests": ran, "modules": list(sys.modules)}))
        return code


class _Loader(SourceFileLoader):
    """Compiles another text than the one that lies in the file."""

    def __init__(self, name: str, path: Path, source: str, *, watched: bool) -> None:
        super().__init__(name, str(path))
        self._source = source
        self._watched = watched

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  (there is one)
        code: CodeType = compile(self._source, self.path, "exec")
        if self._watched:
            Watch.follow(code)
        return code


class _Finder(MetaPathFinder):
    def __init__(self, name: str, loader: _Loader) -> None:
        self._name = name
        self._loader = loader

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return spec_from_file_location(fullname, self._loader.path, loader=self._loader)


class Watch:
    """Notes what each test runs, in whatever thread."""

    def __init__(self) -> None:
        self.ran: defaultdict[str, Ran] = defaultdict(Ran)
        self._now = Ran()
        sys.monitoring.use_tool_id(_TOOL, "mutation")
        sys.monitoring.register_callback(_TOOL, sys.monitoring.events.LINE, self._line)
        sys.monitoring.register_callback(_TOOL, sys.monitoring.events.PY_START, self._start)

    @staticmethod
    def follow(code: CodeType) -> None:
        """Note what runs of this module's code."""
        for one in _functions_of(code):
            sys.monitoring.set_local_events(_TOOL, one, _EVENTS)

    def begin(self, test: str) -> Ran:
        """Note for this test what runs from now on."""
        self._now = self.ran[test]
        sys.monitoring.restart_events()
        return self._now

    def end(self) -> None:
        """Note no more."""
        sys.monitoring.free_tool_id(_TOOL)

    def _line(self, _: CodeType, line: int) -> object:
        self._now.lines.add(line)
        return sys.monitoring.DISABLE

    def _start(self, code: CodeType, _: int) -> object:
        return self._line(code, code.co_firstlineno)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        now = self.begin(item.nodeid)
        began = time.monotonic()
        try:
            return (yield)
        finally:
            now.seconds = time.monotonic() - began


def _functions_of(code: CodeType) -> Iterable[CodeType]:
    """Yield all code that does not run while the module is imported, and the bodies of classes."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _functions_of(constant)


def _import_all(names: Iterable[str]) -> None:
    """Have all later runs find imported what the first had to import, in the same order."""
    for name in names:
        if name.partition(".")[0] not in _IMPORTED_ANEW and name not in sys.modules:
            with suppress(Exception):  # some exist under a name that can't be imported
                importlib.import_module(name)


def _forked(work: Callable[[], int], seconds: float, log: Path) -> int:
    """Return the exit code of some work in a process of its own; -1 if it takes too long."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setsid()
            os.chdir(ROOT)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
            code = work()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stderr.flush()
            os._exit(code)  # nothing that the parent has to clean up itself
    ended = os.pidfd_open(pid)
    try:
        in_time = bool(select.select([ended], [], [], seconds)[0])
    finally:
        os.close(ended)
    # Also what it may have started.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if in_time else -1
