"""The speed limit: what the receiver sees, and the arithmetic behind it."""

import asyncio
from itertools import pairwise
import time

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.dropbox_api.bandwidth import BandwidthLimit
from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.upload import Lane, UploadPool, upload
from tests.support.dropbox_server import DropboxAccount, DropboxServer
from tests.support.sources import MIB, Bytes, some_bytes
from tests.support.waits import set_waits

MBIT = 1e6 / 8


class FakeTime:
    """A clock that sleeping moves, and that wakes late if told so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.late = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late

    def limit(self, bytes_per_second: float | None) -> BandwidthLimit:
        return BandwidthLimit(bytes_per_second, clock=lambda: self.now, sleep=self.sleep)


async def send(fake: FakeTime, limit: BandwidthLimit, slices: int, size: int) -> list[float]:
    """Take so many slices; return when each might leave."""
    left = []
    for _ in range(slices):
        await limit.take(size)
        left.append(fake.now)
    return left


@given(st.floats(0.1, 1000), st.floats(0, 0.2))
async def test_it_is_kept_and_used_up_though_we_wake_late(mbit: float, late: float) -> None:
    fake = FakeTime()
    fake.late = late
    limit = fake.limit(mbit * MBIT)
    size = limit.slice_size(256 * 1024)
    begun = fake.now
    left = await send(fake, limit, 300, size)
    needed = 299 * size / (mbit * MBIT)
    assert needed - 0.25 <= left[-1] - begun <= needed + 0.25
    # Never more than the limit and what may be caught up, over any stretch.
    for first in range(0, 300, 20):
        for last in range(first + 1, 300, 20):
            seconds = left[last] - left[first]
            assert (last - first) * size <= (seconds + 0.25) * mbit * MBIT + size


async def test_no_burst_follows_a_rest() -> None:
    fake = FakeTime()
    limit = fake.limit(1000)
    await send(fake, limit, 3, 50)
    fake.now += 60
    left = await send(fake, limit, 4, 50)
    assert [round(after - before, 3) for before, after in pairwise(left)] == [0.05] * 3


async def test_a_new_limit_holds_at_once() -> None:
    fake = FakeTime()
    limit = fake.limit(1000)
    await send(fake, limit, 2, 50)
    limit.bytes_per_second = 100
    left = await send(fake, limit, 3, 50)
    assert left[2] - left[1] == pytest.approx(0.5)
    limit.bytes_per_second = None
    left = await send(fake, limit, 3, 50)
    assert left[2] == left[1]


async def test_whoever_is_cancelled_has_taken_nothing() -> None:
    limit = BandwidthLimit(1000)
    await limit.take(100)
    begun = time.monotonic()
    waiting = asyncio.create_task(limit.take(10_000_000))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await limit.take(1)
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("mbit", [0.1, 8, 1000])
def test_slices_are_small_enough_to_be_smooth_and_large_enough_to_be_cheap(mbit: float) -> None:
    size = BandwidthLimit(mbit * MBIT).slice_size(256 * 1024)
    assert 1024 <= size <= 256 * 1024
    assert size / (mbit * MBIT) <= 0.1
    assert BandwidthLimit(None).slice_size(777) == 777


async def watch_arrivals(server: DropboxServer, seconds: float) -> list[tuple[float, int]]:
    """Return how many bytes of bodies had arrived at which moments."""
    begun = time.monotonic()
    seen = []
    while (now := time.monotonic() - begun) < seconds:
        seen.append((now, sum(record.bytes_received for record in server.log.records)))
        await asyncio.sleep(0.05)
    return seen


def rates(seen: list[tuple[float, int]], window: float) -> list[float]:
    """Return the bytes per second over every stretch of so many seconds."""
    found = []
    for begin, before in seen:
        later = next((one for one in seen if one[0] >= begin + window), None)
        if later is not None:
            found.append((later[1] - before) / (later[0] - begin))
    return found


@pytest.mark.parametrize("size", [MIB, 6 * MIB], ids=["small", "large"])
async def test_eight_megabits_per_second_are_kept_and_used(
    client: DropboxClient, dropbox_server: DropboxServer, size: int
) -> None:
    lane = Lane(UploadPool())
    lane.pool.speed.bytes_per_second = 8 * MBIT
    uploads = asyncio.gather(
        *(
            upload(client, Bytes(some_bytes(size, n)), UploadCommit(f"/{n}.tar"), lane=lane)
            for n in range(8)
        )
    )
    seen = await watch_arrivals(dropbox_server, 6.5)
    uploads.cancel()
    await asyncio.wait([uploads])
    # A stretch of 10 s may vary by half of what one of 5 s may.
    found = rates([one for one in seen if one[0] > 0.5], 5)
    assert min(found) >= 0.95 * 8 * MBIT
    assert max(found) <= 1.05 * 8 * MBIT


async def test_a_limit_that_comes_and_goes_while_a_chunk_is_sent(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    lane = Lane(UploadPool())
    lane.pool.speed.bytes_per_second = 0.1 * MBIT
    data = some_bytes(5 * MIB)
    task = asyncio.create_task(upload(client, Bytes(data), UploadCommit("/x.tar"), lane=lane))
    await asyncio.sleep(1.5)
    received = sum(record.bytes_received for record in dropbox_server.log.records)
    assert received <= 1.05 * 1.5 * 0.1 * MBIT + 4 * 1024
    lane.pool.speed.bytes_per_second = None
    async with asyncio.timeout(5):
        await task
    assert account.files.read("/x.tar") == data


async def test_our_own_slowness_is_no_dead_line(
    client: DropboxClient, account: DropboxAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice waits longer than a line may stand still."""
    set_waits(monkeypatch, for_movement=0.2, deadline_step=0.0)
    lane = Lane(UploadPool())
    lane.pool.speed.bytes_per_second = 3000.0
    await upload(client.retrying_for(0), Bytes(bytes(8000)), UploadCommit("/x.tar"), lane=lane)
    assert account.files.list()[0].size == 8000


@pytest.mark.parametrize(
    ("mbit", "chunks"), [(0.1, 2), (8, 2), (40, 3), (100, 4), (10_000, 8), (None, 6)]
)
async def test_no_more_chunks_travel_than_the_limit_needs(mbit: float | None, chunks: int) -> None:
    lane = Lane(UploadPool(parallel=8, begin=6))
    lane.pool.speed.bytes_per_second = mbit and mbit * MBIT
    if mbit == 10_000:
        lane.pool.concurrency.allowed = 8
    waiting = [asyncio.create_task(lane.pool.concurrency.begin()) for _ in range(20)]
    await asyncio.sleep(0)
    assert sum(one.done() for one in waiting) == chunks
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)


def test_what_the_limit_slows_down_does_not_count_against_the_line() -> None:
    lane = Lane(UploadPool(parallel=8))
    assert lane.pool.was_line(60, 4 * MIB)
    lane.pool.speed.bytes_per_second = 0.1 * MBIT
    assert not lane.pool.was_line(4 * MIB / (0.1 * MBIT) * 2, 4 * MIB)
    lane.pool.speed.bytes_per_second = 100 * MBIT
    assert lane.pool.was_line(20, 4 * MIB)
