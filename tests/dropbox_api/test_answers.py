"""What leaves the package has been checked, whatever Dropbox, or somebody else, answers."""

from datetime import UTC, datetime
import json
from typing import Any

import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.errors import UnreachableError
from custom_components.dropbox_backup.dropbox_api.types import File, NoFile, UploadCommit
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind

FILE: dict[str, Any] = {
    ".tag": "file",
    "name": "x.tar",
    "id": "id:x",
    "client_modified": "2026-01-01T00:00:00Z",
    "server_modified": "2026-01-02T00:00:00Z",
    "rev": "0123456789abcdef0",
    "size": 5,
    "path_lower": "/x.tar",
    "path_display": "/x.tar",
    "content_hash": "0" * 64,
}
CAN_NOT_BE_TRUSTED = [
    {"size": 1 << 60},
    {"server_modified": "9999-12-31T23:59:59Z"},
    {"server_modified": "0001-01-01T00:00:00Z"},
]


def answers(server: DropboxServer, route: str, answer: dict[str, Any]) -> None:
    server.faults.add(
        Fault(
            FaultKind.STATUS,
            route,
            status=200,
            body=json.dumps(answer),
            content_type="application/json",
            times=None,
        )
    )


def lists(server: DropboxServer, *entries: dict[str, Any]) -> None:
    page = {"entries": entries, "cursor": "x", "has_more": False}
    answers(server, "files/list_folder", page)


async def test_a_file_is_told_as_it_is(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    lists(dropbox_server, FILE)
    assert (await client.list_folder("")).entries == (
        File(
            name="x.tar",
            path_display="/x.tar",
            rev="0123456789abcdef0",
            size=5,
            content_hash="0" * 64,
            client_modified=datetime(2026, 1, 1, tzinfo=UTC),
            server_modified=datetime(2026, 1, 2, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize("wrong", CAN_NOT_BE_TRUSTED, ids=str)
async def test_a_file_that_can_not_be_trusted_is_none_and_takes_no_other_with_it(
    client: DropboxClient, dropbox_server: DropboxServer, wrong: dict[str, Any]
) -> None:
    lists(dropbox_server, {**FILE, **wrong}, {**FILE, "name": "y.tar"})
    bad, good = (await client.list_folder("")).entries
    assert bad == NoFile("x.tar")
    assert isinstance(good, File)


@pytest.mark.parametrize("name", ["", "x\n.tar", "x\u2028.tar", "x" * 256])
async def test_an_entry_without_a_name_that_can_be_shown_is_left_out(
    client: DropboxClient, dropbox_server: DropboxServer, name: str
) -> None:
    lists(dropbox_server, {**FILE, "name": name}, {".tag": "deleted", "name": "gone.tar"})
    assert (await client.list_folder("")).entries == (NoFile("gone.tar"),)


async def test_any_date_that_somebody_gave_a_file_is_no_reason_not_to_see_it(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    lists(dropbox_server, {**FILE, "client_modified": "1601-01-01T00:00:00Z"})
    [file] = (await client.list_folder("")).entries
    assert isinstance(file, File)
    assert file.client_modified is None


@pytest.mark.parametrize("wrong", CAN_NOT_BE_TRUSTED, ids=str)
async def test_a_file_was_not_made_before_that_is_told_in_values_that_can_be_trusted(
    client: DropboxClient, dropbox_server: DropboxServer, wrong: dict[str, Any]
) -> None:
    answers(dropbox_server, "files/upload", {**FILE, **wrong})
    digest = content_hash(block_digests(b"x"))
    with pytest.raises(UnreachableError):
        await client.retrying_for(0).upload(b"x", UploadCommit("/x.tar"), digest)


@pytest.mark.parametrize("room", [1 << 63, (1 << 64) - 1])
async def test_more_room_than_home_assistant_can_count_is_not_told(
    client: DropboxClient, dropbox_server: DropboxServer, room: int
) -> None:
    allocation = {".tag": "individual", "allocated": room}
    answers(dropbox_server, "users/get_space_usage", {"used": 1, "allocation": allocation})
    with pytest.raises(UnreachableError):
        await client.retrying_for(0).get_space_usage()


async def test_no_longpoll_rests_for_longer_than_a_quarter_of_an_hour(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    answers(dropbox_server, "files/list_folder/longpoll", {"changes": False, "backoff": 10**9})
    assert (await client.list_folder_longpoll("x", 30)).backoff == 15 * 60
