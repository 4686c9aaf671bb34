"""`upload_session/finish_batch_v2`: many files in one call, each with an answer of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import dropbox
from dropbox import files
from dropbox.content_hash import content_hash

from tests.stand_ins.dropbox.conftest import BLOCK, Api, Sdk
from tests.support.dropbox_server import DropboxServer, Rules, hash_bytes

BATCH = "files/upload_session/finish_batch_v2"


def entry(session: str, size: int, path: str, **fields: object) -> dict[str, object]:
    cursor = {"session_id": session, "offset": size}
    return {"cursor": cursor, "commit": {"path": path, **fields}}


async def finish(api: Api, *entries: dict[str, object]) -> list[Any]:
    answer = await api.rpc(BATCH, {"entries": entries})
    assert answer.status == 200, answer.text
    results = answer.json["entries"]
    assert isinstance(results, list)
    return results


def tags(result: Any) -> list[str]:
    found = []
    while isinstance(result, dict) and ".tag" in result:
        found.append(result[".tag"])
        result = result.get(result[".tag"])
    return found


async def test_sdk_uploads_many_files_and_finishes_them_in_one_call(
    server: DropboxServer, sdk: Sdk
) -> None:
    data = {f"/Backups/{number}.tar": bytes([number]) * (number * 1000) for number in range(5)}

    def upload(client: dropbox.Dropbox) -> Any:
        entries = []
        for path, content in data.items():
            started = client.files_upload_session_start(
                content, close=True, content_hash=content_hash(content)
            )
            cursor = files.UploadSessionCursor(started.session_id, len(content))
            entries.append(files.UploadSessionFinishArg(cursor, files.CommitInfo(path)))
        return client.files_upload_session_finish_batch_v2(entries)

    result = await sdk(upload)
    for one, (path, content) in zip(result.entries, data.items(), strict=True):
        metadata = one.get_success()
        assert metadata.path_display == path
        assert metadata.content_hash == content_hash(content)
        assert server.account.files.read(path) == content
    assert server.sessions.open == {}


async def test_sdk_understands_why_an_entry_failed(server: DropboxServer, sdk: Sdk) -> None:
    server.account.files.put("/taken", b"other")

    def upload(client: dropbox.Dropbox) -> Any:
        started = client.files_upload_session_start(b"new", close=True)
        gone = files.UploadSessionCursor("pid_upload_session:none", 3)
        cursor = files.UploadSessionCursor(started.session_id, 3)
        commit = files.CommitInfo("/taken")
        return client.files_upload_session_finish_batch_v2(
            [
                files.UploadSessionFinishArg(gone, commit),
                files.UploadSessionFinishArg(cursor, commit),
            ]
        )

    lost, refused = (await sdk(upload)).entries
    assert lost.get_failure().get_lookup_failed().is_not_found()
    assert refused.get_failure().get_path().get_conflict().is_file()


async def test_one_failure_does_not_touch_the_others(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/taken", b"other")
    one, two, three, four = [await api.start(data=b"123", close=True) for _ in range(4)]
    results = await finish(
        api,
        entry(one, 3, "/taken"),
        entry(two, 4, "/offset"),
        entry(three, 3, "/good"),
        entry("pid_upload_session:none", 3, "/gone"),
        entry(four, 3, "/a:b\\c"),
        entry(three, 3, "/again"),
    )
    assert [tags(result) for result in results] == [
        ["failure", "path", "conflict", "file"],
        ["failure", "lookup_failed", "incorrect_offset"],
        ["success"],
        ["failure", "lookup_failed", "not_found"],
        ["failure", "path", "malformed_path"],
        ["failure", "lookup_failed", "not_found"],
    ]
    assert results[1]["failure"]["lookup_failed"]["correct_offset"] == 3
    assert server.account.files.read("/good") == b"123"
    assert server.account.files.read("/taken") == b"other"
    # A refused entry keeps its data, as after a refused `finish`.
    [result] = await finish(api, entry(one, 3, "/elsewhere"))
    assert tags(result) == ["success"]


async def test_a_session_must_be_closed_and_whole(api: Api) -> None:
    sequential = await api.start(data=b"123")
    open_ = await api.start(concurrent=True)
    await api.append(open_, 0, bytes(BLOCK))
    gap = await api.start(concurrent=True)
    await api.append(gap, BLOCK, b"end", close=True)
    whole = await api.start(concurrent=True)
    await api.append(whole, 0, b"end", close=True)
    results = await finish(
        api,
        entry(sequential, 3, "/1"),
        entry(open_, BLOCK, "/2"),
        entry(gap, BLOCK + 3, "/3"),
        entry(whole, 3, "/4"),
    )
    assert [tags(result) for result in results] == [
        ["failure", "lookup_failed", "not_closed"],
        ["failure", "concurrent_session_not_closed"],
        ["failure", "concurrent_session_missing_data"],
        ["success"],
    ]


async def test_the_content_hash_of_an_entry_is_that_of_its_empty_body(api: Api) -> None:
    session = await api.start(data=b"123", close=True)
    wrong = {**entry(session, 3, "/x"), "content_hash": hash_bytes(b"123")}
    [result] = await finish(api, wrong)
    assert tags(result) == ["failure", "content_hash_mismatch"]
    [result] = await finish(api, {**wrong, "content_hash": hash_bytes(b"")})
    assert tags(result) == ["success"]
    assert result["content_hash"] == hash_bytes(b"123")


async def test_a_full_account_takes_what_fits(server: DropboxServer, api: Api) -> None:
    server.account.quota = 5
    sessions = [await api.start(data=b"123", close=True) for _ in range(2)]
    results = await finish(api, *(entry(one, 3, f"/{n}") for n, one in enumerate(sessions)))
    assert [tags(result) for result in results] == [
        ["success"],
        ["failure", "path", "insufficient_space"],
    ]


async def test_a_batch_takes_the_lock_once_and_fails_by_entry_when_another_has_it(
    server: DropboxServer, api: Api
) -> None:
    sessions = [await api.start(data=b"123", close=True) for _ in range(6)]
    entries = [entry(one, 3, f"/{n}") for n, one in enumerate(sessions)]
    server.rules = Rules(write_lock=True, write_duration=0.2)
    first, second = await asyncio.gather(finish(api, *entries[:3]), finish(api, *entries[3:]))
    done, refused = sorted((first, second), key=lambda results: tags(results[0]), reverse=True)
    assert [tags(result) for result in done] == [["success"]] * 3
    assert [tags(result) for result in refused] == [["failure", "too_many_write_operations"]] * 3
    late = entries[3:] if refused is second else entries[:3]
    assert [tags(result) for result in await finish(api, *late)] == [["success"]] * 3
    took = [record.duration for record in server.log.of(BATCH)]
    assert max(took) < 0.6


async def test_starting_closed_sessions_takes_no_lock(server: DropboxServer, api: Api) -> None:
    server.rules = Rules(write_lock=True, write_duration=0.2)
    await asyncio.gather(*(api.start(data=b"123", close=True) for _ in range(8)))
    assert [record.status for record in server.log.records] == [200] * 8


async def test_at_most_a_thousand_entries(api: Api) -> None:
    many = [entry("pid_upload_session:none", 0, "/x")] * 1001
    answer = await api.rpc(BATCH, {"entries": many})
    assert answer.status == 400
    assert len(await finish(api, *many[:1000])) == 1000
