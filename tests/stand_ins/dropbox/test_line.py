"""The shaped line keeps its rates, so that benchmarks measure the client and not the weather."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
import heapq
import random
import time
import types

import pytest

from tests.stand_ins.dropbox.conftest import MIB, Api
from tests.support.account import wait_until
from tests.support.dropbox_server import DropboxServer, Line, line

ATTEMPTS = 5
# On top of the bytes' own time: slices are about 10 ms, and the call itself takes a few.
SLACK = 0.03


async def timed(work: Awaitable[object]) -> float:
    started = time.monotonic()
    await work
    return time.monotonic() - started


async def assert_takes(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Never faster than the line; as slow as the line when nothing else disturbs this machine."""
    found = []
    for _ in range(ATTEMPTS):
        found.append(await timed(work()))
        assert found[-1] >= seconds * 0.98
        if found[-1] <= seconds * 1.03 + SLACK:
            return
    pytest.fail(f"expected {seconds:.3f} s, took {found}")


async def upload(api: Api, size: int, name: str = "x") -> None:
    argument = {"path": f"/{name}", "mode": "overwrite"}
    answer = await api.upload("files/upload", argument, bytes(size))
    assert answer.status == 200


async def download(api: Api) -> None:
    assert (await api.download({"path": "/x"})).status == 200


async def uploads(api: Api, size: int, connections: int) -> None:
    await asyncio.gather(*(upload(api, size, str(number)) for number in range(connections)))


async def until_received(server: DropboxServer, size: int) -> None:
    """Return when so many bytes of a body have arrived."""
    records = server.log.records
    await wait_until(lambda: sum(record.bytes_received for record in records) >= size)


async def warm(api: Api, connections: int = 1) -> None:
    """Open the connections first: their handshakes are not what is measured."""
    await uploads(api, 1, connections)


async def test_upload_per_connection(server: DropboxServer, api: Api) -> None:
    await warm(api)
    server.line = Line(upload_per_connection=40e6)
    await assert_takes(2 * MIB * 8 / 40e6, lambda: upload(api, 2 * MIB))


async def test_download_per_connection(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/x", bytes(2 * MIB))
    await warm(api)
    server.account.files.put("/x", bytes(2 * MIB))
    server.line = Line(download_per_connection=40e6)
    await assert_takes(2 * MIB * 8 / 40e6, lambda: download(api))


async def test_connections_share_the_total(server: DropboxServer, api: Api) -> None:
    await warm(api, 4)
    server.line = Line(upload_per_connection=40e6, upload_total=40e6)
    assert await timed(uploads(api, MIB // 2, 4)) >= 0.95 * 2 * MIB * 8 / 40e6


class SlowClock:
    """Virtual time for the line, in which every sleep ends a little late."""

    def __init__(self, lateness: float) -> None:
        self.now = 1000.0
        self._random = random.Random(5)
        self._lateness = lateness
        self._sleepers: list[tuple[float, int, Generator[float]]] = []

    def monotonic(self) -> float:
        return self.now

    @types.coroutine
    def sleep(self, seconds: float) -> Generator[float]:
        yield seconds

    def run(self, works: list[Coroutine[float, None, None]]) -> float:
        """Run all to their end; returns the seconds that passed."""
        started = self.now
        for number, work in enumerate(works):
            self._step(number, work.__await__())
        while self._sleepers:
            self.now, number, work_left = heapq.heappop(self._sleepers)
            self._step(number, work_left)
        return self.now - started

    def _step(self, number: int, work: Generator[float]) -> None:
        with suppress(StopIteration):
            late = self._random.random() * self._lateness
            heapq.heappush(self._sleepers, (self.now + next(work) + late, number, work))


@pytest.mark.parametrize("direction", ["upload", "download"])
@pytest.mark.parametrize(
    ("connections", "per_connection", "total"),
    [(1, 40e6, None), (1, None, 40e6), (3, 40e6, 200e6), (5, 40e6, 200e6), (8, 40e6, 200e6)],
)
def test_rates_hold_within_two_percent_although_the_event_loop_is_late(
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
    connections: int,
    per_connection: float | None,
    total: float | None,
) -> None:
    clock = SlowClock(lateness=0.004)
    monkeypatch.setattr(line, "time", clock)
    monkeypatch.setattr(line, "asyncio", clock)
    rates = {f"{direction}_per_connection": per_connection, f"{direction}_total": total}
    shaper = line.Shaper(Line.from_json(rates))
    size = 5_000_000  # a second of 40 Mbit/s

    async def transfer(connection: object) -> None:
        throttle = getattr(shaper, direction)(connection)
        left = size
        while left:
            part = min(left, throttle.slice_size)
            await throttle.passed(part)
            left -= part

    seconds = clock.run([transfer(_Connection()) for _ in range(connections)])
    rate = min(connections * (per_connection or 1e12), total or 1e12)
    assert seconds == pytest.approx(connections * size * 8 / rate, rel=0.02)


class _Connection:
    pass


async def test_pauses_between_requests_are_not_caught_up(server: DropboxServer, api: Api) -> None:
    await warm(api)
    server.line = Line(upload_per_connection=40e6)

    async def with_pauses() -> None:
        for _ in range(3):
            await upload(api, MIB // 2)
            await asyncio.sleep(0.1)

    assert await timed(with_pauses()) >= 0.98 * (1.5 * MIB * 8 / 40e6 + 0.3)


async def test_upload_reaches_the_client_as_back_pressure(server: DropboxServer, api: Api) -> None:
    """The client can't push megabytes into buffers long before the server has taken them."""
    server.line = Line(upload_total=64e6)
    sent: list[float] = []

    async def body() -> object:
        for _ in range(32):
            yield bytes(MIB // 4)
            sent.append(time.monotonic())

    started = time.monotonic()
    assert (await api.upload("files/upload", {"path": "/x"}, body())).status == 200
    ended = time.monotonic()
    assert sent[-1] - started > (ended - started) * 0.4


async def test_latency_per_request_and_per_new_connection(server: DropboxServer, api: Api) -> None:
    server.line = Line(latency=0.05)
    assert await timed(api.rpc("users/get_current_account")) >= 0.15
    await assert_takes(0.05, lambda: api.rpc("users/get_current_account"))


async def test_server_time_per_call(server: DropboxServer, api: Api) -> None:
    await warm(api)
    server.account.files.put("/x", b"1")
    server.line = Line(server_time=0.1)
    await assert_takes(0.1, lambda: upload(api, 10))
    await assert_takes(0.1, lambda: api.rpc("users/get_current_account"))
    await assert_takes(0.1, lambda: download(api))


async def test_line_can_change_while_it_is_used(server: DropboxServer, api: Api) -> None:
    server.line = Line(upload_per_connection=2e6)
    running = asyncio.create_task(upload(api, MIB // 2))
    await until_received(server, 1)
    server.line = Line()
    await upload(api, 4 * MIB, "other")
    assert not running.done()
    await running
