"""Calls, retries and errors, against the local Dropbox."""

import asyncio
from datetime import UTC, datetime

import aiohttp
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.errors import (
    DropboxError,
    FullError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    SignInError,
    UnreachableError,
)
from custom_components.dropbox_backup.dropbox_api.types import File, Space, UploadCommit
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind
from tests.support.sources import FOLDER, Tokens


async def put(client: DropboxClient, path: str, data: bytes = b"hello") -> str:
    metadata = await client.upload(data, UploadCommit(path), content_hash(block_digests(data)))
    return str(metadata.rev)


async def file_at(client: DropboxClient, path: str) -> File:
    entry = await client.get_metadata(path)
    assert isinstance(entry, File)
    return entry


async def test_account_and_space(client: DropboxClient, account: DropboxAccount) -> None:
    me = await client.get_current_account()
    assert me.account_id == account.account_id
    assert await client.get_space_usage() == Space(0, account.quota)


async def test_making_a_folder_twice_is_fine(client: DropboxClient) -> None:
    await client.create_folder(FOLDER)
    await client.create_folder(FOLDER)
    assert (await client.list_folder(FOLDER)).entries == ()


async def test_a_file_in_the_place_of_the_folder_is_refused(client: DropboxClient) -> None:
    await put(client, "/HomeAssistant")
    with pytest.raises(RefusedError, match="path/conflict"):
        await client.create_folder("/HomeAssistant")


async def test_names_of_any_script_survive(client: DropboxClient) -> None:
    path = "/Häuschen ünter\u007f 家 🏠.tar".replace("\u007f", "")
    await put(client, path)
    assert (await file_at(client, path)).path_display == path


async def test_the_date_of_the_backup_is_shown_in_dropbox(client: DropboxClient) -> None:
    commit = UploadCommit("/dated", client_modified=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    metadata = await client.upload(b"x", commit, content_hash(block_digests(b"x")))
    assert metadata.client_modified == commit.client_modified


async def test_nothing_is_overwritten_but_the_revision_that_is_named(client: DropboxClient) -> None:
    rev = await put(client, "/catalog", b"one")
    with pytest.raises(RefusedError, match="path/conflict/file"):
        await put(client, "/catalog", b"two")
    digest = content_hash(block_digests(b"two"))
    await client.upload(b"two", UploadCommit("/catalog", replaces=rev), digest)
    digest = content_hash(block_digests(b"three"))
    with pytest.raises(RefusedError, match="path/conflict/file"):
        await client.upload(b"three", UploadCommit("/catalog", replaces=rev), digest)


async def test_a_file_that_changed_is_not_deleted(client: DropboxClient) -> None:
    rev = await put(client, "/x", b"one")
    digest = content_hash(block_digests(b"two"))
    await client.upload(b"two", UploadCommit("/x", replaces=rev), digest)
    with pytest.raises(RefusedError):
        await client.delete("/x", rev)
    assert (await file_at(client, "/x")).size == 3


async def test_deleting_what_is_gone_says_so(client: DropboxClient) -> None:
    with pytest.raises(NotFoundError):
        await client.delete("/never", "0123456789abcdef")


async def test_a_delete_whose_answer_was_lost_succeeds(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    rev = await put(client, "/x")
    dropbox_server.faults.add(Fault(FaultKind.LOST_RESPONSE, route="files/delete_v2"))
    await client.delete("/x", rev)
    with pytest.raises(NotFoundError):
        await client.get_metadata("/x")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, status=503),
        Fault(FaultKind.STATUS, status=500, body="<html>oops</html>"),
        Fault(FaultKind.STATUS, status=404, body="<html>captive portal</html>"),
        Fault(FaultKind.STATUS, status=302, body="", headers={"Location": "http://portal/"}),
        Fault(FaultKind.STATUS, status=429, retry_after=1),
        Fault(FaultKind.STATUS, status=429, retry_after=1, plain=True),
        Fault(FaultKind.GARBAGE),
        Fault(FaultKind.RESET_BEFORE_BODY),
        Fault(FaultKind.RESET_IN_RESPONSE, after_bytes=1),
        Fault(FaultKind.LOST_RESPONSE),
        Fault(FaultKind.EXPIRE_TOKEN),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.plain}",
)
async def test_a_passing_trouble_is_not_noticed(
    client: DropboxClient, dropbox_server: DropboxServer, fault: Fault
) -> None:
    await client.create_folder(FOLDER)
    dropbox_server.faults.add(fault)
    assert (await client.list_folder(FOLDER)).entries == ()
    assert dropbox_server.log.count("files/list_folder") == 2


async def test_retry_after_is_honoured(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=429, retry_after=2))
    started = asyncio.get_running_loop().time()
    await client.list_folder("")
    assert asyncio.get_running_loop().time() - started >= 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(FaultKind.STATUS, status=503, times=None), UnreachableError),
        (Fault(FaultKind.RESET_BEFORE_BODY, times=None), UnreachableError),
        (Fault(FaultKind.GARBAGE, times=None), UnreachableError),
        (Fault(FaultKind.STATUS, status=429, retry_after=600), RateLimitedError),
        (Fault(FaultKind.SUSPEND_USER), SignInError),
    ],
    ids=["503", "reset", "garbage", "429", "suspended"],
)
async def test_trying_again_ends_with_the_right_error(
    client: DropboxClient, dropbox_server: DropboxServer, fault: Fault, error: type[DropboxError]
) -> None:
    dropbox_server.faults.add(fault)
    with pytest.raises(error):
        await client.retrying_for(0.5).list_folder("")


@pytest.mark.parametrize("value", ["1e12", "9" * 400, "inf", "Fri, 01 Jan 9999 00:00:00 GMT"])
async def test_no_wait_that_is_asked_for_is_longer_than_a_quarter_of_an_hour(
    client: DropboxClient, dropbox_server: DropboxServer, value: str
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, status=429, plain=True, headers={"Retry-After": value})
    )
    with pytest.raises(RateLimitedError) as caught:
        await client.list_folder("")
    assert caught.value.retry_after == 900


@pytest.mark.parametrize("value", ["nan", "-5", "soon", ""])
async def test_a_wait_that_is_none_holds_up_nobody(
    client: DropboxClient, dropbox_server: DropboxServer, value: str
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, status=429, plain=True, headers={"Retry-After": value})
    )
    await client.list_folder("")


async def test_a_wait_that_dropbox_asks_for_holds_for_all_calls_of_the_account(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    wait = Fault(FaultKind.STATUS, "files/list_folder", status=429, retry_after=1)
    dropbox_server.faults.add(wait)
    begun = asyncio.get_running_loop().time()
    with pytest.raises(RateLimitedError):
        await client.retrying_for(0).list_folder("")
    patient = client.retrying_for(20)
    await asyncio.gather(patient.list_folder(""), patient.get_space_usage())
    assert asyncio.get_running_loop().time() - begun > 0.9
    refused, *later = dropbox_server.log.records
    assert all(one.time > refused.time + 0.9 for one in later)
    assert len(later) == 2


async def test_who_can_not_wait_as_long_as_dropbox_asks_is_told_at_once_and_asks_nobody(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=429, retry_after=600))
    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            await client.get_space_usage()
        assert caught.value.retry_after == pytest.approx(600, abs=5)
    assert len(dropbox_server.log.records) == 1


async def test_a_wait_for_other_writes_keeps_nobody_from_reading(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            "files/create_folder_v2",
            status=429,
            reason="too_many_write_operations",
            retry_after=600,
        )
    )
    with pytest.raises(RateLimitedError):
        await client.create_folder(FOLDER)
    await client.list_folder("")
    with pytest.raises(RateLimitedError):
        await put(client, "/x")
    assert dropbox_server.log.count("files/upload") == 0


@pytest.mark.parametrize("after_bytes", [1, 40, 100])
async def test_an_error_in_pieces_is_read_to_its_end(
    client: DropboxClient,
    dropbox_server: DropboxServer,
    account: DropboxAccount,
    tokens: Tokens,
    after_bytes: int,
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.SPLIT_RESPONSE, after_bytes=after_bytes, seconds=0.1, times=None)
    )
    tokens.current = "expired"
    await client.list_folder("")
    assert tokens.refused == ["expired"]
    account.quota = 3
    with pytest.raises(FullError, match="path/insufficient_space"):
        await put(client, "/x", b"four")


async def test_an_error_that_breaks_off_is_not_judged(
    client: DropboxClient, dropbox_server: DropboxServer, tokens: Tokens
) -> None:
    tokens.current = "expired"
    dropbox_server.faults.add(Fault(FaultKind.RESET_IN_RESPONSE, after_bytes=30))
    await client.list_folder("")
    assert tokens.refused == ["expired"], "asked again, and then told the reason"


@pytest.mark.parametrize("status", [401, 403, 409, 500])
@pytest.mark.parametrize("body", ["", "<html>" * 20_000, "[" * 60_000, '{"error": "x"}'])
async def test_an_error_that_can_not_be_read_is_judged_by_its_status(
    client: DropboxClient, dropbox_server: DropboxServer, status: int, body: str
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=status, body=body, times=None))
    expected = {401: SignInError, 403: RefusedError}.get(status, UnreachableError)
    with pytest.raises(expected):
        await client.retrying_for(0).list_folder("")


async def test_the_time_to_try_again_counts_from_the_first_try(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.STALL, seconds=1.5, times=None), Fault(FaultKind.STATUS, times=None)
    )
    with pytest.raises(UnreachableError):
        await client.retrying_for(1).list_folder("")
    assert len(dropbox_server.log.records) == 1


async def test_an_expired_token_is_renewed_once(client: DropboxClient, tokens: Tokens) -> None:
    tokens.current = "expired"
    await client.list_folder("")
    assert tokens.refused == ["expired"]


async def test_a_refused_renewal_is_a_sign_in_error(client: DropboxClient, tokens: Tokens) -> None:
    tokens.current, tokens.can_renew = "expired", False
    with pytest.raises(SignInError):
        await client.list_folder("")


async def test_a_missing_permission_is_named(
    dropbox_server: DropboxServer, account: DropboxAccount, client: DropboxClient, tokens: Tokens
) -> None:
    app = next(iter(dropbox_server.apps.values()))
    tokens.current = dropbox_server.issue_tokens(
        app, account, scopes=("account_info.read",)
    ).access_token
    with pytest.raises(SignInError) as caught:
        await client.list_folder("")
    assert caught.value.missing_scope == "files.metadata.read"


async def test_a_full_dropbox_is_told_apart(client: DropboxClient, account: DropboxAccount) -> None:
    account.quota = 3
    with pytest.raises(FullError) as caught:
        await put(client, "/x", b"four")
    assert caught.value.reason == "path/insufficient_space"
    assert caught.value.request_id


async def test_no_error_carries_the_token(
    client: DropboxClient, dropbox_server: DropboxServer, tokens: Tokens
) -> None:
    await client.list_folder("")
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, status=400, body=f"bad header Bearer {tokens.current}")
    )
    with pytest.raises(DropboxError) as caught:
        await client.retrying_for(0.1).list_folder("")
    assert tokens.current not in repr(caught.value)


async def test_no_network_at_all(client: DropboxClient, dropbox_server: DropboxServer) -> None:
    await dropbox_server.stop()
    with pytest.raises(UnreachableError):
        await client.retrying_for(0.5).list_folder("")


async def test_longpoll_tells_of_a_change(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    cursor = (await client.list_folder("")).cursor
    waiting = asyncio.create_task(client.list_folder_longpoll(cursor, 30))
    await asyncio.sleep(0.1)
    await put(client, "/new")
    assert (await waiting).changes


async def test_a_range_is_read(client: DropboxClient) -> None:
    await put(client, "/x", b"0123456789")
    async with client.download("/x", 2, 5) as (metadata, stream):
        assert metadata.size == 10
        assert await stream.read() == b"234"


async def test_the_shared_session_stays_open(
    client: DropboxClient, session: aiohttp.ClientSession
) -> None:
    await client.list_folder("")
    assert not session.closed
