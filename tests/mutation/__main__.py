"""The command line: `python -m tests.mutation`, or `scripts/mutate`."""

# Each has to come before what follows.
from tests.mutation import storage

# isort: split
from tests.support import before_home_assistant  # noqa: F401  (it does its work when it is imported)

# isort: split
import argparse
import random
import sys
import time

from tests.mutation.modules import ROOT, TESTS, path_of
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.tried import NotCleanError, Trial


def main() -> int:
    """Mutate what was asked for, and say what survives."""
    parser = argparse.ArgumentParser(prog="scripts/mutate")
    parser.add_argument("--module", action="append", metavar="NAME", choices=list(TESTS))
    parser.add_argument("--line", type=int, action="append", metavar="N", help="only these lines")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of each module")
    parser.add_argument("--seed", type=int, default=1, help="which ones, and what tests draw")
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    arguments = parser.parse_args()
    for module in arguments.module or TESTS:
        mutants = mutants_of(path_of(module).read_text())
        if arguments.line:
            mutants = [one for one in mutants if one.line in arguments.line]
        mutants = _some(mutants, arguments.sample, arguments.seed)
        if arguments.list:
            for mutant in mutants:
                _show(module, mutant)
            continue
        try:
            _try(module, mutants, arguments.seed)
        except NotCleanError as err:
            _say(f"{module}: its tests fail without a mutant\n{err}")
            return 1
    return 0


def _try(module: str, mutants: list[Mutant], seed: int) -> None:
    began = time.monotonic()
    trial = Trial(module, storage.DIRECTORY, seed)
    survived = 0
    for mutant in mutants:
        if trial.survives(mutant):
            survived += 1
            _show(module, mutant)
    _say(
        f"{module}: {len(mutants)} mutants, {len(mutants) - survived} killed, {survived} survived"
        f" ({time.monotonic() - began:.0f} s)"
    )


def _some(mutants: list[Mutant], number: int | None, seed: int) -> list[Mutant]:
    if number is None or number >= len(mutants):
        return mutants
    chosen = random.Random(seed).sample(range(len(mutants)), number)
    return [mutants[index] for index in sorted(chosen)]


def _show(module: str, mutant: Mutant) -> None:
    _say(f"{path_of(module).relative_to(ROOT)}:{mutant.line}\n{mutant.diff}\n")


def _say(text: str) -> None:
    """Print at once: it may take a while until the next."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
