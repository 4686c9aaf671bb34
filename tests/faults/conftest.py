"""Fixtures of what is drawn at random."""

import random

import pytest


@pytest.fixture
def lot(pytestconfig: pytest.Config) -> random.Random:
    """Return the lot to draw by. Its seed is shown at the start of a run, and with a failure."""
    seed: int = pytestconfig.getoption("--seed")
    print(f"repeat with --seed {seed}")  # noqa: T201
    return random.Random(seed)
