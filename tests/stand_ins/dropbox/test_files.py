"""Looking at, downloading, moving and deleting single files and folders."""

from __future__ import annotations

import json

import pytest

from tests.stand_ins.dropbox.conftest import Api
from tests.support.dropbox_server import DropboxServer, Rules, StoredFile


@pytest.fixture
def file(server: DropboxServer) -> StoredFile:
    return server.account.files.put("/Dir/File.tar", b"0123456789")


async def test_metadata_of_every_path_form(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    home = server.account.home_namespace
    folder = server.account.files.get("/Dir")
    forms = [
        "/dir/file.TAR",
        file.id,
        f"rev:{file.rev}",
        f"ns:{home}/Dir/File.tar",
        f"{folder.id}/file.tar",
    ]
    for path in forms:
        answer = await api.rpc("files/get_metadata", {"path": path})
        assert answer.json == {
            ".tag": "file",
            "name": "File.tar",
            "path_lower": "/dir/file.tar",
            "path_display": "/Dir/File.tar",
            "id": file.id,
            "client_modified": file.client_modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "server_modified": file.server_modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "rev": file.rev,
            "size": 10,
            "is_downloadable": True,
            "content_hash": file.content_hash,
        }


async def test_metadata_of_a_deleted_file_on_request(api: Api, file: StoredFile) -> None:
    await api.rpc("files/delete_v2", {"path": file.path})
    answer = await api.rpc("files/get_metadata", {"path": file.path})
    assert (answer.status, answer.tags) == (409, "path/not_found")
    answer = await api.rpc("files/get_metadata", {"path": file.path, "include_deleted": True})
    assert answer.json[".tag"] == "deleted"


@pytest.mark.parametrize(
    ("given", "status", "sent", "content_range"),
    [
        ("", 200, b"0123456789", None),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
async def test_download_of_ranges(
    api: Api, file: StoredFile, given: str, status: int, sent: bytes, content_range: str | None
) -> None:
    answer = await api.download({"path": file.path}, Range=given)
    assert (answer.status, answer.body) == (status, sent)
    assert answer.headers.get("Content-Range") == content_range
    assert answer.headers["Content-Length"] == str(len(sent))
    metadata = json.loads(answer.headers["Dropbox-API-Result"])
    assert (metadata["rev"], metadata["size"]) == (file.rev, 10)
    assert ".tag" not in metadata


async def test_range_behind_the_end_is_refused(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    answer = await api.download({"path": file.path}, Range="bytes=10-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")
    server.rules = Rules(range_error_status=409)
    answer = await api.download({"path": file.path}, Range="bytes=10-")
    assert (answer.status, answer.tags) == (409, "range/not_satisfiable")


async def test_download_result_is_ascii_for_any_name(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/Größe/日本.tar", b"1")
    answer = await api.download({"path": "/größe/日本.tar"})
    header = answer.headers["Dropbox-API-Result"]
    assert header.isascii()
    assert json.loads(header)["path_display"] == "/Größe/日本.tar"


@pytest.mark.parametrize(
    ("path", "tags"),
    [
        ("/no", "path/not_found"),
        ("/Dir", "path/not_file"),
        ("rev:0123456789", "path/not_found"),
        ("id:none", "path/not_found"),
    ],
)
async def test_what_cannot_be_downloaded(api: Api, file: StoredFile, path: str, tags: str) -> None:
    answer = await api.download({"path": path})
    assert (answer.status, answer.tags) == (409, tags)


async def test_download_by_get_with_url_arguments(api: Api, file: StoredFile) -> None:
    async with api.session.get(
        f"{api.server.url}/2/files/download",
        params={"arg": json.dumps({"path": file.path})},
        headers={"Authorization": f"Bearer {api.token}"},
    ) as answer:
        assert await answer.read() == b"0123456789"


async def test_delete_answers_with_what_was_there(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    answer = await api.rpc("files/delete_v2", {"path": "/dir/FILE.tar"})
    assert answer.json["metadata"][".tag"] == "file"
    assert answer.json["metadata"]["rev"] == file.rev
    assert not server.account.files.exists(file.path)
    again = await api.rpc("files/delete_v2", {"path": file.path})
    assert (again.status, again.tags) == (409, "path_lookup/not_found")


async def test_delete_of_a_folder_takes_everything(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    server.account.files.put("/Dir/Sub/x", b"1")
    answer = await api.rpc("files/delete_v2", {"path": "/Dir"})
    assert answer.json["metadata"][".tag"] == "folder"
    assert server.account.files.list() == []
    assert server.account.used == 0


async def test_delete_only_of_the_named_revision(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    stale = await api.rpc("files/delete_v2", {"path": file.path, "parent_rev": "0123456789"})
    assert (stale.status, stale.tags) == (409, "path_write/conflict/file")
    assert server.account.files.exists(file.path)
    fresh = await api.rpc("files/delete_v2", {"path": file.path, "parent_rev": file.rev})
    assert fresh.status == 200


async def test_create_folder_and_its_conflicts(api: Api, file: StoredFile) -> None:
    made = await api.rpc("files/create_folder_v2", {"path": "/New/Deep"})
    assert made.json["metadata"]["path_display"] == "/New/Deep"
    again = await api.rpc("files/create_folder_v2", {"path": "/new"})
    assert again.tags == "path/conflict/folder"
    renamed = await api.rpc("files/create_folder_v2", {"path": "/new", "autorename": True})
    assert renamed.json["metadata"]["name"] == "new (2)"
    over = await api.rpc("files/create_folder_v2", {"path": file.path})
    assert over.tags == "path/conflict/file"
    below = await api.rpc("files/create_folder_v2", {"path": f"{file.path}/x"})
    assert below.tags == "path/conflict/file_ancestor"


async def test_move_keeps_the_id(server: DropboxServer, api: Api, file: StoredFile) -> None:
    server.account.files.put("/Dir/Sub/x", b"1")
    answer = await api.rpc("files/move_v2", {"from_path": "/dir", "to_path": "/There/Now"})
    assert answer.json["metadata"]["path_display"] == "/There/Now"
    moved = server.account.files.get_file("/There/Now/File.tar")
    assert (moved.id, moved.content_hash) == (file.id, file.content_hash)
    assert server.account.files.read("/There/Now/Sub/x") == b"1"
    assert not server.account.files.exists("/Dir")
    assert server.account.used == 11


@pytest.mark.parametrize(
    ("source", "target", "tags"),
    [
        ("/no", "/x", "from_lookup/not_found"),
        ("/Dir/File.tar", "/Other", "to/conflict/file"),
        ("/Dir", "/Dir/Sub", "cant_move_folder_into_itself"),
        ("/Dir", "/dir", "duplicated_or_nested_paths"),
        ("/Dir", "/desktop.ini", "to/disallowed_name"),
    ],
)
async def test_what_cannot_be_moved(
    server: DropboxServer, api: Api, file: StoredFile, source: str, target: str, tags: str
) -> None:
    server.account.files.put("/Other", b"1")
    answer = await api.rpc("files/move_v2", {"from_path": source, "to_path": target})
    assert (answer.status, answer.tags) == (409, tags)


async def test_revisions_newest_first_and_by_page(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    revs = [file.rev, *(server.account.files.put(file.path, b"%d" % n).rev for n in range(3))]
    answer = await api.rpc("files/list_revisions", {"path": file.path, "limit": 3})
    found = [entry["rev"] for entry in answer.json["entries"]]
    assert found == revs[:0:-1]
    assert (answer.json["is_deleted"], answer.json["has_more"]) == (False, True)
    answer = await api.rpc("files/list_revisions", {"path": file.path, "before_rev": found[-1]})
    assert [entry["rev"] for entry in answer.json["entries"]] == [file.rev]
    answer = await api.rpc("files/list_revisions", {"path": file.path, "before_rev": "0123456789"})
    assert answer.tags == "invalid_before_rev"


async def test_revisions_by_id_follow_a_move(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    moved = server.account.files.move(file.path, "/moved")
    by_path = await api.rpc("files/list_revisions", {"path": "/moved"})
    assert len(by_path.json["entries"]) == 1
    by_id = await api.rpc("files/list_revisions", {"path": "/moved", "mode": "id"})
    assert [entry["path_display"] for entry in by_id.json["entries"]] == [moved.path, file.path]
    old = await api.rpc("files/list_revisions", {"path": file.path})
    assert old.json["is_deleted"]


async def test_purge_frees_the_disk_and_leaves_what_is_live(
    server: DropboxServer, api: Api, file: StoredFile
) -> None:
    tree = server.account.files
    tree.put("/gone", b"gone")
    tree.delete("/gone")
    live = tree.put(file.path, b"newer")
    tree.purge()
    assert [path.name for path in tree.blobs.iterdir()] == [live.blob]
    revisions = await api.rpc("files/list_revisions", {"path": file.path})
    assert [entry["rev"] for entry in revisions.json["entries"]] == [live.rev]
    restore = await api.rpc("files/restore", {"path": file.path, "rev": file.rev})
    assert restore.tags == "invalid_revision"


async def test_restore_of_a_revision(server: DropboxServer, api: Api, file: StoredFile) -> None:
    server.account.files.put(file.path, b"newer")
    answer = await api.rpc("files/restore", {"path": file.path, "rev": file.rev})
    assert answer.json["content_hash"] == file.content_hash
    assert answer.json["rev"] != file.rev
    assert server.account.files.read(file.path) == b"0123456789"
    unknown = await api.rpc("files/restore", {"path": file.path, "rev": "0123456789"})
    assert unknown.tags == "invalid_revision"
    in_the_way = await api.rpc("files/restore", {"path": "/Dir", "rev": file.rev})
    assert in_the_way.tags == "path_write/conflict/folder"
