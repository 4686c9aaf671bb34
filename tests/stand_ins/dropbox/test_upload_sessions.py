"""Upload sessions keep the rules in the SDK's docstrings."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.stand_ins.dropbox.conftest import BLOCK, MIB, Api
from tests.support.dropbox_server import DropboxServer, Rules, hash_bytes, receiving

DATA = random.Random(1).randbytes(3 * BLOCK + 5)
WEEK = 7 * 24 * 3600


def blocks() -> list[tuple[int, bytes]]:
    return [(offset, DATA[offset : offset + BLOCK]) for offset in range(0, len(DATA), BLOCK)]


async def send_all(api: Api, session: str) -> None:
    """Send all blocks of a concurrent session at once, then the closing one."""
    *first, (offset, last) = blocks()
    answers = await asyncio.gather(*(api.append(session, at, data) for at, data in reversed(first)))
    assert [answer.status for answer in answers] == [200] * len(first)
    assert (await api.append(session, offset, last, close=True)).status == 200


async def test_sequential_session_saves_what_was_appended(server: DropboxServer, api: Api) -> None:
    session = await api.start(data=DATA[:BLOCK])
    appended = await api.append(session, BLOCK, DATA[BLOCK : 2 * BLOCK])
    assert (appended.status, appended.json) == (200, None)
    answer = await api.finish(session, 2 * BLOCK, "/a/b.tar", DATA[2 * BLOCK :])
    assert answer.json["content_hash"] == hash_bytes(DATA)
    assert answer.json["size"] == len(DATA)
    assert ".tag" not in answer.json
    assert server.account.files.read("/a/b.tar") == DATA


async def test_sequential_session_hashes_right_when_blocks_are_not_aligned(
    server: DropboxServer, api: Api
) -> None:
    session = await api.start(data=DATA[:100])
    assert (await api.append(session, 100, DATA[100 : BLOCK + 7])).status == 200
    answer = await api.finish(session, BLOCK + 7, "/x", DATA[BLOCK + 7 :])
    assert answer.json["content_hash"] == hash_bytes(DATA)
    assert len(server.log.violations) == 2
    assert "no multiple of 4 MiB" in server.log.violations[0]


async def test_wrong_offset_is_answered_with_the_right_one(api: Api) -> None:
    session = await api.start(data=b"12345")
    answer = await api.append(session, 3, b"45678")
    assert (answer.status, answer.tags) == (409, "incorrect_offset")
    assert answer.json["error"] == {".tag": "incorrect_offset", "correct_offset": 5}
    finish = await api.finish(session, 9, "/x")
    assert finish.tags == "lookup_failed/incorrect_offset"
    assert finish.json["error"]["lookup_failed"]["correct_offset"] == 5


async def test_closed_sequential_session_takes_no_more_data_but_can_be_finished(api: Api) -> None:
    session = await api.start(data=b"12345")
    assert (await api.append(session, 5, b"6", close=True)).status == 200
    assert (await api.append(session, 6, b"7")).tags == "closed"
    assert (await api.finish(session, 6, "/x", b"7")).tags == "lookup_failed/closed"
    assert (await api.finish(session, 6, "/x")).status == 200


async def test_finished_session_is_gone(api: Api) -> None:
    session = await api.start(data=b"1")
    assert (await api.finish(session, 1, "/x")).status == 200
    assert (await api.finish(session, 1, "/x")).tags == "lookup_failed/not_found"
    assert (await api.append(session, 1, b"2")).tags == "not_found"


@pytest.mark.parametrize(("age", "status"), [(WEEK - 60, 200), (WEEK + 1, 409)])
async def test_session_lives_seven_days(
    server: DropboxServer, api: Api, age: int, status: int
) -> None:
    session = await api.start(data=b"1")
    server.clock.advance(age)
    api.tokens = server.issue_tokens()
    answer = await api.append(session, 1, b"2")
    assert answer.status == status
    if status == 409:
        assert answer.tags == "not_found"


async def test_session_of_another_user_is_not_found(server: DropboxServer, api: Api) -> None:
    session = await api.start(data=b"1")
    other = server.add_account(type(server.account)(email="eve@example.com"))
    api.tokens = server.issue_tokens(account=other)
    assert (await api.append(session, 1, b"2")).tags == "not_found"


async def test_concurrent_session_takes_blocks_in_any_order(
    server: DropboxServer, api: Api
) -> None:
    session = await api.start(concurrent=True)
    await send_all(api, session)
    answer = await api.finish(session, len(DATA), "/x")
    assert answer.json["content_hash"] == hash_bytes(DATA)
    assert server.account.files.read("/x") == DATA
    assert server.log.violations == []


@pytest.mark.parametrize(
    ("fields", "data", "tags"),
    [
        ({}, b"data", "concurrent_session_data_not_allowed"),
        ({"close": True}, b"", "concurrent_session_close_not_allowed"),
    ],
)
async def test_concurrent_start_takes_neither_data_nor_close(
    server: DropboxServer, api: Api, fields: dict[str, object], data: bytes, tags: str
) -> None:
    argument = {"session_type": "concurrent", **fields}
    answer = await api.upload("files/upload_session/start", argument, data)
    assert (answer.status, answer.tags) == (409, tags)
    assert server.sessions.open == {}


@pytest.mark.parametrize(
    ("offset", "size", "tags"),
    [
        (100, BLOCK, "concurrent_session_invalid_offset"),
        (0, BLOCK - 1, "concurrent_session_invalid_data_size"),
        (0, 5, "concurrent_session_invalid_data_size"),
    ],
)
async def test_concurrent_blocks_are_multiples_of_4_mib(
    api: Api, offset: int, size: int, tags: str
) -> None:
    session = await api.start(concurrent=True)
    assert (await api.append(session, offset, bytes(size))).tags == tags


async def test_concurrent_finish_needs_close_and_every_block_and_the_total(api: Api) -> None:
    session = await api.start(concurrent=True)
    for offset, data in (blocks()[0], blocks()[2]):
        assert (await api.append(session, offset, data)).status == 200
    finish = api.finish
    assert (await finish(session, len(DATA), "/x")).tags == "concurrent_session_not_closed"
    offset, data = blocks()[3]
    assert (await api.append(session, offset, data, close=True)).status == 200
    assert (await finish(session, len(DATA), "/x")).tags == "concurrent_session_missing_data"
    refused = await finish(session, len(DATA), "/x", b"data")
    assert refused.tags == "concurrent_session_data_not_allowed"


async def test_concurrent_finish_checks_the_total(api: Api) -> None:
    session = await api.start(concurrent=True)
    await send_all(api, session)
    answer = await api.finish(session, len(DATA) - 1, "/x")
    assert answer.tags == "lookup_failed/incorrect_offset"
    assert answer.json["error"]["lookup_failed"]["correct_offset"] == len(DATA)


async def test_no_block_after_the_closing_one(api: Api) -> None:
    session = await api.start(concurrent=True)
    assert (await api.append(session, BLOCK, b"end", close=True)).status == 200
    assert (await api.append(session, 0, DATA[:BLOCK])).tags == "closed"


async def test_identical_block_may_be_sent_again(server: DropboxServer, api: Api) -> None:
    session = await api.start(concurrent=True)
    for _ in range(2):
        assert (await api.append(session, 0, DATA[:BLOCK])).status == 200
    await api.append(session, BLOCK, b"end", close=True)
    answer = await api.finish(session, BLOCK + 3, "/x")
    assert answer.json["content_hash"] == hash_bytes(DATA[:BLOCK] + b"end")
    assert answer.json["size"] == BLOCK + 3


async def test_both_readings_of_a_block_sent_again_can_be_chosen(
    server: DropboxServer, api: Api
) -> None:
    session = await api.start(concurrent=True)
    await api.append(session, 0, DATA[:BLOCK])
    server.rules = Rules(resend_in_session="refuse")
    refused = await api.append(session, 0, DATA[:BLOCK])
    assert refused.tags == "concurrent_session_invalid_offset"
    server.rules = Rules(resend_after_close="accept")
    for _ in range(2):
        assert (await api.append(session, BLOCK, b"end", close=True)).status == 200
    assert (await api.append(session, BLOCK, b"END", close=True)).status == 409
    assert (await api.append(session, 2 * BLOCK, b"more", close=True)).tags == "closed"
    assert (await api.finish(session, BLOCK + 3, "/x")).status == 200


@pytest.mark.parametrize("size", [BLOCK, 2 * BLOCK])
async def test_overlapping_block_with_other_bytes_is_refused_and_damages_nothing(
    server: DropboxServer, api: Api, size: int
) -> None:
    session = await api.start(concurrent=True)
    assert (await api.append(session, 0, DATA[: 2 * BLOCK])).status == 200
    assert (await api.append(session, BLOCK, bytes(size))).status == 409
    await api.append(session, 2 * BLOCK, b"", close=True)
    await api.finish(session, 2 * BLOCK, "/x")
    assert server.account.files.read("/x") == DATA[: 2 * BLOCK]


async def test_chunked_body_without_a_length_is_taken_too(server: DropboxServer, api: Api) -> None:
    async def body() -> object:
        for start in range(0, BLOCK, MIB):
            yield DATA[start : start + MIB]

    session = await api.start(concurrent=True)
    assert (await api.append(session, 0, body())).status == 200
    await api.append(session, BLOCK, b"", close=True)
    assert (await api.finish(session, BLOCK, "/x")).status == 200
    assert server.account.files.read("/x") == DATA[:BLOCK]


@pytest.mark.parametrize("concurrent", [False, True])
async def test_each_call_checks_its_content_hash(
    server: DropboxServer, api: Api, *, concurrent: bool
) -> None:
    wrong, right = hash_bytes(b"other"), hash_bytes(DATA[:BLOCK])
    kind: dict[str, object] = {"session_type": "concurrent"} if concurrent else {}
    start = await api.upload("files/upload_session/start", {**kind, "content_hash": wrong})
    assert start.tags == "content_hash_mismatch"
    session = await api.start(concurrent=concurrent, content_hash=hash_bytes(b""))
    block = DATA[:BLOCK]
    assert (await api.append(session, 0, block, content_hash=wrong)).tags == "content_hash_mismatch"
    assert (await api.append(session, 0, block, close=True, content_hash=right)).status == 200
    finish = await api.finish(session, BLOCK, "/x", content_hash=wrong)
    assert finish.tags == "content_hash_mismatch"
    finish = await api.finish(session, BLOCK, "/x", content_hash=hash_bytes(b""))
    assert finish.json["content_hash"] == right


async def test_malformed_content_hash_is_bad_input(api: Api) -> None:
    answer = await api.upload("files/upload_session/start", {"content_hash": "abc"})
    assert answer.status == 400
    assert answer.text.startswith(
        'Error in call to API function "files/upload_session/start": HTTP header'
        ' "Dropbox-API-Arg": content_hash:'
    )


async def test_refused_commit_keeps_the_data_of_the_session(
    server: DropboxServer, api: Api
) -> None:
    server.account.files.put("/x", b"other")
    session = await api.start(data=b"123")
    refused = await api.finish(session, 3, "/x", b"456")
    assert refused.tags == "path/conflict/file"
    stale = await api.finish(session, 3, "/y", b"456")
    assert stale.json["error"]["lookup_failed"]["correct_offset"] == 6
    assert (await api.finish(session, 6, "/y")).status == 200
    assert server.account.files.read("/y") == b"123456"


async def test_sessions_survive_a_restart(
    server: DropboxServer, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = await api.start(concurrent=True)
    for offset, data in blocks()[:2]:
        await api.append(session, offset, data)
    await server.stop()
    async with DropboxServer(server.data_dir, server.port, tls_dir=server.ca_file.parent) as again:
        api.server = again
        for offset, data in blocks()[2:]:
            await api.append(session, offset, data, close=offset + BLOCK > len(DATA))
        answer = await api.finish(session, len(DATA), "/x")
        assert answer.json["content_hash"] == hash_bytes(DATA)


@pytest.mark.parametrize("route", ["upload", "upload_session/start"])
async def test_one_request_carries_at_most_150_mib(
    server: DropboxServer, api: Api, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert receiving.MAX_PAYLOAD == 150 * MIB
    monkeypatch.setattr(receiving, "MAX_PAYLOAD", MIB)  # as much takes a second
    argument = {"path": "/x"} if route == "upload" else {}
    answer = await api.upload(f"files/{route}", argument, bytes(MIB + 1))
    assert answer.tags == "payload_too_large"
    assert server.sessions.open == {}
    assert (await api.upload(f"files/{route}", argument, bytes(MIB))).status == 200
