"""Faults do what they say, to the requests they name."""

from __future__ import annotations

import asyncio
import json
import random
import time

import aiohttp
import pytest

from tests.stand_ins.dropbox.conftest import BLOCK, MIB, Api
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind, Rules, hash_bytes

DATA = random.Random(3).randbytes(3 * MIB)
UPLOAD = "files/upload"


async def upload(api: Api, path: str = "/x", data: bytes = DATA) -> int:
    return (await api.upload(UPLOAD, {"path": path}, data)).status


async def test_fault_hits_only_its_route_and_as_often_as_it_says(
    server: DropboxServer, api: Api
) -> None:
    fault = server.faults.add(
        Fault(FaultKind.STATUS, "files/get_*, files/list_folder", status=500, skip=1, times=2)
    )
    found = [(await api.rpc("files/get_metadata", {"path": "/no"})).status for _ in range(3)]
    found.append((await api.rpc("files/list_folder", {"path": ""})).status)
    assert found == [409, 500, 500, 200]
    assert (await api.rpc("users/get_current_account")).status == 200
    assert (fault.matched, fault.applied) == (4, 2)


async def test_chance_is_repeatable(server: DropboxServer, api: Api) -> None:
    async def run(seed: int) -> list[int]:
        server.faults.clear()
        server.faults.add(
            Fault(FaultKind.STATUS, times=None, probability=0.4, seed=seed, status=502)
        )
        return [(await api.rpc("users/get_space_usage")).status for _ in range(20)]

    first = await run(1)
    assert first == await run(1)
    assert first != await run(2)
    assert 3 < first.count(502) < 14


async def test_rate_limit_in_its_shapes(server: DropboxServer, api: Api) -> None:
    server.faults.add(
        Fault(FaultKind.STATUS, status=429, retry_after=7),
        Fault(FaultKind.STATUS, status=429, skip=1, reason="too_many_write_operations"),
        Fault(FaultKind.STATUS, status=429, skip=2, plain=True),
    )
    answer = await api.rpc("users/get_space_usage")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json["error"] == {"reason": {".tag": "too_many_requests"}, "retry_after": 7}
    answer = await api.rpc("users/get_space_usage")
    assert answer.json["error"]["reason"] == {".tag": "too_many_write_operations"}
    assert answer.tags == "too_many_write_operations"
    answer = await api.rpc("users/get_space_usage")
    assert (answer.status, answer.text) == (429, "too_many_requests")
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_server_error_is_html(server: DropboxServer, api: Api) -> None:
    server.faults.add(Fault(FaultKind.STATUS, status=503, headers={"Retry-After": "3"}))
    answer = await api.rpc("users/get_space_usage")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert answer.text.startswith("<!DOCTYPE html>")


async def test_any_body_and_any_route_error(server: DropboxServer, api: Api) -> None:
    server.faults.add(
        Fault(FaultKind.STATUS, status=418, body="short", content_type="text/plain"),
        Fault(
            FaultKind.STATUS,
            skip=1,
            status=409,
            error={".tag": "path", "path": {".tag": "restricted_content"}},
        ),
    )
    answer = await api.rpc("files/get_metadata", {"path": "/x"})
    assert (answer.status, answer.text) == (418, "short")
    answer = await api.rpc("files/get_metadata", {"path": "/x"})
    assert (answer.status, answer.tags) == (409, "path/restricted_content")


@pytest.mark.parametrize(
    ("kind", "processed"),
    [("reset_before_body", False), ("reset_in_body", False), ("lost_response", True)],
)
async def test_connection_dies_before_or_after_the_work(
    server: DropboxServer, api: Api, kind: str, *, processed: bool
) -> None:
    server.faults.add(Fault(FaultKind(kind), UPLOAD, after_bytes=MIB))
    with pytest.raises(aiohttp.ClientError):
        await upload(api)
    assert server.account.files.exists("/x") == processed
    (record,) = server.log.of(UPLOAD)
    assert (record.status, record.processed, record.faults) == (0, processed, [kind])
    assert server.sessions.open == {}
    assert await upload(api) == 200


async def test_bytes_before_a_reset_are_counted(server: DropboxServer, api: Api) -> None:
    server.faults.add(Fault(FaultKind.RESET_IN_BODY, UPLOAD, after_bytes=MIB))
    with pytest.raises(aiohttp.ClientError):
        await upload(api)
    assert MIB <= server.log.bytes_received(UPLOAD) < 2 * MIB


async def test_lost_append_is_found_again_by_its_offset(server: DropboxServer, api: Api) -> None:
    session = await api.start(data=b"12345")
    server.faults.add(Fault(FaultKind.LOST_RESPONSE, "*/append_v2"))
    with pytest.raises(aiohttp.ClientError):
        await api.append(session, 5, b"678")
    answer = await api.append(session, 5, b"678")
    assert answer.json["error"]["correct_offset"] == 8
    assert (await api.finish(session, 8, "/x")).json["content_hash"] == hash_bytes(b"12345678")


async def test_lost_finish_has_saved_the_file_and_ended_the_session(
    server: DropboxServer, api: Api
) -> None:
    session = await api.start(data=b"12345")
    server.faults.add(Fault(FaultKind.LOST_RESPONSE, "*/finish"))
    with pytest.raises(aiohttp.ClientError):
        await api.finish(session, 5, "/x")
    assert server.account.files.read("/x") == b"12345"
    assert (await api.finish(session, 5, "/x")).tags == "lookup_failed/not_found"


async def test_corrupt_block_is_refused_by_its_hash_and_can_be_sent_again(
    server: DropboxServer, api: Api
) -> None:
    session = await api.start(concurrent=True)
    block = bytes(BLOCK)
    server.faults.add(Fault(FaultKind.CORRUPT_UPLOAD, "*/append_v2", after_bytes=3 * MIB + 1))
    refused = await api.append(session, 0, block, content_hash=hash_bytes(block))
    assert refused.tags == "content_hash_mismatch"
    assert (await api.append(session, 0, block, content_hash=hash_bytes(block))).status == 200
    await api.append(session, BLOCK, b"", close=True)
    answer = await api.finish(session, BLOCK, "/x")
    assert answer.json["content_hash"] == hash_bytes(block)


async def test_corrupt_block_without_a_hash_is_saved_as_it_arrived(
    server: DropboxServer, api: Api
) -> None:
    server.faults.add(Fault(FaultKind.CORRUPT_UPLOAD, UPLOAD, after_bytes=100))
    answer = await api.upload(UPLOAD, {"path": "/x"}, DATA)
    assert answer.json["content_hash"] != hash_bytes(DATA)
    found = server.account.files.read("/x")
    differing = [at for at in range(len(DATA)) if found[at] != DATA[at]]
    assert differing == [100]


async def test_corrupt_download_differs_in_one_byte(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/x", DATA)
    server.faults.add(Fault(FaultKind.CORRUPT_DOWNLOAD, after_bytes=2 * MIB))
    body = (await api.download({"path": "/x"})).body
    assert body[: 2 * MIB] == DATA[: 2 * MIB]
    assert body[2 * MIB] == DATA[2 * MIB] ^ 0xFF
    assert body[2 * MIB + 1 :] == DATA[2 * MIB + 1 :]


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE_DOWNLOAD, FaultKind.RESET_IN_RESPONSE])
async def test_download_ends_early(server: DropboxServer, api: Api, kind: FaultKind) -> None:
    server.account.files.put("/x", DATA)
    server.faults.add(Fault(kind, "files/download", after_bytes=MIB + 5))
    with pytest.raises(aiohttp.ClientError):
        await api.download({"path": "/x"})
    assert server.log.of("files/download")[0].bytes_sent == MIB + 5


async def test_json_answer_breaks_off(server: DropboxServer, api: Api) -> None:
    server.faults.add(Fault(FaultKind.RESET_IN_RESPONSE, after_bytes=10))
    with pytest.raises(aiohttp.ClientError):
        await api.rpc("users/get_current_account")
    assert (await api.rpc("users/get_current_account")).status == 200


async def test_garbage_is_a_success_that_no_one_can_read(server: DropboxServer, api: Api) -> None:
    server.faults.add(Fault(FaultKind.GARBAGE))
    answer = await api.rpc("users/get_current_account")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_stall(server: DropboxServer, api: Api, when: str) -> None:
    server.faults.add(Fault(FaultKind.STALL, UPLOAD, seconds=0.2, when=when, after_bytes=MIB))
    started = time.monotonic()
    waiting = asyncio.create_task(upload(api))
    there_before_the_answer = False
    while not waiting.done():
        await asyncio.sleep(0.02)
        stalled = time.monotonic() - started < 0.2
        there_before_the_answer |= stalled and server.account.files.exists("/x")
    assert await waiting == 200
    assert time.monotonic() - started >= 0.2
    if when != "after":
        assert not there_before_the_answer


async def test_account_faults_answer_as_dropbox_would(server: DropboxServer, api: Api) -> None:
    for kind, tag in (
        (FaultKind.EXPIRE_TOKEN, "expired_access_token"),
        (FaultKind.REVOKE_GRANTS, "invalid_access_token"),
        (FaultKind.SUSPEND_USER, "user_suspended"),
    ):
        api.tokens = server.issue_tokens()
        server.faults.add(Fault(kind, UPLOAD))
        answer = await api.upload(UPLOAD, {"path": "/x"}, b"1")
        assert (answer.status, answer.tags) == (401, tag)
        assert (await api.rpc("users/get_current_account")).tags == tag


async def test_fault_on_the_token_endpoint(server: DropboxServer, api: Api) -> None:
    body = '{"error": "server_error"}'
    server.faults.add(
        Fault(
            FaultKind.STATUS,
            "oauth2/token",
            status=500,
            body=body,
            content_type="application/json",
        )
    )
    async with api.session.post(f"{server.url}/oauth2/token", data={"grant_type": "x"}) as answer:
        assert (answer.status, await answer.text()) == (500, body)


async def test_writes_that_overlap_are_refused_on_request(server: DropboxServer, api: Api) -> None:
    server.rules = Rules(write_lock=True, write_duration=0.1)
    statuses = await asyncio.gather(*(upload(api, f"/{name}", b"1") for name in "abc"))
    assert sorted(statuses) == [200, 429, 429]
    server.rules = Rules(write_duration=0.05)
    statuses = await asyncio.gather(*(upload(api, f"/{name}", b"1") for name in "def"))
    assert statuses == [200, 200, 200]
    session = await api.start(data=b"1")
    server.rules = Rules(write_lock=True, write_duration=0.1)
    finish, removal = await asyncio.gather(
        api.finish(session, 1, "/g"), api.rpc("files/delete_v2", {"path": "/d"})
    )
    refused, done = sorted((finish, removal), key=lambda answer: -answer.status)
    assert done.status == 200
    assert refused.tags == "too_many_write_operations"
    assert "Retry-After" in refused.headers
    server.rules = Rules()
    if finish is refused:
        assert (await api.finish(session, 1, "/g")).status == 200


async def test_an_answer_in_two_pieces_is_whole_to_who_reads_to_its_end(
    server: DropboxServer, api: Api
) -> None:
    server.faults.add(
        Fault(FaultKind.SPLIT_RESPONSE, "files/get_metadata", after_bytes=20, seconds=0.2)
    )
    url = f"{server.url}/2/files/get_metadata"
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    async with api.session.post(url, data=b'{"path": "/no"}', headers=headers) as answer:
        assert answer.status == 409
        first = await answer.content.readany()
        assert len(first) == 20
        whole = json.loads(first + await answer.content.read())
    assert whole["error"] == {".tag": "path", "path": {".tag": "not_found"}}


async def test_a_proxy_may_strip_the_range(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/x", DATA)
    server.faults.add(Fault(FaultKind.IGNORE_RANGE, "files/download"))
    answer = await api.download({"path": "/x"}, Range="bytes=5-9")
    assert (answer.status, answer.body) == (200, DATA)
    answer = await api.download({"path": "/x"}, Range="bytes=5-9")
    assert (answer.status, answer.body) == (206, DATA[5:10])


@pytest.mark.parametrize("kind", [FaultKind.REPLACE_FILE, FaultKind.DELETE_FILE])
async def test_a_file_that_changes_while_it_is_read_is_sent_as_it_was(
    server: DropboxServer, api: Api, kind: FaultKind
) -> None:
    tree = server.account.files
    rev = tree.put("/x", DATA).rev
    server.faults.add(Fault(kind, "files/download"))
    assert (await api.download({"path": "/x"})).body == DATA
    there = (await api.rpc("files/get_metadata", {"path": "/x"})).json
    assert there.get("rev") != rev
    assert (await api.download({"path": f"rev:{rev}"})).body == DATA, "the revision is kept"


@pytest.mark.parametrize("value", ["1e12", "-5", "soon", "nan"])
async def test_retry_after_can_be_anything(server: DropboxServer, api: Api, value: str) -> None:
    server.faults.add(Fault(FaultKind.STATUS, status=429, headers={"Retry-After": value}))
    answer = await api.rpc("users/get_current_account")
    assert (answer.status, answer.headers["Retry-After"]) == (429, value)


async def test_client_that_goes_away_leaves_nothing_behind(server: DropboxServer, api: Api) -> None:
    async def body() -> object:
        yield DATA
        raise RuntimeError("the client died")

    session = await api.start(data=b"12")
    with pytest.raises((RuntimeError, aiohttp.ClientError)):
        await api.append(session, 2, body())
    with pytest.raises((RuntimeError, aiohttp.ClientError)):
        await api.upload(UPLOAD, {"path": "/y"}, body())
    assert (await api.finish(session, 2, "/x")).json["size"] == 2
    assert server.account.files.read("/x") == b"12"
    async with asyncio.timeout(5):
        while server.sessions.open:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    assert not server.account.files.exists("/y")


def test_fault_of_unknown_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fields"):
        Fault.from_json({"kind": "status", "colour": "red"})
    with pytest.raises(ValueError, match="when must be"):
        Fault(FaultKind.STALL, when="sometimes")
