"""The shaped line keeps its rates, so that benchmarks measure the client and not the weather."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.dropbox_server import DropboxServer, Line

from .conftest import MIB, Api

# Wide enough for a busy machine, narrow enough to catch a bucket that does not hold.
TOLERANCE = 0.08


async def timed(work: object) -> float:
    started = time.monotonic()
    await work  # type: ignore[misc]
    return time.monotonic() - started


async def upload(api: Api, size: int, name: str = "x") -> None:
    answer = await api.upload(
        "files/upload", {"path": f"/{name}", "mode": "overwrite"}, bytes(size)
    )
    assert answer.status == 200


async def download(api: Api) -> None:
    assert (await api.download({"path": "/x"})).status == 200


async def warm(api: Api, connections: int = 1) -> None:
    """Open the connections first: their handshakes are not what is measured."""
    calls = (api.rpc("users/get_current_account") for _ in range(connections))
    await asyncio.gather(*calls)


async def test_upload_per_connection(server: DropboxServer, api: Api) -> None:
    await warm(api)
    server.line = Line(upload_per_connection=40e6)
    assert await timed(upload(api, 4 * MIB)) == pytest.approx(4 * MIB * 8 / 40e6, rel=TOLERANCE)


async def test_download_per_connection(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/x", bytes(4 * MIB))
    await warm(api)
    server.line = Line(download_per_connection=40e6)
    assert await timed(download(api)) == pytest.approx(4 * MIB * 8 / 40e6, rel=TOLERANCE)


async def test_connections_share_the_total(server: DropboxServer, api: Api) -> None:
    await warm(api, 4)
    server.line = Line(upload_per_connection=40e6, upload_total=80e6)
    work = asyncio.gather(*(upload(api, 2 * MIB, str(number)) for number in range(4)))
    assert await timed(work) == pytest.approx(8 * MIB * 8 / 80e6, rel=TOLERANCE)


async def test_parallel_connections_add_up_below_the_total(server: DropboxServer, api: Api) -> None:
    await warm(api, 3)
    server.line = Line(upload_per_connection=40e6, upload_total=200e6)
    work = asyncio.gather(*(upload(api, 3 * MIB, str(number)) for number in range(3)))
    assert await timed(work) == pytest.approx(3 * MIB * 8 / 40e6, rel=TOLERANCE)


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
    server.line = Line(latency=0.04)
    assert 0.12 <= await timed(api.rpc("users/get_current_account")) < 0.2
    assert 0.04 <= await timed(api.rpc("users/get_current_account")) < 0.08


async def test_server_time_per_call(server: DropboxServer, api: Api) -> None:
    await warm(api)
    server.line = Line(server_time=0.1)
    for call in (upload(api, 10), api.rpc("users/get_current_account"), download(api)):
        assert 0.1 <= await timed(call) < 0.16


async def test_line_changes_while_a_transfer_runs_and_free_is_fast(
    server: DropboxServer, api: Api
) -> None:
    server.line = Line(upload_per_connection=8e6)
    running = asyncio.create_task(upload(api, MIB))
    await asyncio.sleep(0.05)
    server.line = Line()
    assert await timed(upload(api, 8 * MIB, "other")) < 0.5
    await running
