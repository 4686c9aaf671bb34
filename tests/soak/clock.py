"""A clock that can be put forward: weeks pass at once, and whatever waited for them happens.

Import this before anything of Home Assistant, which keeps references to the functions that tell the
time.
"""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
import time
from typing import override

true_time = time.time


class _Clock:
    """How far ahead of the true time it is, in seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return true_time() + self.ahead

    def utcnow(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def now(self, time_zone: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(self.time(), time_zone or dt_util.DEFAULT_TIME_ZONE)


_clock = _Clock()
time.time = _clock.time

from homeassistant.util import dt as dt_util  # noqa: E402  (the first of Home Assistant's modules)

dt_util.utcnow = _clock.utcnow  # type: ignore[assignment]  # a partial, called without arguments
dt_util.now = _clock.now


class PutForwardLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers are due by the same clock."""

    @override
    def time(self) -> float:
        return super().time() + _clock.ahead


def put_forward(by: timedelta) -> None:
    """Let time pass at once."""
    _clock.ahead += by.total_seconds()


def utcnow() -> datetime:
    """Return what time it is for Home Assistant."""
    return _clock.utcnow()
