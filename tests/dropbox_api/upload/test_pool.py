"""Stopping gently, and how much memory uploads may take."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import override
from weakref import ref

import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import BLOCK_SIZE
from custom_components.dropbox_backup.dropbox_api.errors import DropboxError, StoppedError
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.pool import (
    Lane,
    UploadPool,
    available_memory,
    chunks_in_memory,
)
from custom_components.dropbox_backup.dropbox_api.upload.slots import Slots
from custom_components.dropbox_backup.dropbox_api.upload.source import Buffer, memory_for
from custom_components.dropbox_backup.dropbox_api.upload.upload import UploadSession, upload
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Line, RequestRecord
from tests.support.sources import MIB, Bytes, some_bytes

APPEND = "files/upload_session/append_v2"
START = "files/upload_session/start"
FINISH = "files/upload_session/finish"
COMMIT = UploadCommit("/backup.tar")


def done(records: list[RequestRecord]) -> int:
    return sum(record.processed for record in records)


def test_to_be_stopped_is_no_failure_of_dropbox() -> None:
    assert not issubclass(StoppedError, DropboxError)


@pytest.mark.parametrize("stop_after", [0, 1, 3, 5])
async def test_what_is_in_flight_arrives_and_nothing_is_sent_twice(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer, stop_after: int
) -> None:
    dropbox_server.line = Line(server_time=0.1)
    data = some_bytes(8 * BLOCK_SIZE + 5)
    lane = Lane(UploadPool(parallel=2))
    kept: list[UploadSession | None] = []
    chunks_read = 0

    class Counted(Bytes):
        @override
        async def chunks(
            self, chunk_size: int, buffer: Buffer = memory_for, start: int = 0
        ) -> AsyncGenerator[memoryview]:
            nonlocal chunks_read
            async with aclosing(super().chunks(chunk_size, buffer, start)) as chunks:
                async for chunk in chunks:
                    chunks_read += 1
                    yield chunk

    async def keep(session: UploadSession | None) -> None:
        kept.append(deepcopy(session))
        if session is not None and session.arrived + len(session.ahead) >= stop_after:
            lane.stopped = True

    with pytest.raises(StoppedError):
        await upload(client, Counted(data), COMMIT, lane=lane, on_session=keep)
    session = kept[-1]
    assert session is not None
    appends = dropbox_server.log.of(APPEND)
    assert {record.status for record in appends} <= {200}, "none was cut off"
    assert session.arrived + len(session.ahead) == len(appends) <= stop_after + 2
    assert chunks_read <= len(appends) + 1, "nothing more is read"
    assert dropbox_server.log.count(FINISH) == 0
    assert lane.pool.slots.free == 2
    assert lane.pool.concurrency.running == 0

    with pytest.raises(StoppedError):
        await upload(client, Bytes(data), COMMIT, lane=lane, session=session)
    assert len(dropbox_server.log.of(APPEND)) == len(appends)

    lane.stopped = False
    await upload(client, Bytes(data), COMMIT, lane=lane, session=session)
    assert account.files.read("/backup.tar") == data
    assert dropbox_server.log.bytes_received(APPEND) == len(data)


async def test_one_that_is_stopped_before_it_begins_asks_dropbox_nothing(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    lane = Lane(UploadPool())
    lane.stopped = True
    for size in (MIB, 5 * MIB):
        with pytest.raises(StoppedError):
            await upload(client, Bytes(some_bytes(size)), COMMIT, lane=lane)
    assert dropbox_server.log.counters == {}


async def test_a_small_one_that_has_begun_completes(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.2)
    lane = Lane(UploadPool())
    task = asyncio.create_task(upload(client, Bytes(some_bytes(MIB)), COMMIT, lane=lane))
    await asyncio.sleep(0.1)
    lane.stopped = True
    await task
    assert account.files.read("/backup.tar") == some_bytes(MIB)


async def test_small_ones_that_have_been_sent_become_files(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.2)
    lane = Lane(UploadPool(parallel=3))
    tasks = [
        asyncio.create_task(
            upload(client, Bytes(some_bytes(1000, n)), UploadCommit(f"/{n}.tar"), lane=lane)
        )
        for n in range(6)
    ]
    await asyncio.sleep(0.1)
    lane.stopped = True
    results = await asyncio.gather(*tasks, return_exceptions=True)
    stopped = [isinstance(result, StoppedError) for result in results]
    assert stopped == [False] * 3 + [True] * 3
    assert len(account.files.list()) == dropbox_server.log.count(START) == 3


async def test_what_only_has_to_be_made_a_file_is(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    data = some_bytes(2 * BLOCK_SIZE)
    lane = Lane(UploadPool())
    kept: list[UploadSession | None] = []

    async def keep(session: UploadSession | None) -> None:
        kept.append(deepcopy(session))
        lane.stopped = session is not None and session.arrived == 2

    await upload(client, Bytes(data), COMMIT, lane=lane, on_session=keep)
    assert account.files.read("/backup.tar") == data


async def test_memory_is_kept_while_somebody_uploads_and_then_given_back() -> None:
    lane = Lane(UploadPool(parallel=2))
    with lane.pool.in_use(small=False):
        chunks = [lane.pool.buffer(lane.pool.chunk_size) for _ in range(3)]
        known = [ref(one) for one in chunks]
        while chunks:
            lane.pool.give_back(chunks.pop())
        await asyncio.sleep(0)
        assert all(one() is not None for one in known)
    for _ in known:
        await asyncio.sleep(0)
    assert all(one() is None for one in known)


async def test_a_lane_is_stopped_alone_and_shares_the_pool(
    client: DropboxClient, account: DropboxAccount
) -> None:
    pool = UploadPool(parallel=2)
    lane, other = Lane(pool), Lane(pool)
    other.stopped = True
    with pytest.raises(StoppedError):
        await upload(client, Bytes(b"1"), COMMIT, lane=other)
    with pool.in_use(small=True), pool.in_use(small=True):
        assert not pool.alone
    await upload(client, Bytes(b"1"), COMMIT, lane=lane)
    assert account.files.read("/backup.tar") == b"1"


@pytest.mark.parametrize(
    ("available", "chunks"),
    [
        (None, 10),
        (0, 2),
        (40 * MIB, 2),
        (100 * MIB, 3),
        (160 * MIB, 5),
        (256 * MIB, 8),
        (320 * MIB, 10),
        (64 * 1024 * MIB, 10),
    ],
)
def test_little_memory_means_fewer_chunks(available: int | None, chunks: int) -> None:
    assert chunks_in_memory(available) == chunks


@pytest.mark.parametrize(
    ("text", "available"),
    [
        ("MemTotal:  948304 kB\nMemAvailable:     112640 kB\nBuffers: 1 kB\n", 110 * MIB),
        ("MemTotal:  948304 kB\n", None),
        ("MemAvailable: many kB\n", None),
        (None, None),
    ],
)
def test_the_memory_that_linux_has_left(
    tmp_path: Path, text: str | None, available: int | None
) -> None:
    file = tmp_path / "meminfo"
    if text is not None:
        file.write_text(text)
    memory = partial(available_memory, file)
    assert memory() == available
    assert UploadPool(memory=memory).slots.free == chunks_in_memory(available)
    assert UploadPool(parallel=16, memory=memory).slots.free == 16, "who chooses is not overruled"


async def test_slots_are_resized_while_they_are_taken() -> None:
    slots = Slots(4)
    for _ in range(3):
        await slots.acquire()
    slots.resize(1)
    waiting = asyncio.create_task(slots.acquire())
    for _ in range(2):
        await asyncio.sleep(0)
        assert slots.too_many, "another one is taken, too"
        assert not waiting.done()
        slots.release()
    await asyncio.sleep(0)
    assert not waiting.done(), "the only one is taken"
    slots.release()
    async with asyncio.timeout(1):
        await waiting

    more = [asyncio.create_task(slots.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    slots.resize(3)
    await asyncio.wait(more, timeout=0.1)
    assert [one.done() for one in more] == [True, True, False]
    slots.resize(1)
    slots.resize(4)
    await asyncio.wait(more, timeout=0.1)
    assert all(one.done() for one in more)
    for _ in range(4):
        slots.release()
    assert slots.free == 4
    slots.resize(2)
    await slots.acquire()
    await slots.acquire()
    assert slots.locked(), "also of slots that were all free"


async def test_chunks_at_once_can_be_changed_during_an_upload(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.05)
    data = some_bytes(24 * BLOCK_SIZE)
    lane = Lane(UploadPool(parallel=6, begin=6))
    steps = iter([1, 4, 2])

    async def resize(session: UploadSession | None) -> None:
        if session is not None and session.arrived + len(session.ahead) in {3, 12, 18}:
            lane.pool.resize(next(steps))

    await upload(client, Bytes(data), COMMIT, lane=lane, on_session=resize)
    assert account.files.read("/backup.tar") == data
    assert next(steps, None) is None
    assert dropbox_server.log.count(APPEND) == 24
    assert lane.pool.slots.free == 2
    assert not lane.pool.slots.too_many


async def test_memory_of_chunks_that_are_too_many_is_given_back_at_once() -> None:
    lane = Lane(UploadPool(parallel=3))
    with lane.pool.in_use(small=False):
        chunks = [lane.pool.buffer(BLOCK_SIZE) for _ in range(3)]
        taken = [ref(chunk.obj) for chunk in chunks]
        for _ in range(3):
            await lane.pool.slots.acquire()
        lane.pool.resize(1)
        while chunks:
            lane.pool.give_back(chunks.pop())
            lane.pool.slots.release()
        assert sum(one() is not None for one in taken) == 1
        lane.pool.resize(3)
    with pytest.raises(ValueError, match="at least one"):
        lane.pool.resize(0)
