"""Uploads: chunks in flight, resume, verification, and everything a bad line does to them."""

import asyncio
from collections.abc import AsyncGenerator
from copy import deepcopy
from dataclasses import replace
import tracemalloc

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import (
    BLOCK_SIZE,
    block_digests,
    content_hash,
)
from custom_components.dropbox_backup.dropbox_api.errors import (
    CorruptError,
    FullError,
    RefusedError,
    UnreachableError,
)
from custom_components.dropbox_backup.dropbox_api.sdk import content_hash as sdk_content_hash
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.resumable_hash import ResumableHash
from custom_components.dropbox_backup.dropbox_api.upload.source import Source
from custom_components.dropbox_backup.dropbox_api.upload.upload import (
    Lane,
    OnSession,
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
    RequestRecord,
    Rules,
)
from tests.support.sources import FOLDER, MIB, Bytes, Marked, some_bytes

COMMIT = UploadCommit(f"{FOLDER}/backup.tar")
APPEND = "files/upload_session/append_v2"
START = "files/upload_session/start"
FINISH = "files/upload_session/finish"


def keep_in(kept: list[UploadSession | None]) -> OnSession:
    """Note every state of the session, as a journal does."""

    async def keep(session: UploadSession | None) -> None:
        kept.append(deepcopy(session))

    return keep


def most_at_once(requests: list[RequestRecord]) -> int:
    """Return how many of them were under way at the same time."""
    return max(
        sum(other.time <= one.time < other.time + other.duration for other in requests)
        for one in requests
    )


def stored(account: DropboxAccount) -> bytes:
    return account.files.read(COMMIT.path)


@settings(max_examples=30)
@given(st.binary(max_size=300), st.integers(1, 20))
def test_our_content_hash_is_the_sdks(data: bytes, repeat: int) -> None:
    data = data * repeat * 2048  # up to 12 MiB, so that several blocks come into play
    hasher = sdk_content_hash.DropboxContentHasher()
    hasher.update(data)
    assert content_hash(block_digests(data)) == hasher.hexdigest()


@pytest.mark.parametrize(
    "size",
    [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE, 5 * BLOCK_SIZE + 3],
)
async def test_what_arrives_is_what_was_sent(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer, size: int
) -> None:
    data = some_bytes(size)
    progress: list[int] = []
    metadata = await upload(client, Bytes(data), COMMIT, on_progress=progress.append)
    assert metadata.size == size
    assert stored(account) == data
    assert dropbox_server.log.violations == []
    assert progress == sorted(progress)
    assert not size or progress[-1] == size


async def test_a_small_backup_is_one_request(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    await upload(client, Bytes(some_bytes(MIB)), COMMIT)
    assert dropbox_server.log.counters == {"files/upload": 1}


async def test_several_chunks_are_in_flight_and_no_more_than_allowed(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.2)
    lane = Lane(UploadPool(parallel=3))
    await upload(client, Bytes(some_bytes(8 * BLOCK_SIZE)), COMMIT, lane=lane)
    appends = dropbox_server.log.of(APPEND)
    assert most_at_once(appends) == 3


async def test_memory_is_bounded_by_the_chunks_in_flight(client: DropboxClient) -> None:
    class Endless(Source):
        size = 40 * BLOCK_SIZE

        async def read(self) -> AsyncGenerator[bytes]:
            piece = bytes(256 * 1024)
            for _ in range(self.size // len(piece)):
                yield piece

    lane = Lane(UploadPool(parallel=2))
    await upload(client, Bytes(bytes(BLOCK_SIZE + 1)), COMMIT, lane=lane)  # everything is loaded
    tracemalloc.start()
    await upload(client, Endless(), UploadCommit("/endless"), lane=lane)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * BLOCK_SIZE, "the local Dropbox in this process takes some of it, too"


async def test_two_uploads_share_the_chunks_in_flight(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.1)
    lane = Lane(UploadPool(parallel=2))
    await asyncio.gather(
        *(
            upload(client, Bytes(some_bytes(4 * BLOCK_SIZE, n)), UploadCommit(f"/{n}"), lane=lane)
            for n in range(3)
        )
    )
    assert lane.pool.slots.free == 2
    appends = dropbox_server.log.of(APPEND)
    assert most_at_once(appends) <= 2


@pytest.mark.parametrize("route", [START, APPEND, FINISH])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, status=500, body="<html/>"),
        Fault(FaultKind.STATUS, status=429, retry_after=0),
        Fault(FaultKind.RESET_BEFORE_BODY),
        Fault(FaultKind.RESET_IN_BODY, after_bytes=100_000),
        Fault(FaultKind.LOST_RESPONSE),
        Fault(FaultKind.GARBAGE),
        Fault(FaultKind.EXPIRE_TOKEN),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
@pytest.mark.parametrize("skip", [0, 2])
async def test_a_bad_line_does_not_stop_an_upload(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    route: str,
    fault: Fault,
    skip: int,
) -> None:
    data = some_bytes(3 * BLOCK_SIZE + 17)
    fault = deepcopy(fault)
    fault.route, fault.skip = route, skip if route == APPEND else 0
    dropbox_server.faults.add(fault)
    await upload(client, Bytes(data), COMMIT)
    assert stored(account) == data
    assert [entry.name for entry in (await client.list_folder(FOLDER)).entries] == ["backup.tar"]


async def test_a_small_upload_whose_answer_was_lost_is_found(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.LOST_RESPONSE, route="files/upload"))
    await upload(client, Bytes(b"small"), COMMIT)
    assert stored(account) == b"small"


async def test_a_chunk_damaged_on_the_way_is_sent_again(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    data = some_bytes(3 * BLOCK_SIZE)
    fault = Fault(FaultKind.CORRUPT_UPLOAD, route=APPEND, skip=1, after_bytes=5)
    dropbox_server.faults.add(fault)
    progress: list[int] = []
    await upload(client, Bytes(data), COMMIT, on_progress=progress.append)
    assert stored(account) == data
    assert progress[-1] == len(data)
    assert dropbox_server.log.count(APPEND) == 4


@pytest.mark.parametrize("size", [MIB, 3 * BLOCK_SIZE])
async def test_a_line_that_damages_everything_is_named(
    client: DropboxClient, dropbox_server: DropboxServer, size: int
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.CORRUPT_UPLOAD, route="files/upload*", times=None))
    with pytest.raises((CorruptError, RefusedError), match=r"damaged|content_hash"):
        await upload(client, Bytes(some_bytes(size)), COMMIT)


async def test_a_full_dropbox_ends_the_upload(
    client: DropboxClient, account: DropboxAccount
) -> None:
    account.quota = 5 * MIB
    with pytest.raises(FullError):
        await upload(client, Bytes(some_bytes(2 * BLOCK_SIZE)), COMMIT)


async def test_the_same_content_is_already_there(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    data = some_bytes(2 * BLOCK_SIZE)
    first = await upload(client, Bytes(data), COMMIT)
    again = await upload(client, Bytes(data), COMMIT)
    assert first.rev == again.rev


@pytest.mark.parametrize("size", [MIB, 2 * BLOCK_SIZE])
async def test_other_content_at_the_same_path_is_refused_and_left_alone(
    client: DropboxClient, account: DropboxAccount, size: int
) -> None:
    await upload(client, Bytes(some_bytes(size, seed=1)), COMMIT)
    with pytest.raises(RefusedError, match="conflict"):
        await upload(client, Bytes(some_bytes(size, seed=2)), COMMIT)
    assert stored(account) == some_bytes(size, seed=1)


@pytest.mark.parametrize("claims", [2 * BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 4 * BLOCK_SIZE])
async def test_a_source_of_another_length_is_never_committed(
    client: DropboxClient, dropbox_server: DropboxServer, claims: int
) -> None:
    source = Bytes(some_bytes(3 * BLOCK_SIZE - 1), claims=claims)
    lane = Lane(UploadPool(parallel=3))
    with pytest.raises(CorruptError, match="wrong length"):
        await upload(client, source, COMMIT, lane=lane)
    assert dropbox_server.log.count(FINISH) == 0
    assert lane.pool.slots.free == 3, "it keeps none from the next upload"


async def test_an_upload_goes_on_where_it_stopped(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    data = some_bytes(6 * BLOCK_SIZE)
    kept: list[UploadSession | None] = []
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, route=APPEND, skip=4, times=None))
    with pytest.raises(UnreachableError):
        await upload(
            client.retrying_for(0.1),
            Bytes(data),
            COMMIT,
            lane=Lane(UploadPool(parallel=1)),
            on_session=keep_in(kept),
        )
    dropbox_server.faults.clear()
    session = kept[-1]
    assert session is not None
    arrived = session.arrived
    assert arrived == 4
    dropbox_server.log.clear()

    await upload(client, Bytes(data), COMMIT, session=session, on_session=keep_in(kept))
    assert stored(account) == data
    assert dropbox_server.log.records[0].route == APPEND
    assert dropbox_server.log.bytes_received(APPEND) == (6 - arrived) * BLOCK_SIZE
    assert kept[-1] is None


@pytest.mark.parametrize("kind", [Bytes, Marked])
@pytest.mark.parametrize("stop_after", range(7))
async def test_at_whatever_chunk_it_stops_no_other_is_sent_twice(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    stop_after: int,
    kind: type[Bytes],
) -> None:
    """As a power cut would: what the journal took note of last is all that is left."""
    data = some_bytes(6 * BLOCK_SIZE + 5)
    lane = Lane(UploadPool(parallel=3))
    kept: list[UploadSession | None] = []
    cut = asyncio.Event()

    async def keep(session: UploadSession | None) -> None:
        kept.append(deepcopy(session))
        if session is None or session.arrived + len(session.ahead) >= stop_after:
            cut.set()

    task = asyncio.create_task(upload(client, kind(data), COMMIT, lane=lane, on_session=keep))
    await cut.wait()
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.2)  # what was on its way arrives, or not
    before = dropbox_server.log.bytes_received(APPEND)
    await upload(client, kind(data), COMMIT, session=kept[-1], lane=lane)
    assert stored(account) == data
    assert dropbox_server.log.bytes_received(APPEND) <= len(data) + 3 * BLOCK_SIZE
    assert before <= dropbox_server.log.bytes_received(APPEND)


async def test_a_changed_source_is_never_mixed_with_what_was_sent(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    sessions: list[UploadSession | None] = []
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, route=FINISH, times=None))
    with pytest.raises(UnreachableError):
        await upload(
            client.retrying_for(0.1),
            Bytes(some_bytes(3 * BLOCK_SIZE, seed=1)),
            COMMIT,
            on_session=keep_in(sessions),
        )
    dropbox_server.faults.clear()
    dropbox_server.log.clear()
    other = some_bytes(3 * BLOCK_SIZE, seed=2)
    await upload(client, Bytes(other), COMMIT, session=sessions[-1])
    assert stored(account) == other
    assert dropbox_server.log.count(FINISH) == 1, "no mixture becomes a file even for a moment"


async def stopped_after_four_of_six(
    client: DropboxClient, server: DropboxServer, source: Bytes
) -> UploadSession:
    """Upload until Dropbox goes away; return what was noted."""
    kept: list[UploadSession | None] = []
    server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, route=APPEND, skip=4, times=None))
    with pytest.raises(UnreachableError):
        await upload(
            client.retrying_for(0.1),
            source,
            COMMIT,
            lane=Lane(UploadPool(parallel=1)),
            on_session=keep_in(kept),
        )
    server.faults.clear()
    server.log.clear()
    session = kept[-1]
    assert session is not None
    assert session.arrived == 4
    return session


async def test_of_a_source_that_proves_to_be_the_same_only_the_rest_is_read(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    source = Marked(some_bytes(6 * BLOCK_SIZE))
    session = await stopped_after_four_of_six(client, dropbox_server, source)
    sent: list[int] = []

    await upload(client, source, COMMIT, session=session, on_progress=sent.append)
    assert stored(account) == source.data
    assert source.starts == [0, 4 * BLOCK_SIZE]
    assert dropbox_server.log.bytes_received(APPEND) == 2 * BLOCK_SIZE
    assert sent[0] == 4 * BLOCK_SIZE
    assert sent[-1] == source.size


async def test_a_source_that_is_marked_as_another_is_read_again_and_goes_on_if_it_is_the_same(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    session = await stopped_after_four_of_six(
        client, dropbox_server, Marked(some_bytes(6 * BLOCK_SIZE))
    )
    again = Marked(some_bytes(6 * BLOCK_SIZE), mark="2")
    kept: list[UploadSession | None] = []
    await upload(client, again, COMMIT, session=session, on_session=keep_in(kept))
    assert stored(account) == again.data
    assert again.starts == [0]
    assert dropbox_server.log.bytes_received(APPEND) == 2 * BLOCK_SIZE
    assert {one.etag for one in kept if one} == {"2"}


async def test_a_source_that_is_marked_as_another_is_never_mixed_with_what_was_sent(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    session = await stopped_after_four_of_six(
        client, dropbox_server, Marked(some_bytes(6 * BLOCK_SIZE))
    )
    other = Marked(some_bytes(6 * BLOCK_SIZE, seed=2), mark="2")
    await upload(client, other, COMMIT, session=session)
    assert stored(account) == other.data
    assert dropbox_server.log.count(FINISH) == 1, "no mixture becomes a file even for a moment"


async def test_a_note_of_more_chunks_than_there_are_is_not_believed(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    source = Marked(some_bytes(6 * BLOCK_SIZE))
    session = await stopped_after_four_of_six(client, dropbox_server, source)
    await upload(client, source, COMMIT, session=replace(session, arrived=7))
    assert stored(account) == source.data
    assert dropbox_server.log.count(FINISH) == 1, "no part becomes a file even for a moment"


async def test_chunks_that_are_there_behind_a_gap_count_when_they_have_been_read(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    source = Bytes(some_bytes(6 * BLOCK_SIZE))
    session = await stopped_after_four_of_six(client, dropbox_server, source)
    chunks = [block_digests(source.data[n * BLOCK_SIZE :][:BLOCK_SIZE]) for n in range(4)]
    session.arrived, session.hash_state = 1, str(ResumableHash().plus(b"".join(chunks[0])))
    session.ahead = {number: content_hash(chunks[number]) for number in (2, 3)}
    # With one at a time, the gap is filled before the next chunk is read.
    lane = Lane(UploadPool(parallel=1))
    await upload(client, source, COMMIT, session=session, lane=lane)
    assert stored(account) == source.data
    assert dropbox_server.log.bytes_received(APPEND) == 3 * BLOCK_SIZE


@pytest.mark.parametrize("chunks", [5, 8])
@pytest.mark.parametrize("kind", [Bytes, Marked])
async def test_a_source_that_has_grown_or_shrunk_arrives_as_it_is_now(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    kind: type[Bytes],
    chunks: int,
) -> None:
    """It begins with the same bytes, which alone would pass for the whole of it."""
    data = some_bytes(8 * BLOCK_SIZE)
    before = kind(data[: 6 * BLOCK_SIZE])
    session = await stopped_after_four_of_six(client, dropbox_server, before)
    now = kind(data[: chunks * BLOCK_SIZE])
    await upload(client, now, COMMIT, session=session)
    assert stored(account) == now.data


@pytest.mark.parametrize("notes", ["nonsense", "another state", "more has arrived"])
async def test_spoiled_notes_cost_an_upload_and_never_make_a_wrong_file(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer, notes: str
) -> None:
    source = Marked(some_bytes(6 * BLOCK_SIZE))
    session = await stopped_after_four_of_six(client, dropbox_server, source)
    if notes == "nonsense":
        session.hash_state = "nonsense"
    elif notes == "another state":
        session.hash_state = str(ResumableHash().plus(bytes(32 * 4)))
    else:
        session.arrived = 1000
    await upload(client, source, COMMIT, session=session)
    assert stored(account) == source.data


@pytest.mark.parametrize(
    ("size", "arrived", "ahead", "sent"),
    [
        (3 * BLOCK_SIZE, 0, {}, 0),
        (3 * BLOCK_SIZE, 1, {2: ""}, 2 * BLOCK_SIZE),
        (3 * BLOCK_SIZE - 1, 1, {2: ""}, 2 * BLOCK_SIZE),
        (3 * BLOCK_SIZE - 1, 3, {}, 3 * BLOCK_SIZE - 1),
    ],
)
def test_what_has_arrived_is_told_in_bytes(
    size: int, arrived: int, ahead: dict[int, str], sent: int
) -> None:
    session = UploadSession("", size, BLOCK_SIZE, arrived, ahead=ahead)
    assert (session.chunks, session.sent) == (3, sent)


def test_a_small_file_that_arrived_whole_is_one_chunk() -> None:
    whole = UploadSession.of_whole("", 5, BLOCK_SIZE, block_digests(b"small"))
    assert (whole.chunks, whole.arrived, whole.sent) == (1, 1, 5)
    assert whole.is_whole(5, block_digests(b"small"))
    assert not whole.is_whole(5, block_digests(b"other"))
    assert not whole.is_whole(6, block_digests(b"small"))


async def test_a_session_that_dropbox_forgot_is_started_again(
    client: DropboxClient, account: DropboxAccount
) -> None:
    data = some_bytes(3 * BLOCK_SIZE)
    forgotten = UploadSession("pid_upload_session:none", len(data), BLOCK_SIZE)
    await upload(client, Bytes(data), COMMIT, session=forgotten)
    assert stored(account) == data


async def test_a_cancelled_upload_gives_its_slots_back(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.6)
    lane = Lane(UploadPool(parallel=3))
    task = asyncio.create_task(upload(client, Bytes(some_bytes(6 * BLOCK_SIZE)), COMMIT, lane=lane))
    await asyncio.sleep(0.9)
    assert lane.pool.slots.locked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lane.pool.slots.free == 3
    assert lane.pool.concurrency.running == 0


# Points on which Dropbox's documents are silent: an upload must not depend on them.
RULES = [
    Rules(resend_after_close=closed, resend_in_session=open_)
    for closed in ("closed", "accept")
    for open_ in ("accept", "refuse")
]


@pytest.mark.parametrize(
    "rules", RULES, ids=lambda rules: f"{rules.resend_after_close}-{rules.resend_in_session}"
)
@pytest.mark.parametrize("skip", range(4))
async def test_a_lost_answer_to_any_chunk_is_survived_whatever_dropbox_says_to_the_second_one(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    rules: Rules,
    skip: int,
) -> None:
    data = some_bytes(3 * BLOCK_SIZE + 17)
    dropbox_server.rules = rules
    dropbox_server.faults.add(Fault(FaultKind.LOST_RESPONSE, route=APPEND, skip=skip))
    await upload(client, Bytes(data), COMMIT)
    assert stored(account) == data


@pytest.mark.parametrize(
    "rules", RULES, ids=lambda rules: f"{rules.resend_after_close}-{rules.resend_in_session}"
)
@pytest.mark.parametrize("noted", [0, 2, 4])
async def test_chunks_that_arrived_unnoticed_do_not_stop_the_next_run(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    rules: Rules,
    noted: int,
) -> None:
    """A power cut takes the notes of what had arrived, up to the whole file."""
    data = some_bytes(3 * BLOCK_SIZE + 17)
    dropbox_server.rules = rules
    kept: list[UploadSession | None] = []
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, route=FINISH, times=None))
    with pytest.raises(UnreachableError):
        await upload(client.retrying_for(0.1), Bytes(data), COMMIT, on_session=keep_in(kept))
    dropbox_server.faults.clear()
    dropbox_server.log.clear()
    await upload(client, Bytes(data), COMMIT, session=kept[noted])
    assert stored(account) == data
    assert len(dropbox_server.log.of(APPEND)) == 4 - noted, "what was noted is not sent again"
    names = [entry.name for entry in (await client.list_folder(FOLDER)).entries]
    assert names == ["backup.tar"]


async def test_other_content_that_arrived_unnoticed_is_sent_anew(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    """A power cut takes the note of a chunk, and what was drawn at random to encrypt it."""
    before = some_bytes(3 * BLOCK_SIZE + 17)
    after = before[: 2 * BLOCK_SIZE] + some_bytes(BLOCK_SIZE + 17, seed=2)
    kept: list[UploadSession | None] = []
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, route=FINISH, times=None))
    with pytest.raises(UnreachableError):
        await upload(client.retrying_for(0.1), Bytes(before), COMMIT, on_session=keep_in(kept))
    dropbox_server.faults.clear()
    first_noted = next(one for one in kept if one is not None and one.arrived == 1)
    await upload(client, Bytes(after), COMMIT, session=replace(first_noted, ahead={}))
    assert stored(account) == after
    names = [entry.name for entry in (await client.list_folder(FOLDER)).entries]
    assert names == ["backup.tar"]


async def test_the_closing_chunk_travels_with_the_others_and_arrives_after_them(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.3)
    data = some_bytes(3 * BLOCK_SIZE + 100_000)
    await upload(client, Bytes(data), COMMIT)
    *others, closing = sorted(dropbox_server.log.of(APPEND), key=lambda one: one.bytes_received)[
        ::-1
    ]
    acknowledged = max(one.time + one.duration for one in others)
    assert closing.time < acknowledged
    assert closing.time + closing.duration >= acknowledged + 0.3
    assert dropbox_server.log.violations == []
    assert stored(account) == data


async def test_a_dropbox_that_closes_as_soon_as_the_closing_chunk_begins_costs_one_session(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    data = some_bytes(3 * BLOCK_SIZE)
    pool = UploadPool()
    lane, other = Lane(pool), Lane(pool)
    body = '{"error_summary": "closed/", "error": {".tag": "closed"}}'
    dropbox_server.faults.add(Fault(FaultKind.STATUS, route=APPEND, status=409, body=body))
    await upload(client, Bytes(data), COMMIT, lane=lane)
    assert stored(account) == data
    dropbox_server.log.clear()
    await upload(client, Bytes(data), UploadCommit("/again.tar"), lane=other)
    *others, closing = dropbox_server.log.of(APPEND)
    assert closing.time >= max(one.time + one.duration for one in others)


async def test_the_session_of_the_next_upload_is_there_before_it_begins(
    client: DropboxClient, account: DropboxAccount, dropbox_server: DropboxServer
) -> None:
    dropbox_server.line = Line(server_time=0.05)
    lane = Lane(UploadPool())
    await lane.pool.prepare(client)
    await lane.pool.prepare(client)
    assert dropbox_server.log.count(START) == 1
    for n in range(2):
        dropbox_server.log.clear()
        data = some_bytes(2 * BLOCK_SIZE, seed=n)
        await upload(client, Bytes(data), UploadCommit(f"/{n}.tar"), lane=lane)
        assert dropbox_server.log.records[0].route == APPEND
        assert dropbox_server.log.count(START) == 1
        assert account.files.read(f"/{n}.tar") == data


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.STALL, FaultKind.LOST_RESPONSE])
async def test_preparing_the_next_upload_never_holds_up_or_spoils_this_one(
    client: DropboxClient,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
    kind: FaultKind,
) -> None:
    data = some_bytes(2 * BLOCK_SIZE)
    dropbox_server.faults.add(Fault(kind, route=START, status=503, seconds=50, skip=1, times=None))
    async with asyncio.timeout(25):  # half of what the request stands still
        await upload(client, Bytes(data), COMMIT)
    assert stored(account) == data


async def test_a_rate_limit_makes_fewer_chunks_travel_at_once(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    lane = Lane(UploadPool())
    before = lane.pool.concurrency.allowed
    dropbox_server.faults.add(Fault(FaultKind.STATUS, route=APPEND, status=429, retry_after=0))
    await upload(client, Bytes(some_bytes(2 * BLOCK_SIZE)), COMMIT, lane=lane)
    assert lane.pool.concurrency.allowed == before // 2


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 40))
async def test_chunks_are_the_stream_cut_in_even_pieces(pieces: list[bytes], size: int) -> None:
    class Pieces(Source):
        size = sum(map(len, pieces))

        async def read(self) -> AsyncGenerator[bytes]:
            for piece in pieces:
                yield piece

    chunks = [bytes(chunk) async for chunk in Pieces().chunks(size)]
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert not chunks or 0 < len(chunks[-1]) <= size
