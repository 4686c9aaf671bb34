"""What a commit does with what is there already."""

from __future__ import annotations

import pytest

from tests.stand_ins.dropbox.conftest import Answer, Api
from tests.support.dropbox_server import (
    DropboxAccount,
    DropboxApp,
    DropboxServer,
    StoredFile,
    hash_bytes,
)


async def upload(api: Api, path: str, data: bytes = b"new", **fields: object) -> Answer:
    return await api.upload("files/upload", {"path": path, **fields}, data)


@pytest.fixture
def old(server: DropboxServer) -> StoredFile:
    return server.account.files.put("/Dir/File.tar", b"old")


async def test_upload_makes_parents_and_keeps_the_given_case(
    server: DropboxServer, api: Api
) -> None:
    answer = await upload(api, "/Home/Backups/A.tar")
    assert answer.json["path_display"] == "/Home/Backups/A.tar"
    assert answer.json["path_lower"] == "/home/backups/a.tar"
    again = await upload(api, "/HOME/backups/B.tar")
    assert again.json["path_display"] == "/Home/Backups/B.tar"
    assert [file.path for file in server.account.files.list("/home")] == [
        "/Home/Backups/A.tar",
        "/Home/Backups/B.tar",
    ]


async def test_add_refuses_other_content(server: DropboxServer, api: Api, old: StoredFile) -> None:
    answer = await upload(api, "/dir/file.TAR")
    assert (answer.status, answer.tags) == (409, "path/conflict/file")
    assert set(answer.json["error"]) == {".tag", "reason", "upload_session_id"}
    assert server.account.files.read(old.path) == b"old"


async def test_refused_upload_can_be_finished_elsewhere(
    server: DropboxServer, api: Api, old: StoredFile
) -> None:
    refused = await upload(api, old.path)
    session = refused.json["error"]["upload_session_id"]
    assert (await api.finish(session, 3, "/elsewhere")).status == 200
    assert server.account.files.read("/elsewhere") == b"new"


async def test_identical_content_is_no_conflict_and_writes_nothing(
    api: Api, old: StoredFile
) -> None:
    answer = await upload(api, old.path, b"old")
    assert (answer.json["rev"], answer.json["id"]) == (old.rev, old.id)
    strict = await upload(api, old.path, b"old", strict_conflict=True)
    assert strict.tags == "path/conflict/file"


async def test_autorename_numbers_the_name(
    server: DropboxServer, api: Api, old: StoredFile
) -> None:
    answer = await upload(api, old.path, autorename=True)
    assert answer.json["name"] == "File (2).tar"
    assert server.account.files.read(old.path) == b"old"


async def test_overwrite_keeps_the_id_and_makes_a_revision(
    server: DropboxServer, api: Api, old: StoredFile
) -> None:
    answer = await upload(api, old.path, mode="overwrite")
    assert answer.json["id"] == old.id
    assert answer.json["rev"] != old.rev
    assert server.account.files.read(old.path) == b"new"
    back = await api.download({"path": f"rev:{old.rev}"})
    assert back.body == b"old"


async def test_update_writes_only_over_the_named_revision(api: Api, old: StoredFile) -> None:
    mode = {".tag": "update", "update": old.rev}
    assert (await upload(api, old.path, mode=mode)).status == 200
    assert (await upload(api, old.path, b"newer", mode=mode)).tags == "path/conflict/file"
    renamed = await upload(api, old.path, b"newer", mode=mode, autorename=True)
    assert renamed.json["name"] == "File (conflicted copy).tar"


async def test_update_of_a_deleted_file_writes_unless_strict(
    server: DropboxServer, api: Api, old: StoredFile
) -> None:
    server.account.files.delete(old.path)
    mode = {".tag": "update", "update": old.rev}
    strict = await upload(api, old.path, mode=mode, strict_conflict=True)
    assert strict.tags == "path/conflict/file"
    assert (await upload(api, old.path, mode=mode)).status == 200


@pytest.mark.parametrize(
    ("path", "tags"),
    [
        ("/Dir", "path/conflict/folder"),
        ("/Dir/File.tar/below", "path/conflict/file_ancestor"),
        ("/a//b", "path/malformed_path"),
        ("/a/", "path/malformed_path"),
        ("/a/../b", "path/malformed_path"),
        ("/back\\slash", "path/malformed_path"),
        ("/trailing ", "path/malformed_path"),
        ("/control\u0007", "path/malformed_path"),
        ("/del\u007f", "path/malformed_path"),
        ("/" + "x" * 256, "path/malformed_path"),
        ("/desktop.ini", "path/disallowed_name"),
        ("/.dropbox.cache/x", "path/disallowed_name"),
        ("/~$draft.docx", "path/disallowed_name"),
    ],
)
@pytest.mark.usefixtures("old")
async def test_paths_that_cannot_be_written(api: Api, path: str, tags: str) -> None:
    answer = await upload(api, path)
    assert (answer.status, answer.tags) == (409, tags)


@pytest.mark.parametrize("path", ["/" + "x" * 255, "/ä/日本.tar", "/a:b?c*.tar", "/x.tar."])
async def test_paths_that_can(server: DropboxServer, api: Api, path: str) -> None:
    answer = await upload(api, path)
    assert answer.json["path_display"] == path
    assert server.account.files.read(path) == b"new"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "did not match pattern"),
        ("x", "did not match pattern"),
        ("/", "path: The root folder is unsupported."),
    ],
)
async def test_the_root_and_relative_paths_are_bad_input(api: Api, path: str, message: str) -> None:
    answer = await upload(api, path)
    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert message in answer.text


async def test_client_modified_is_kept_to_the_second(server: DropboxServer, api: Api) -> None:
    answer = await upload(api, "/x", client_modified="2024-02-29T23:59:59Z")
    assert answer.json["client_modified"] == "2024-02-29T23:59:59Z"
    stored = server.account.files.get_file("/x").client_modified
    assert stored.isoformat() == "2024-02-29T23:59:59"


@pytest.mark.parametrize("text", ["2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59+01:00", "now"])
async def test_other_time_formats_are_bad_input(api: Api, text: str) -> None:
    answer = await upload(api, "/x", client_modified=text)
    assert answer.status == 400
    assert "client_modified" in answer.text


async def test_quota_counts_what_is_there_and_what_is_replaced(
    server: DropboxServer, api: Api
) -> None:
    server.account.quota = 10
    assert (await upload(api, "/a", b"123456")).status == 200
    refused = await upload(api, "/b", b"12345")
    assert refused.tags == "path/insufficient_space"
    assert (await upload(api, "/a", b"1234567890", mode="overwrite")).status == 200
    space = await api.rpc("users/get_space_usage")
    assert space.json == {"used": 10, "allocation": {".tag": "individual", "allocated": 10}}


async def test_upload_checks_its_content_hash(server: DropboxServer, api: Api) -> None:
    wrong = await upload(api, "/x", b"new", content_hash=hash_bytes(b"old"))
    assert (wrong.status, wrong.tags) == (409, "content_hash_mismatch")
    assert not server.account.files.exists("/x")
    right = await upload(api, "/x", b"new", content_hash=hash_bytes(b"new"))
    assert right.status == 200


async def test_app_folder_is_the_root_of_its_app(server: DropboxServer, api: Api) -> None:
    app = server.add_app(DropboxApp(key="folderapp", app_folder=True))
    api.tokens = server.issue_tokens(app)
    assert (await upload(api, "/x")).json["path_display"] == "/x"
    assert server.account.app_files(app).read("/x") == b"new"
    assert not server.account.files.exists("/x")


async def test_accounts_do_not_see_each_other(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/mine", b"1")
    other = server.add_account(DropboxAccount(email="eve@example.com"))
    api.tokens = server.issue_tokens(account=other)
    assert (await api.rpc("files/get_metadata", {"path": "/mine"})).tags == "path/not_found"
