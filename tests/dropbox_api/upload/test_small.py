"""Many small uploads at once: sent together, made files together, each proven for itself."""

import asyncio
from collections.abc import AsyncGenerator
from copy import deepcopy

import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.errors import (
    FullError,
    RateLimitedError,
    RefusedError,
    UnreachableError,
)
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.upload import (
    Lane,
    UploadPool,
    UploadSession,
    upload,
)
from tests.support.dropbox_server import (
    DropboxAccount,
    DropboxServer,
    Fault,
    FaultKind,
    Line,
    Rules,
)
from tests.support.sources import FOLDER, MIB, Bytes, some_bytes

UPLOAD = "files/upload"
START = "files/upload_session/start"
FINISH = "files/upload_session/finish"
BATCH = "files/upload_session/finish_batch_v2"

FAULTS = [
    Fault(FaultKind.STATUS, status=500, body="<html/>"),
    Fault(FaultKind.STATUS, status=429, reason="too_many_write_operations", retry_after=0),
    Fault(FaultKind.RESET_BEFORE_BODY),
    Fault(FaultKind.LOST_RESPONSE),
    Fault(FaultKind.GARBAGE),
    Fault(FaultKind.EXPIRE_TOKEN),
]


def commit(number: int) -> UploadCommit:
    return UploadCommit(f"{FOLDER}/{number}.tar")


def data_of(number: int) -> bytes:
    return some_bytes(1000 + number, number)


async def upload_many(client: DropboxClient, count: int, lane: Lane | None = None) -> list[object]:
    """Upload so many at once; return what became of each."""
    lane = lane or Lane(UploadPool())
    return await asyncio.gather(
        *(upload(client, Bytes(data_of(n)), commit(n), lane=lane) for n in range(count)),
        return_exceptions=True,
    )


def all_there(account: DropboxAccount, count: int) -> bool:
    return [account.files.read(commit(n).path) for n in range(count)] == [
        data_of(n) for n in range(count)
    ]


def sent(server: DropboxServer) -> int:
    """Return how often a backup was sent. The last one may find itself alone."""
    assert server.log.count(UPLOAD) <= 1
    return server.log.count(START) + server.log.count(UPLOAD)


def rate_limited(server: DropboxServer) -> int:
    """Return how often Dropbox refused a write, as a whole or in a batch."""
    return sum("too_many_write_operations" in record.error for record in server.log.records)


async def test_many_small_uploads_share_their_commits(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.1)
    dropbox_server.rules = Rules(write_lock=True, write_duration=0.1)
    results = await upload_many(client, 20)
    assert all_there(account, 20)
    assert [result.name for result in results] == [f"{n}.tar" for n in range(20)]  # type: ignore[attr-defined]
    assert sent(dropbox_server) == 20
    assert dropbox_server.log.count(FINISH) + dropbox_server.log.count(BATCH) <= 6
    assert rate_limited(dropbox_server) == 0
    assert dropbox_server.sessions.open == {}


async def test_writes_of_one_account_never_overlap(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    """Whatever they are: uploads, the catalog, deletions, new folders."""
    dropbox_server.rules = Rules(write_lock=True, write_duration=0.1)
    file = await upload(client, Bytes(b"old"), UploadCommit("/old.tar"))
    await asyncio.gather(
        upload_many(client, 6),
        upload(client.retrying_for(1), Bytes(b"alone"), UploadCommit("/alone.tar")),
        upload(client, Bytes(some_bytes(5 * MIB)), UploadCommit("/large.tar")),
        client.delete("/old.tar", file.rev),
        client.create_folder("/new"),
    )
    assert rate_limited(dropbox_server) == 0
    assert {record.status for record in dropbox_server.log.records} == {200}


async def test_a_body_on_its_way_does_not_hold_up_other_writes(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    # More than the kernels' buffers take.
    dropbox_server.line = Line(upload_per_connection=40e6)
    lane = Lane(UploadPool(chunk_size=16 * MIB))
    slow = asyncio.create_task(
        upload(client, Bytes(some_bytes(12 * MIB)), UploadCommit("/slow.tar"), lane=lane)
    )
    await asyncio.sleep(0.2)
    async with asyncio.timeout(1):
        await client.create_folder("/quick")
    assert not slow.done()
    await slow


async def test_large_uploads_that_end_together_share_a_commit_too(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.rules = Rules(write_lock=True, write_duration=0.3)
    lane = Lane(UploadPool())
    data = [some_bytes(5 * MIB + n, n) for n in range(4)]
    await asyncio.gather(
        *(upload(client, Bytes(one), commit(n), lane=lane) for n, one in enumerate(data))
    )
    assert [account.files.read(commit(n).path) for n in range(4)] == data
    assert dropbox_server.log.count(FINISH) + dropbox_server.log.count(BATCH) < 4


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}")
@pytest.mark.parametrize("route", [START, BATCH])
async def test_a_bad_line_does_not_stop_them(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    route: str,
    fault: Fault,
) -> None:
    fault = deepcopy(fault)
    fault.route = route
    dropbox_server.line = Line(server_time=0.05)
    dropbox_server.faults.add(fault)
    results = await upload_many(client, 8)
    assert fault.applied == 1
    assert not [result for result in results if isinstance(result, BaseException)]
    assert all_there(account, 8)
    assert len(account.files.list()) == 8


async def test_a_lost_answer_to_a_batch_does_not_make_files_twice(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.05)
    dropbox_server.faults.add(Fault(FaultKind.LOST_RESPONSE, BATCH))
    await upload_many(client, 8)
    assert all_there(account, 8)
    assert sent(dropbox_server) == 8, "nothing was sent again"
    assert len(account.files.history[f"{FOLDER}/3.tar".lower()]) == 1


async def test_a_neighbour_who_writes_costs_one_refusal_and_no_more(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    """Another app of the same user holds the lock when a batch comes."""
    dropbox_server.rules = Rules(write_lock=True)
    dropbox_server.line = Line(server_time=0.05)

    async def neighbour() -> None:
        async with dropbox_server.writing(account.files):
            # The server tells nobody.
            while not any(one.duration for one in dropbox_server.log.of(BATCH)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    _, results = await asyncio.gather(neighbour(), upload_many(client, 8))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert all_there(account, 8)
    assert dropbox_server.log.count(FINISH) + dropbox_server.log.count(BATCH) <= 4


async def test_who_waits_for_dropbox_keeps_no_other_commit_from_its_end(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    """Nobody sleeps while it is their turn, whatever a proxy asks for."""
    dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            f"{FINISH},{BATCH}",
            status=429,
            reason="too_many_write_operations",
            headers={"Retry-After": "1e12"},
        )
    )
    async with asyncio.timeout(20):
        results = await upload_many(client.retrying_for(1), 8)
    assert {type(result) for result in results} == {RateLimitedError}
    assert dropbox_server.log.count(FINISH) + dropbox_server.log.count(BATCH) == 1


async def test_what_is_wrong_with_one_is_told_for_that_one(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.05)
    account.files.put(commit(3).path, b"other")
    account.files.put(commit(5).path, data_of(5))
    results = await upload_many(client, 8)
    assert isinstance(results[3], RefusedError)
    assert results[3].reason == "path/conflict/file"
    assert [n for n, one in enumerate(results) if isinstance(one, BaseException)] == [3]
    assert account.files.read(commit(3).path) == b"other"


async def test_an_account_that_gets_full_takes_what_fits(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.05)
    account.quota = 4500
    results = await upload_many(client, 8)
    full = [one for one in results if isinstance(one, BaseException)]
    assert {type(one) for one in full} == {FullError}
    assert len(full) == 4
    assert len(account.files.list()) == 4


async def test_a_small_one_damaged_on_the_way_is_sent_again(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.CORRUPT_UPLOAD, START, after_bytes=5, times=2))
    await upload_many(client, 4)
    assert all_there(account, 4)
    assert sent(dropbox_server) == 6


async def test_a_small_session_that_dropbox_forgot_is_sent_again(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.1)
    uploads = asyncio.create_task(upload_many(client, 4))
    while len(dropbox_server.sessions.open) < 4:  # noqa: ASYNC110  (the server tells nobody)
        await asyncio.sleep(0.01)
    for session in list(dropbox_server.sessions.open.values())[1:3]:
        dropbox_server.sessions.open.pop(session.id)
    results = await uploads
    assert not [result for result in results if isinstance(result, BaseException)]
    assert all_there(account, 4)


async def test_who_is_cancelled_takes_nobody_of_the_batch_with_them(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.rules = Rules(write_duration=0.3)
    lane = Lane(UploadPool())
    tasks = [
        asyncio.create_task(upload(client, Bytes(data_of(n)), commit(n), lane=lane))
        for n in range(6)
    ]
    while not dropbox_server.log.count(BATCH):  # noqa: ASYNC110  (the server tells nobody)
        await asyncio.sleep(0.01)
    for task in tasks[:3]:  # among them who makes the call, or waits for it
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [one for one in results[3:] if isinstance(one, BaseException)]
    for n in range(3, 6):
        assert account.files.read(commit(n).path) == data_of(n)
    assert lane.pool.slots.free == UploadPool().slots.free
    assert lane.pool.concurrency.running == 0
    assert lane.pool.alone


async def test_what_was_sent_before_a_power_cut_is_only_made_a_file(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    kept: dict[int, UploadSession | None] = {}
    all_sent = asyncio.Barrier(4)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, f"{FINISH},{BATCH}", status=503, times=None))
    lane = Lane(UploadPool())

    async def one(n: int) -> None:
        async def keep(session: UploadSession | None) -> None:
            if kept.setdefault(n, session) is session:
                await all_sent.wait()
            kept[n] = session

        await upload(
            client.retrying_for(0.1),
            Bytes(data_of(n)),
            commit(n),
            lane=lane,
            session=kept.get(n),
            on_session=keep,
        )

    results = await asyncio.gather(*(one(n) for n in range(4)), return_exceptions=True)
    assert {type(result) for result in results} == {UnreachableError}
    dropbox_server.faults.clear()
    dropbox_server.log.clear()
    await asyncio.gather(*(one(n) for n in range(4)))
    assert all_there(account, 4)
    assert dropbox_server.log.count(START) + dropbox_server.log.count(UPLOAD) == 0
    assert set(kept.values()) == {None}


async def test_a_small_source_that_changed_is_not_taken_for_what_was_sent(
    client: DropboxClient, account: DropboxAccount
) -> None:
    old = UploadSession.of_whole("pid_upload_session:none", 1000, 4 * MIB, [bytes(32)])
    told: list[UploadSession | None] = []

    async def keep(session: UploadSession | None) -> None:
        told.append(session)

    await upload(client, Bytes(data_of(0)), commit(0), session=old, on_session=keep)
    assert all_there(account, 1)
    assert told == [None], "the old session is of no further use"


async def test_memory_is_bounded_however_many_there_are(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    reading = most = 0

    class Watched(Bytes):
        async def read(self) -> AsyncGenerator[bytes]:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            async for piece in super().read():
                yield piece
            await asyncio.sleep(0.02)
            reading -= 1

    lane = Lane(UploadPool(parallel=3))
    await asyncio.gather(
        *(upload(client, Watched(data_of(n)), commit(n), lane=lane) for n in range(20))
    )
    assert most <= 3
