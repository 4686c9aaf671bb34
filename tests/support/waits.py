"""Other waits than in real life: the one place where tests change how long the product waits."""

import pytest

from custom_components.dropbox_backup.waits import WAITS


def set_waits(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Have the product wait for so many seconds, by the names of `Waits`, until the test ends."""
    for name, wait in seconds.items():
        monkeypatch.setattr(WAITS, name, wait)


def try_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no failing call be tried again: its first wait is longer than anybody waits."""
    set_waits(monkeypatch, first_retry=1e6)
