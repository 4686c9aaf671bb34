"""Fixtures of what is drawn by lot."""

import random

import pytest


@pytest.fixture
def lot(pytestconfig: pytest.Config) -> random.Random:
    """Return the lot to draw by. Its seed is printed: pytest shows it with a failure."""
    seed = pytestconfig.getoption("--seed")
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"repeat with --seed {seed}")  # noqa: T201
    return random.Random(seed)
