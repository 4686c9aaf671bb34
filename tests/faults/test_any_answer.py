"""Whatever answers in Dropbox's place, nothing but our own errors comes out of it."""

import asyncio
from collections.abc import Awaitable, Callable
import json

import aiohttp
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.download import download, read_range
from custom_components.dropbox_backup.dropbox_api.errors import DropboxError, UnreachableError
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.dropbox_api.upload.upload import upload
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from tests.dropbox_api.conftest import account, client, session, tokens
from tests.support.backups import US, json_values
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.sources import Bytes, Tokens, some_bytes

__all__ = ["account", "client", "session", "tokens"]

# Answers that almost fit are the dangerous ones.
ALMOST = st.sampled_from(
    [
        {"entries": [], "cursor": "x", "has_more": False},
        {"entries": [], "cursor": "x", "has_more": True},
        {"entries": [{".tag": "deleted", "name": "x"}], "cursor": "x", "has_more": True},
        {"entries": [{".tag": "file"}], "cursor": "x", "has_more": False},
        {"entries": [{".tag": "unheard_of", "name": "x"}], "cursor": "x", "has_more": False},
        {"entries": None, "cursor": None, "has_more": "yes"},
        {"entries": [{".tag": "deleted", "name": "\ud800"}], "cursor": "\ud800", "has_more": False},
        {"session_id": "\ud800"},
        {"error_summary": "\ud800/", "error": {".tag": "\ud800"}},
        {"session_id": None},
        {"error_summary": "other/", "error": {".tag": "other"}},
        {"error": "expired", "error_description": "x"},
        {"error": {".tag": ["path"]}},
        {"error": {".tag": "path", "path": {".tag": "path", "path": {}}}},
        {"error": {"reason": {".tag": "too_many_requests"}, "retry_after": "soon"}},
        {"error": {"reason": {".tag": "too_many_requests"}, "retry_after": 1e300}},
        {"error": {"reason": {".tag": "too_many_requests"}, "retry_after": 10**400}},
        {"error": {".tag": "path", "path": {".tag": "\ud800"}}},
    ]
)
BODIES = (json_values | ALMOST).map(json.dumps) | st.text(max_size=200)
LARGE = some_bytes(5 << 20)
WAITS = ["", "soon", "-5", "1e12", "nan", "inf", "9" * 400, "Thu, 01 Jan 1970 00:00:00 GMT"]
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": st.sampled_from(WAITS),
        "Dropbox-API-Result": st.sampled_from(["", "null", "{}", "[]", "\x7f{"]),
        "Location": st.just("http://portal.example/"),
    },
)


async def _read(client: DropboxClient) -> bytes:
    digest = content_hash(block_digests(b"0123456789"))
    return b"".join([piece async for piece in download(client, "0123456789abcdef", 10, digest)])


CALLS: list[Callable[[DropboxClient], Awaitable[object]]] = [
    lambda client: client.get_current_account(),
    lambda client: client.get_space_usage(),
    lambda client: client.list_folder(""),
    lambda client: client.list_folder_continue("cursor"),
    lambda client: client.list_folder_longpoll("cursor", 30),
    lambda client: client.get_metadata("/x"),
    lambda client: client.create_folder("/x"),
    lambda client: client.delete("/x", "0123456789abcdef"),
    lambda client: upload(client, Bytes(b"small"), UploadCommit("/x")),
    lambda client: upload(client, Bytes(LARGE), UploadCommit("/x")),
    lambda client: read_range(client, "0123456789abcdef", 0, 10),
    _read,
    lambda client: BackupFolder(client, "", US, lambda _: None).refresh(0),
]


@settings(
    max_examples=150,
    # Nothing of a run stays in the client, and the faults are cleared.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    status=st.sampled_from([200, 206, 204, 301, 400, 401, 403, 404, 409, 422, 429, 500, 503]),
    body=BODIES,
    headers=HEADERS,
    call=st.sampled_from(CALLS),
    json_type=st.booleans(),
)
async def test_any_answer_is_a_result_or_one_of_our_errors(
    session: aiohttp.ClientSession,
    tokens: Tokens,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: str,
    headers: dict[str, str],
    call: Callable[[DropboxClient], Awaitable[object]],
    json_type: bool,
) -> None:
    dropbox_server.faults.clear()
    dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            times=None,
            status=status,
            body=body,
            headers={**headers, "X-Dropbox-Request-Id": "x"},
            content_type="application/json" if json_type else "text/html",
        )
    )
    # A download waits as long as Dropbox asks for: how long is tested elsewhere (`test_download`).
    monkeypatch.setitem(RETRY_FOR, Waiter.RESTORE, 0)
    try:
        async with asyncio.timeout(20):
            # A wait that an earlier answer asked for is that client's.
            await call(DropboxClient(session, tokens.get, retry_for=0))
    except DropboxError as err:
        assert str(err)
        assert len(str(err)) < 1100
        assert str(err).encode(), "it can be shown: no halves of characters"
        str(err).encode()  # no half characters: it is shown and stored


async def test_a_page_that_comes_again_and_again_ends_the_listing(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    page = {"entries": [{".tag": "deleted", "name": "x"}], "cursor": "x", "has_more": True}
    same = Fault(
        FaultKind.STATUS,
        "files/list_folder,*/continue",
        times=None,
        status=200,
        body=json.dumps(page),
        content_type="application/json",
    )
    dropbox_server.faults.add(same)
    with pytest.raises(UnreachableError):
        async with asyncio.timeout(5):
            await BackupFolder(client, "", US, lambda _: None).refresh(0)
    assert same.applied < 5
