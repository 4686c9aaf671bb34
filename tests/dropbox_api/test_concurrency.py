"""How many transfers run at once, on lines of all kinds."""

import asyncio
import time

import pytest

from custom_components.dropbox_backup.dropbox_api.concurrency import (
    Concurrency,
    Duration,
    Stopwatch,
)

_CHUNK = 4 * 1024 * 1024 * 8  # bits


def settled(
    *, total: float, per_connection: float, gap: float, begin: int = 6, most: int = 10
) -> int:
    """Return how many transfers run at once after a while; bit/s, and seconds of idle line around
    each transfer.
    """
    concurrency = Concurrency(begin, most)
    for _ in range(400):
        concurrency.learn(Duration(gap + _CHUNK / min(per_connection, total / concurrency.allowed)))
    return concurrency.allowed


@pytest.mark.parametrize(
    ("total", "per_connection", "gap", "least", "most"),
    [
        pytest.param(200e6, 40e6, 0.05, 5, 7, id="as many as fill the line"),
        pytest.param(1e9, 20e6, 0.05, 10, 10, id="all that are allowed, if each brings more"),
        pytest.param(2e6, 2e6, 0.05, 2, 2, id="few on a thin line"),
        pytest.param(10e6, 10e6, 0.05, 2, 5, id="few on a home line"),
    ],
)
def test_the_line_decides(
    total: float, per_connection: float, gap: float, least: int, most: int
) -> None:
    assert least <= settled(total=total, per_connection=per_connection, gap=gap) <= most


async def test_turns_are_given_in_order_and_never_lost() -> None:
    concurrency = Concurrency(2, 2)
    order: list[int] = []

    async def transfer(number: int) -> None:
        await concurrency.begin()
        order.append(number)
        await asyncio.sleep(0)
        concurrency.end()

    tasks = [asyncio.create_task(transfer(number)) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    for _ in range(2):
        async with asyncio.timeout(1):
            await concurrency.begin()


async def test_a_turn_that_comes_to_one_who_was_cancelled_goes_to_the_next() -> None:
    concurrency = Concurrency(1, 1)
    await concurrency.begin()
    waiting = [asyncio.create_task(concurrency.begin()) for _ in range(2)]
    await asyncio.sleep(0)
    concurrency.end()  # the first one's turn, but it is cancelled before it can take it
    waiting[0].cancel()
    async with asyncio.timeout(1):
        await waiting[1]


def test_a_rate_limit_halves_once_per_round() -> None:
    concurrency = Concurrency(8, 10)
    for _ in range(5):
        concurrency.slow_down()
    assert concurrency.allowed == 4


@pytest.mark.parametrize(("cpu", "allowed"), [(0.6, 10), (0.8, 2)])
def test_a_busy_event_loop_is_not_given_more_to_do(cpu: float, allowed: int) -> None:
    concurrency = Concurrency(6, 10)
    for _ in range(40):
        # Each one more brings its full share: only the event loop is in the way.
        concurrency.learn(Duration(1.0, cpu))
    assert concurrency.allowed == allowed


def test_work_is_told_from_waiting() -> None:
    working = Stopwatch()
    while working.read().cpu < 0.05:
        pass
    assert working.read().seconds >= 0.05
    waiting = Stopwatch()
    time.sleep(0.05)
    assert waiting.read().seconds >= 0.05
    assert not waiting.read().busy
