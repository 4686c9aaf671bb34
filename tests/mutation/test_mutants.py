"""The faults that a mutation run puts in, and a short run of it."""

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.mutation.modules import ROOT, TESTS, path_of
from tests.mutation.mutants import mutants_of
from tests.mutation.tried import Watch


def changed(source: str) -> list[str]:
    """Return the lines that take the place of others."""
    return [
        line[1:].strip()
        for mutant in mutants_of(source)
        for line in mutant.diff.splitlines()
        if line.startswith("+")
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", {"a = b <= c", "a = b >= c"}),
        ("a = b is not None", {"a = b is None"}),
        ("a = b and c", {"a = True and c", "a = b and True", "a = b or c"}),
        ("a = not b", {"a = (b)"}),
        ("a = (b) - c", {"a = (b) + c"}),
        ("LIMIT = 3", {"LIMIT = 4"}),
        ("a = b(c=True)", {"a = b(c=False)"}),
        ("if a:\n    b = c", {"if (not (a)):"}),
        (
            "a = [b for b in c if d(b)]",
            {"a = [b for b in c if True]", "a = [b for b in c if (not (d(b)))]"},
        ),
        ("def a():\n    return b", {"return None"}),
        ("def a():\n    b()", {"pass"}),
        ("def a():\n    raise b", {"pass"}),
        ("a.b = c", {"pass"}),
        ("a += b", {"a -= b", "pass"}),
        ("try:\n    a\nexcept (B, C):\n    d", {"except (C, C):", "except (B, B):"}),
        # Bytes and characters differ.
        ("a = 'ä' and 1", {"a = True and 1", "a = 'ä' and True", "a = 'ä' or 1", "a = 'ä' and 2"}),
        # What the type checker sees, and what is only logged.
        ("def a(b: int | None) -> int | None:\n    _LOGGER.warning(3)", set()),
        ("@dataclass(frozen=True)\nclass A:\n    assert b", set()),
    ],
)
def test_faults(source: str, expected: set[str]) -> None:
    assert set(changed(source)) == expected


def test_the_lines_of_a_fault_are_those_that_run() -> None:
    source = "LIMIT = 3\n\ndef a():\n    if b(\n        c,\n    ):\n        return 4\n"
    lines = {mutant.line: mutant.lines for mutant in mutants_of(source)}
    assert lines == {1: None, 4: range(4, 7), 7: range(7, 8)}


@pytest.mark.parametrize("module", TESTS)
def test_every_module_that_is_named_has_faults_and_tests(module: str) -> None:
    assert mutants_of(path_of(module).read_text())
    assert [ROOT / test for test in TESTS[module] if not (ROOT / test).is_file()] == []


def test_a_lambda_of_one_line_counts_as_run_by_the_test_that_calls_it() -> None:
    source = "def optional(reader):\n    return lambda value: value and reader(value)\n"
    code = compile(source, "mutant", "exec")
    namespace: dict[str, Any] = {}
    watch = Watch()
    try:
        watch.follow(code)
        exec(code, namespace)  # noqa: S102  (it is ours)
        reader = namespace["optional"](str)
        ran = watch.begin("test")
        reader(1)
    finally:
        watch.end()
    assert ran.lines == {2}


@pytest.mark.timeout(300)
def test_a_run_says_what_became_of_each_mutant() -> None:
    options = ["--module", "sync.decide.file_names", "--sample", "2"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.mutation", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"sync\.decide\.file_names: 2 mutants, \d killed, \d survived", run.stdout)
