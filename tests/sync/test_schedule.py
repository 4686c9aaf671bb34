"""The next check comes when it is due, whatever somebody does to the clock."""

import asyncio
from collections.abc import Generator
from datetime import timedelta
import time

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import event
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.codes import Reason
from custom_components.dropbox_backup.sync.decide.models import Trouble
from custom_components.dropbox_backup.sync.report.state import Problem, ProblemKind
from custom_components.dropbox_backup.sync.schedule import Schedule

PROBLEM = Problem(ProblemKind.UPLOAD_FAILED, Reason(Trouble.UNEXPECTED))
AWAY = Problem(ProblemKind.UNREACHABLE, Reason(Trouble.UNEXPECTED))
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Woken:
    """A schedule, and what it does as time passes."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        self._hass = hass
        self._freezer = freezer
        self.times = 0
        self.schedule = Schedule(hass, DAY, self._wake)

    def _wake(self) -> None:
        self.times += 1

    async def after(self, wait: timedelta) -> bool:
        """Tell whether it wakes after this time, and not before."""
        before = self.times
        assert self.schedule.due == dt_util.utcnow() + wait, "what is shown"
        await self._pass(wait - SECOND)
        early = self.times
        await self._pass(2 * SECOND)
        return (early, self.times) == (before, before + 1)

    async def _pass(self, some: timedelta) -> None:
        self._freezer.tick(some)
        async_fire_time_changed(self._hass)
        await self._hass.async_block_till_done()


@pytest.fixture
def woken(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Generator[Woken]:
    woken = Woken(hass, freezer)
    yield woken
    woken.schedule.cancel()


@pytest.mark.parametrize(
    ("problem", "minutes"),
    [(PROBLEM, [1, 2, 5, 10, 20, 30, 60, 60]), (AWAY, [1, 2, 5, 5, 5, 5])],
    ids=["a fault", "Dropbox is away"],
)
async def test_retries_grow_rare_and_a_network_that_is_back_is_noticed_soon(
    woken: Woken, problem: Problem, minutes: list[int]
) -> None:
    for _ in range(2):
        for wait in minutes:
            woken.schedule.checked(problem, 0.0)
            assert await woken.after(timedelta(minutes=wait))
        woken.schedule.checked(None, 0.0)
        assert await woken.after(DAY), "and all is well again"


async def test_no_retry_comes_before_dropbox_wants_it(woken: Woken) -> None:
    woken.schedule.checked(AWAY, 1200.0)
    assert await woken.after(timedelta(minutes=20))
    woken.schedule.checked(AWAY, 1.0)
    assert await woken.after(timedelta(minutes=2))


async def test_a_check_takes_the_place_of_the_one_that_was_due(woken: Woken) -> None:
    woken.schedule.checked(PROBLEM, 0.0)
    woken.schedule.checked(None, 0.0)
    assert await woken.after(DAY)


async def test_who_is_cancelled_wakes_nobody(woken: Woken) -> None:
    woken.schedule.checked(PROBLEM, 0.0)
    woken.schedule.cancel()
    assert not await woken.after(timedelta(minutes=1))
    woken.schedule.cancel()


@pytest.mark.parametrize("days", [-1, 0, 1])
async def test_a_clock_that_is_set_does_not_delay_the_retry(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    woken = asyncio.Event()
    retry_after = (timedelta(seconds=0.1),)
    schedule = Schedule(hass, timedelta(hours=24), woken.set, retry_after)

    schedule.checked(PROBLEM, 0.0)
    # The clock that Home Assistant's own timers look at when they fire.
    set_by = timedelta(days=days).total_seconds()
    monkeypatch.setattr(event, "time_tracker_timestamp", lambda: time.time() + set_by)

    try:
        async with asyncio.timeout(5):
            await woken.wait()
    finally:
        schedule.cancel()
