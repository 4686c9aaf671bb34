"""Dropbox's own client judges the server: what it does here, it does with Dropbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
import inspect
import os
import random
import re
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dropbox
from dropbox import common, exceptions, files
from dropbox.content_hash import content_hash
from dropbox.file_transfer import (
    Bytes,
    BytesUpload,
    Downloader,
    DownloadOptions,
    Uploader,
    UploadOptions,
)
import pytest
import requests

from tests.stand_ins.dropbox.conftest import MIB, Api, Sdk, in_thread
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind, schema

APPEND = "files/upload_session/append_v2"
MODIFIED = datetime(2026, 2, 3, 4, 5, 6)  # noqa: DTZ001 - the SDK wants UTC without a zone
DATA = random.Random(7).randbytes(21 * MIB + 12345)


async def test_it_knows_the_account_and_its_space(server: DropboxServer, sdk: Sdk) -> None:
    server.account.quota = 10_000
    server.account.files.put("/some", b"x" * 250)
    account = await sdk(lambda client: client.users_get_current_account())
    space = await sdk(lambda client: client.users_get_space_usage())
    assert account.account_id == server.account.account_id
    assert (account.email, account.name.display_name) == ("ada@example.com", "Ada Example")
    assert (space.used, space.allocation.get_individual().allocated) == (250, 10_000)


async def test_its_client_works_with_nothing_but_the_environment(server: DropboxServer) -> None:
    code = (
        "import dropbox, sys\n"
        "client = dropbox.Dropbox(oauth2_refresh_token=sys.argv[1], app_key=sys.argv[2],"
        " app_secret=sys.argv[3])\n"
        "print(client.files_upload(b'hello', '/from/outside.txt').path_display)"
    )
    tokens = server.issue_tokens()
    result = await in_thread(
        lambda: subprocess.run(
            [sys.executable, "-c", code, tokens.refresh_token, server.app.key, server.app.secret],
            env={"PATH": os.environ["PATH"], **server.env()},
            capture_output=True,
            text=True,
            check=False,
        )
    )
    assert result.stdout == "/from/outside.txt\n", result.stderr
    assert server.account.files.read("/from/outside.txt") == b"hello"


@pytest.mark.parametrize("parallel", [0, 4], ids=["sequential", "parallel"])
async def test_its_uploader_and_downloader_bring_the_same_bytes_back(
    server: DropboxServer, sdk: Sdk, parallel: int
) -> None:
    def there_and_back(client: dropbox.Dropbox) -> tuple[Any, bytes]:
        commit = files.CommitInfo("/Backups/one.tar", client_modified=MODIFIED)
        options = UploadOptions(parallel_uploads=parallel)
        result = Uploader(client).upload(BytesUpload(DATA), commit, options)
        target = Bytes()
        Downloader(client).download(
            "/Backups/one.tar", target, DownloadOptions(parallel_downloads=parallel)
        )
        return result.metadata, target.bytes()

    metadata, back = await sdk(there_and_back)
    assert back == DATA
    assert metadata.content_hash == content_hash(DATA)
    assert metadata.client_modified == MODIFIED
    assert server.account.files.read("/backups/ONE.tar") == DATA
    assert server.log.violations == []
    assert server.sessions.open == {}


@pytest.mark.parametrize("parallel", [0, 3], ids=["sequential", "parallel"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"kind": "status", "status": 500}, id="500"),
        pytest.param({"kind": "status", "status": 429, "retry_after": 0}, id="429"),
        pytest.param(
            {"kind": "status", "status": 429, "plain": True, "route": "*/finish"}, id="429-plain"
        ),
        pytest.param({"kind": "reset_in_body", "after_bytes": 3 * MIB}, id="reset-in-body"),
        pytest.param({"kind": "lost_response", "skip": 1}, id="lost-response"),
        pytest.param({"kind": "expire_token"}, id="expired-token"),
    ],
)
async def test_its_uploader_survives_a_fault_as_it_would_with_dropbox(
    server: DropboxServer,
    sdk: Sdk,
    fields: dict[str, Any],
    parallel: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    fault = server.faults.add(Fault(**{"route": APPEND, **fields}))

    def upload(client: dropbox.Dropbox) -> Any:
        options = UploadOptions(parallel_uploads=parallel)
        return Uploader(client).upload(
            BytesUpload(DATA[: 17 * MIB]), files.CommitInfo("/x"), options
        )

    result = await sdk(upload)
    assert fault.applied == 1
    assert result.metadata.content_hash == content_hash(DATA[: 17 * MIB])


async def test_its_downloader_goes_on_where_the_connection_broke(
    server: DropboxServer, sdk: Sdk
) -> None:
    server.account.files.put("/x", DATA)
    server.faults.add(Fault(FaultKind.RESET_IN_RESPONSE, "files/download", after_bytes=9 * MIB))

    def download(client: dropbox.Dropbox) -> bytes:
        target = Bytes()
        Downloader(client).download("/x", target)
        return bytes(target.bytes())

    assert await sdk(download) == DATA
    first, second = server.log.of("files/download")
    assert (first.status, second.status) == (0, 206)
    assert 12 * MIB < second.bytes_sent < 20 * MIB


async def test_its_hash_check_finds_a_corrupt_upload(server: DropboxServer, sdk: Sdk) -> None:
    server.faults.add(Fault(FaultKind.CORRUPT_UPLOAD, "files/upload", after_bytes=5 * MIB))
    with pytest.raises(exceptions.ApiError) as raised:
        await sdk(lambda client: client.files_upload(DATA[: 6 * MIB], "/x"))
    assert raised.value.error.is_content_hash_mismatch()
    assert not server.account.files.exists("/x")


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda client: client.files_get_metadata("/no"), "get_path"),
        (lambda client: client.files_download("/no"), "get_path"),
        (lambda client: client.files_list_folder("/no"), "get_path"),
        (lambda client: client.files_list_revisions("/no"), "get_path"),
        (lambda client: client.files_delete_v2("/no"), "get_path_lookup"),
        (lambda client: client.files_move_v2("/no", "/yes"), "get_from_lookup"),
    ],
    ids=["get_metadata", "download", "list_folder", "list_revisions", "delete", "move"],
)
async def test_what_is_not_found_is_named_as_each_route_names_it(
    sdk: Sdk, call: Callable[[dropbox.Dropbox], object], path: str
) -> None:
    with pytest.raises(exceptions.ApiError) as raised:
        await sdk(call)
    assert getattr(raised.value.error, path)().is_not_found()


async def test_a_full_account_is_recognized(server: DropboxServer, sdk: Sdk) -> None:
    server.account.quota = 1000
    with pytest.raises(exceptions.ApiError) as raised:
        await sdk(lambda client: client.files_upload(b"x" * 1001, "/x"))
    assert raised.value.error.get_path().reason.is_insufficient_space()


async def test_listing_continues_over_pages_and_reports_changes(
    server: DropboxServer, sdk: Sdk
) -> None:
    tree = server.account.files
    for number in range(7):
        tree.put(f"/Backups/{number}.tar", b"%d" % number)

    def collect(client: dropbox.Dropbox) -> tuple[list[str], str]:
        result = client.files_list_folder("/backups", limit=3)
        names = [entry.name for entry in result.entries]
        while result.has_more:
            result = client.files_list_folder_continue(result.cursor)
            names += [entry.name for entry in result.entries]
        return names, result.cursor

    names, cursor = await sdk(collect)
    assert names == [f"{number}.tar" for number in range(7)]
    tree.delete("/Backups/3.tar")
    tree.put("/Backups/new.tar", b"new")
    delta = await sdk(lambda client: client.files_list_folder_continue(cursor))
    kinds = [(type(entry).__name__, entry.name) for entry in delta.entries]
    assert kinds == [("DeletedMetadata", "3.tar"), ("FileMetadata", "new.tar")]


async def test_its_client_finds_files_and_folders_by_their_names(
    server: DropboxServer, sdk: Sdk
) -> None:
    tree = server.account.files
    for path in ("/A/some_notes.json", "/B/Some Notes (1).json", "/B/other.json"):
        tree.put(path, path.encode())
        server.clock.advance(60)
    tree.create_folder("/C/some notes")

    def found(client: dropbox.Dropbox, **options: Any) -> list[str]:
        result = client.files_search_v2("some_notes", files.SearchOptions(**options))
        assert result.has_more == (result.cursor is not None)
        matches = [match.metadata.get_metadata() for match in result.matches]
        return [one.path_display for one in matches]

    newest = files.SearchOrderBy.last_modified_time
    assert await sdk(lambda client: found(client, order_by=newest, filename_only=True)) == [
        "/B/Some Notes (1).json",
        "/A/some_notes.json",
        "/C/some notes",
    ]
    assert await sdk(lambda client: found(client, path="/a")) == ["/A/some_notes.json"]
    assert len(await sdk(lambda client: found(client, max_results=2))) == 2

    server.rules = replace(server.rules, search_delay=30.0)
    tree.delete("/A/some_notes.json")
    tree.put("/D/some_notes.json", b"new")
    assert await sdk(lambda client: found(client, order_by=newest)) == [
        "/B/Some Notes (1).json",
        "/A/some_notes.json",
        "/C/some notes",
    ]
    server.clock.advance(31)
    latest = await sdk(lambda client: found(client, order_by=newest))
    assert latest == ["/D/some_notes.json", "/B/Some Notes (1).json", "/C/some notes"]

    with pytest.raises(exceptions.ApiError) as raised:
        await sdk(lambda client: found(client, path="/no"))
    assert raised.value.error.get_path().is_not_found()
    with pytest.raises(exceptions.ApiError) as raised:
        await sdk(lambda client: client.files_search_v2("?"))
    assert raised.value.error.is_invalid_argument()


async def test_its_client_takes_answers_in_pieces(server: DropboxServer, sdk: Sdk) -> None:
    server.faults.add(Fault(FaultKind.SPLIT_RESPONSE, after_bytes=5, times=None))
    await sdk(lambda client: client.files_upload(b"hello", "/x"))
    assert (await sdk(lambda client: client.files_get_metadata("/x"))).size == 5
    with pytest.raises(exceptions.ApiError) as raised:
        await sdk(lambda client: client.files_get_metadata("/no"))
    assert raised.value.error.get_path().is_not_found()


async def test_its_client_is_told_that_a_cursor_is_dead(server: DropboxServer, sdk: Sdk) -> None:
    cursor = (await sdk(lambda client: client.files_list_folder(""))).cursor
    for name, call in {
        "continue": lambda client: client.files_list_folder_continue(cursor),
        "longpoll": lambda client: client.files_list_folder_longpoll(cursor),
    }.items():
        server.faults.add(Fault(FaultKind.RESET_CURSOR, f"files/list_folder/{name}"))
        with pytest.raises(exceptions.ApiError) as raised:
            await sdk(call)
        assert raised.value.error.is_reset()


@pytest.mark.parametrize("name", sorted(schema.ROUTES))
async def test_each_route_asks_for_the_permission_that_the_sdk_names(
    server: DropboxServer, api: Api, name: str
) -> None:
    spec = schema.ROUTES[name]
    method = getattr(dropbox.Dropbox, name.replace("/", "_"))
    found = re.search(r"scope: ([\w.]+)", inspect.getdoc(method) or "")
    named = found and found[1]
    if not spec.needs_token:  # nobody is asked who calls
        assert spec.scope is None
        return
    assert spec.scope == named
    if named is None:
        return
    others = tuple(scope for scope in schema.ALL_SCOPES if scope != named)
    api.tokens = server.issue_tokens(scopes=others)
    argument: dict[str, str] | None = {} if spec.takes_argument else None
    if spec.style == "rpc":
        answer = await api.rpc(name, argument)
    elif spec.style == "upload":
        answer = await api.upload(name, argument)
    else:
        answer = await api.download(argument)
    assert answer.status == 401
    assert answer.json["error"] == {".tag": "missing_scope", "required_scope": named}


async def test_a_deleted_file_comes_back_with_restore(server: DropboxServer, sdk: Sdk) -> None:
    old = server.account.files.put("/x", b"old")
    await sdk(lambda client: client.files_delete_v2("/x"))
    revisions = await sdk(lambda client: client.files_list_revisions("/x"))
    assert revisions.is_deleted
    assert [entry.rev for entry in revisions.entries] == [old.rev]
    await sdk(lambda client: client.files_restore("/x", old.rev))
    assert server.account.files.read("/x") == b"old"


async def test_longpoll_answers_without_a_token_when_something_changes(
    server: DropboxServer, sdk: Sdk
) -> None:
    latest = await sdk(lambda client: client.files_list_folder_get_latest_cursor(""))
    server.account.files.put("/x", b"1")
    result = await sdk(lambda client: client.files_list_folder_longpoll(latest.cursor))
    assert result.changes


async def test_a_wrong_path_root_is_answered_with_the_right_one(
    server: DropboxServer, sdk: Sdk
) -> None:
    member = server.add_account(DropboxAccount(email="team@example.com", team=True))
    member.team_files.put("/shared", b"team")
    tokens = server.issue_tokens(account=member)
    client = dropbox.Dropbox(tokens.access_token)
    root = common.PathRoot.root
    with pytest.raises(exceptions.PathRootError) as raised:
        await in_thread(lambda: client.with_path_root(root("42")).files_list_folder(""))
    right = raised.value.error.get_invalid_root().root_namespace_id
    listed = await in_thread(lambda: client.with_path_root(root(right)).files_list_folder(""))
    assert [entry.name for entry in listed.entries] == ["shared"]
    assert (await in_thread(lambda: client.files_list_folder(""))).entries == []
    space = await in_thread(client.users_get_space_usage)
    assert space.allocation.get_team().allocated == member.quota
    client.close()


@pytest.mark.parametrize("pkce", [True, False], ids=["pkce", "secret"])
async def test_its_oauth_flow_gets_a_lasting_token(server: DropboxServer, *, pkce: bool) -> None:
    def sign_in() -> tuple[Any, str]:
        stored: dict[str, str] = {}
        flow = dropbox.DropboxOAuth2Flow(
            server.app.key,
            server.app.redirect_uris[0],
            stored,
            "csrf",
            consumer_secret=None if pkce else server.app.secret,
            token_access_type="offline",
            scope=["account_info.read", "files.metadata.read"],
            use_pkce=pkce,
        )
        url = flow.start("my state")
        page = requests.get(url, timeout=5)
        assert server.app.name in page.text
        assert "files.metadata.read" in page.text
        sent = requests.post(url, {"decision": "allow"}, timeout=5, allow_redirects=False)
        target = urlsplit(sent.headers["Location"])
        assert target.geturl().startswith(server.app.redirect_uris[0])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        return flow.finish(query), query["code"]

    result, _ = await in_thread(sign_in)
    assert result.url_state == "my state"
    assert result.account_id == server.account.account_id
    assert result.scope == "account_info.read files.metadata.read"
    client = dropbox.Dropbox(
        oauth2_refresh_token=result.refresh_token,
        app_key=server.app.key,
        app_secret=None if pkce else server.app.secret,
    )
    account = await in_thread(client.users_get_current_account)
    assert account.email == "ada@example.com"
    with pytest.raises(exceptions.AuthError) as raised:
        await in_thread(lambda: client.files_upload(b"", "/x"))
    assert raised.value.error.get_missing_scope().required_scope == "files.content.write"
    client.close()


async def test_its_client_renews_an_expired_token(server: DropboxServer, sdk: Sdk) -> None:
    await sdk(lambda client: client.users_get_current_account())
    server.tokens.expire_access_tokens()
    await sdk(lambda client: client.users_get_current_account())
    statuses = [record.status for record in server.log.of("users/get_current_account")]
    assert statuses == [200, 401, 200]
    assert server.log.count("oauth2/token") == 2


async def test_revoking_ends_the_grant(sdk: Sdk) -> None:
    await sdk(lambda client: client.auth_token_revoke())
    with pytest.raises(exceptions.AuthError) as raised:
        await sdk(lambda client: client.users_get_current_account())
    assert raised.value.error.is_invalid_access_token()
    with pytest.raises(exceptions.AuthError):
        await sdk(lambda client: client.refresh_access_token())
