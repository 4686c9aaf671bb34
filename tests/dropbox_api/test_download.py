"""Downloads survive broken connections and end with a proof."""

import asyncio
from asyncio.sslproto import SSLProtocol
from collections import defaultdict
from itertools import pairwise
import time
import tracemalloc
from unittest.mock import patch

import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.download import (
    _Range,
    _Ranges,
    download,
    read_range,
)
from custom_components.dropbox_backup.dropbox_api.errors import (
    CorruptError,
    RefusedError,
    UnreachableError,
)
from custom_components.dropbox_backup.dropbox_api.types import File, UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.upload import upload
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind, Line, Rules
from tests.support.sources import MIB, Bytes, some_bytes

DATA = some_bytes(5 * MIB + 11)


@pytest.fixture
async def metadata(client: DropboxClient) -> File:
    return await upload(client, Bytes(DATA), UploadCommit("/backup.tar"))


async def received(client: DropboxClient, metadata: File) -> bytes:
    stream = download(client, metadata.rev, metadata.size, metadata.content_hash)
    return b"".join([piece async for piece in stream])


async def test_the_bytes_come_back(client: DropboxClient, metadata: File) -> None:
    assert await received(client, metadata) == DATA


@pytest.mark.parametrize("skip", [0, 3])
async def test_a_proxy_that_strips_ranges_makes_it_one_stream(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File, skip: int
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.IGNORE_RANGE, "files/download", skip=skip, times=None),
        Fault(FaultKind.RESET_IN_RESPONSE, "files/download", skip=12, times=2, after_bytes=3 * MIB),
    )
    assert await received(client, metadata) == DATA


async def test_a_small_range_is_found_also_where_ranges_are_stripped(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.IGNORE_RANGE, "files/download", times=None))
    for start, end in ((0, 10), (3 * MIB, 3 * MIB + 7), (len(DATA) - 5, len(DATA))):
        assert await read_range(client, metadata.rev, start, end) == DATA[start:end]
    with pytest.raises(RefusedError):
        await read_range(client, metadata.rev, 1 << 30, (1 << 30) + 5)


async def test_a_small_range_whose_answer_breaks_off_is_asked_for_again(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File
) -> None:
    broken = Fault(FaultKind.RESET_IN_RESPONSE, "files/download", after_bytes=3)
    dropbox_server.faults.add(broken)
    assert await read_range(client, metadata.rev, 10, 20) == DATA[10:20]
    assert broken.applied == 1


async def test_an_answer_that_is_longer_than_its_range_costs_nothing_but_another_one(
    client: DropboxClient, metadata: File
) -> None:
    longer = iter([100])

    def ask_for_more(_ranges: _Ranges, part: _Range) -> int:
        return part.end + next(longer, 0)

    with patch.object(_Ranges, "_end", ask_for_more):
        assert await received(client, metadata) == DATA


async def test_a_restore_waits_as_long_as_dropbox_asks_and_goes_on(
    client: DropboxClient,
    dropbox_server: DropboxServer,
    metadata: File,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "custom_components.dropbox_backup")
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, "files/download", skip=1, times=3, status=429, retry_after=2)
    )
    assert await received(client.retrying_for(1), metadata) == DATA
    assert caplog.text.count("asks to wait") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET_IN_RESPONSE, after_bytes=MIB + 1, times=3),
        Fault(FaultKind.TRUNCATE_DOWNLOAD, after_bytes=3 * MIB),
        Fault(FaultKind.RESET_BEFORE_BODY),
        Fault(FaultKind.STATUS, status=503),
        Fault(FaultKind.EXPIRE_TOKEN),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_a_broken_connection_is_taken_up_where_it_broke(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File, fault: Fault
) -> None:
    fault.route = "files/download"
    dropbox_server.faults.add(fault)
    assert await received(client, metadata) == DATA
    # What was sent when a connection broke may have been lost on the way, but not what was read.
    assert dropbox_server.log.bytes_sent("files/download") < len(DATA) + 4 * MIB


async def test_a_damaged_download_fails_at_its_end(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.CORRUPT_DOWNLOAD, route="files/download", after_bytes=1000)
    )
    with pytest.raises(CorruptError):
        await received(client, metadata)


async def test_a_line_that_never_brings_a_byte_is_given_up(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.RESET_IN_RESPONSE, route="files/download", after_bytes=0, times=None)
    )
    with pytest.raises(UnreachableError):
        await received(client, metadata)


async def test_a_file_that_was_replaced_does_not_mix_in(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File
) -> None:
    stream = download(client, metadata.rev, metadata.size, metadata.content_hash)
    first = await anext(stream)
    await client.delete("/backup.tar", metadata.rev)
    await upload(client, Bytes(some_bytes(len(DATA), seed=9)), UploadCommit("/backup.tar"))
    dropbox_server.faults.add(Fault(FaultKind.RESET_IN_RESPONSE, route="files/download"))
    rest = b"".join([piece async for piece in stream])
    assert first + rest == DATA


async def test_ranges(client: DropboxClient, metadata: File) -> None:
    assert await read_range(client, metadata.rev, 10, 20) == DATA[10:20]
    assert await read_range(client, metadata.rev, 5, 5) == b""


@pytest.mark.parametrize("status", [416, 409])
async def test_a_range_behind_the_end_is_refused_at_once(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: File, status: int
) -> None:
    dropbox_server.rules = Rules(range_error_status=status)
    with pytest.raises(RefusedError):
        await read_range(client, metadata.rev, len(DATA), len(DATA) + 1)
    assert dropbox_server.log.count("files/download") == 1


@pytest.mark.parametrize("size", [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 40 * MIB + 5])
async def test_any_size_comes_back(client: DropboxClient, size: int) -> None:
    data = some_bytes(size, seed=size)
    stored = await upload(client, Bytes(data), UploadCommit("/any.tar"))
    assert await received(client, stored) == data


async def test_a_small_backup_is_one_request(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    stored = await upload(client, Bytes(some_bytes(4 * MIB)), UploadCommit("/small.tar"))
    await received(client, stored)
    assert dropbox_server.log.count("files/download") == 1


async def test_ranges_travel_side_by_side(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    data = some_bytes(32 * MIB)
    stored = await upload(client, Bytes(data), UploadCommit("/large.tar"))
    dropbox_server.line = Line(latency=0.02, server_time=0.1, download_per_connection=80e6)
    async with asyncio.timeout(3.2):  # one connection needs 3.4 s
        assert await received(client, stored) == data


async def test_a_busy_event_loop_opens_no_further_connections(
    client: DropboxClient, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await upload(client, Bytes(some_bytes(16 * MIB)), UploadCommit("/large.tar"))
    dropbox_server.line = Line(server_time=0.05)
    monkeypatch.setattr("time.thread_time", time.monotonic)  # it has used all of its time
    await received(client, stored)
    records = dropbox_server.log.of("files/download")
    assert len(records) > 4
    for one, following in pairwise(records):
        assert one.time + one.duration <= following.time + 0.02


async def test_a_connection_never_decrypts_much_at_once(client: DropboxClient) -> None:
    """Otherwise several of them hold up the event loop of a small board. This guards what we rely
    on in asyncio.
    """
    stored = await upload(client, Bytes(bytes(32 * MIB)), UploadCommit("/large.tar"))
    reads: defaultdict[int, list[int]] = defaultdict(list)
    plain = SSLProtocol.buffer_updated

    def noted(self: SSLProtocol, nbytes: int) -> None:
        if not self._server_side:
            reads[id(self)].append(nbytes)
        plain(self, nbytes)

    with patch.object(SSLProtocol, "buffer_updated", noted):
        assert len(await received(client, stored)) == stored.size
    # The first ones come before the answer's headers: handshakes, and what arrived with those.
    later = [size for sizes in reads.values() for size in sizes[8:]]
    assert sum(later) > 16 * MIB
    assert max(later) <= 32 * 1024


async def test_who_stops_listening_leaves_nothing_behind(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    stored = await upload(client, Bytes(some_bytes(32 * MIB)), UploadCommit("/large.tar"))
    dropbox_server.line = Line(download_total=80e6)
    ours = asyncio.all_tasks()
    stream = download(client, stored.rev, stored.size, stored.content_hash)
    await anext(stream)
    assert any("_Ranges" in repr(task) for task in asyncio.all_tasks() - ours)
    await stream.aclose()
    assert not any("_Ranges" in repr(task) for task in asyncio.all_tasks())


async def test_a_slow_reader_is_not_run_over(client: DropboxClient) -> None:
    stored = await upload(client, Bytes(bytes(128 * MIB)), UploadCommit("/large.tar"))
    tracemalloc.start()
    arrived = 0
    async for piece in download(client, stored.rev, stored.size, stored.content_hash):
        arrived += len(piece)
        if arrived < 64 * MIB:
            await asyncio.sleep(0.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert arrived == stored.size
    assert peak < 64 * MIB, "the local Dropbox in this process takes some of it, too"
