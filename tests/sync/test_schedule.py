"""The next check comes when it is due, whatever somebody does to the clock."""

import asyncio
from datetime import timedelta
import time

from homeassistant.core import HomeAssistant
from homeassistant.helpers import event
import pytest

from custom_components.dropbox_backup.sync import schedule as schedule_module
from custom_components.dropbox_backup.sync.report.state import Problem, ProblemKind
from custom_components.dropbox_backup.sync.schedule import Schedule

PROBLEM = Problem(ProblemKind.UPLOAD_FAILED, "x")


@pytest.mark.parametrize("days", [-1, 0, 1])
async def test_a_clock_that_is_set_does_not_delay_the_retry(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    woken = asyncio.Event()
    monkeypatch.setattr(schedule_module, "_RETRY_AFTER", (timedelta(seconds=0.1),))
    schedule = Schedule(hass, timedelta(hours=24), woken.set)

    schedule.checked(PROBLEM, 0.0)
    # The clock that Home Assistant's own timers look at when they fire.
    set_by = timedelta(days=days).total_seconds()
    monkeypatch.setattr(event, "time_tracker_timestamp", lambda: time.time() + set_by)

    try:
        async with asyncio.timeout(5):
            await woken.wait()
    finally:
        schedule.cancel()
