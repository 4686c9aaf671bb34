"""The wire format: what Dropbox would refuse is refused here, in its shape."""

from __future__ import annotations

import json
import re

from dropbox import base
import pytest

from tests.stand_ins.dropbox.conftest import Api
from tests.support.dropbox_server import DropboxServer
from tests.support.dropbox_server.schema import ROUTES

JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}


async def test_every_answer_has_a_request_id(api: Api) -> None:
    for answer in (
        await api.rpc("users/get_current_account"),
        await api.rpc("files/get_metadata", {"path": "/no"}),
        await api.rpc("files/no_such_route"),
    ):
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Dropbox-Request-Id"])


async def test_json_answers_have_the_bare_content_type(api: Api) -> None:
    """The SDK compares it as a whole."""
    for path in ("", "/no"):
        answer = await api.rpc("files/list_folder", {"path": path})
        assert answer.headers["Content-Type"] == "application/json"


def test_scopes_are_those_of_the_sdks_documentation() -> None:
    for spec in ROUTES.values():
        method = getattr(base.DropboxBase, re.sub("[/.]", "_", spec.name))
        named = re.search(r"scope: ([a-z_.]+)", method.__doc__)
        expected = named[1] if named and spec.needs_token else None
        assert spec.scope == expected, spec.name


async def test_error_summary_ends_in_any_number_of_dots(api: Api) -> None:
    answers = [await api.rpc("files/get_metadata", {"path": "/no"}) for _ in range(12)]
    summaries = {answer.json["error_summary"] for answer in answers}
    assert len(summaries) > 1
    assert all(re.fullmatch(r"path/not_found/\.*", summary) for summary in summaries)


@pytest.mark.parametrize(
    ("route", "body", "headers", "message"),
    [
        ("users/get_current_account", b"{}", JSON, "request body: expected null, got value"),
        ("users/get_current_account", b"", OCTETS, 'Bad HTTP "Content-Type" header'),
        ("files/list_folder", b"", {}, 'Missing or empty HTTP "Content-Type" header'),
        ("files/list_folder", b"{", JSON, "request body: could not decode input as JSON"),
        ("files/list_folder", b"null", JSON, "request body: expected object, got null"),
        ("files/list_folder", b'{"path": "", "x": 1}', JSON, "unknown field 'x'"),
        ("files/list_folder", b'{"path": "", "limit": 2001}', JSON, "limit: 2001 is not within"),
        ("files/list_folder", b'{"path": 1}', JSON, "path:"),
        ("files/list_folder", b"{}", JSON, "missing required field 'path'"),
        ("files/upload", b"", OCTETS, 'Must provide HTTP header "Dropbox-API-Arg"'),
        ("files/upload", b"", {**OCTETS, "Dropbox-API-Arg": "{"}, "could not decode input"),
        ("files/upload", b"", {"Dropbox-API-Arg": '{"path": "/x"}'}, "Missing or empty HTTP"),
        ("files/upload", b"", {**JSON, "Dropbox-API-Arg": '{"path": "/x"}'}, "Expecting one of"),
        ("files/download", b"", {**JSON, "Dropbox-API-Arg": '{"path": "/x"}'}, "Expecting one of"),
    ],
)
async def test_bad_input_is_plain_text_that_names_the_function(
    api: Api, route: str, body: bytes, headers: dict[str, str], message: str
) -> None:
    answer = await api.post(route, body, headers)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(f'Error in call to API function "{route}": ')
    assert message in answer.text


async def test_no_argument_is_null_or_nothing(api: Api) -> None:
    for body, headers in ((b"null", JSON), (b"", JSON), (b"", {})):
        assert (await api.post("users/get_current_account", body, headers)).status == 200


async def test_argument_header_must_be_ascii(server: DropboxServer, api: Api) -> None:
    raw = json.dumps({"path": "/ä"}, ensure_ascii=False)
    answer = await api.upload("files/upload", None, **{"Dropbox-API-Arg": raw})
    assert answer.status == 400
    escaped = await api.upload("files/upload", {"path": "/ä"})
    assert escaped.json["path_display"] == "/ä"


@pytest.mark.parametrize("route", ["files/nothing", "files/upload_session", "nothing/at/all"])
async def test_unknown_function(api: Api, route: str) -> None:
    answer = await api.rpc(route)
    assert (answer.status, answer.text) == (400, f'Unknown API function: "{route}"')


async def test_get_is_refused(api: Api) -> None:
    url = f"{api.server.url}/2/files/list_folder"
    async with api.session.get(url) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("header", "status", "message"),
    [
        ("", 400, 'Must provide HTTP header "Authorization"'),
        ("Bearer", 400, "Invalid authorization value"),
        ("Basic eDp5", 400, "Invalid authorization value"),
        ("Bearer sl.unknown", 401, '{".tag": "invalid_access_token"}'),
    ],
)
async def test_authorization(api: Api, header: str, status: int, message: str) -> None:
    answer = await api.rpc("users/get_current_account", Authorization=header)
    assert answer.status == status
    assert message in answer.text


async def test_token_expires_after_four_hours(server: DropboxServer, api: Api) -> None:
    server.clock.advance(14399)
    assert (await api.rpc("users/get_current_account")).status == 200
    server.clock.advance(2)
    answer = await api.rpc("users/get_current_account")
    assert (answer.status, answer.tags) == (401, "expired_access_token")
    assert answer.json["error"] == {".tag": "expired_access_token"}


async def test_suspended_user(server: DropboxServer, api: Api) -> None:
    server.account.suspended = True
    answer = await api.rpc("users/get_current_account")
    assert (answer.status, answer.tags) == (401, "user_suspended")


@pytest.mark.parametrize(
    ("root", "status", "tags"),
    [
        ({".tag": "root", "root": "1"}, 422, "invalid_root/user"),
        ({".tag": "namespace_id", "namespace_id": "1"}, 422, "no_permission"),
    ],
)
async def test_path_root_refusals(
    server: DropboxServer, api: Api, root: dict[str, str], status: int, tags: str
) -> None:
    headers = {"Dropbox-API-Path-Root": json.dumps(root)}
    answer = await api.rpc("files/list_folder", {"path": ""}, **headers)
    assert (answer.status, answer.tags) == (status, tags)
    if tags.startswith("invalid_root"):
        right = answer.json["error"]["invalid_root"]["root_namespace_id"]
        assert right == server.account.root_namespace


@pytest.mark.parametrize("root", ["no json", '{".tag": "root"}', '{".tag": "planet"}'])
async def test_malformed_path_root_is_bad_input(api: Api, root: str) -> None:
    headers = {"Dropbox-API-Path-Root": root}
    answer = await api.rpc("files/list_folder", {"path": ""}, **headers)
    assert answer.status == 400
    assert 'HTTP header "Dropbox-API-Path-Root"' in answer.text


async def test_log_tells_what_was_asked_and_masks_the_token(
    server: DropboxServer, api: Api
) -> None:
    await api.upload("files/upload", {"path": "/x"}, b"12345")
    await api.download({"path": "/x"}, Range="bytes=1-3")
    upload, download = server.log.records
    assert (upload.route, upload.status, upload.bytes_received) == ("files/upload", 200, 5)
    assert upload.argument == '{"path": "/x"}'
    assert upload.processed
    assert (download.status, download.bytes_sent) == (206, 3)
    assert upload.token == f"...{api.token[-6:]}"
    assert api.token not in repr(server.log.records)
    assert server.log.count("files/upload") == 1
    assert server.log.bytes_received("files/upload") == 5


async def test_index_page_shows_the_files(server: DropboxServer, api: Api) -> None:
    server.account.files.put("/Backups/<b>.tar", b"x" * 2_500_000)
    async with api.session.get(server.url) as answer:
        page = await answer.text()
    assert "2.5 MB" in page
    assert "/Backups/&lt;b&gt;.tar" in page
    link = re.search('href="(/_files/[^"]+)"', page)
    assert link
    async with api.session.get(server.url + link[1].replace("&amp;", "&")) as answer:
        assert len(await answer.read()) == 2_500_000
