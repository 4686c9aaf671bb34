"""For how long a call is tried again depends on who waits for it."""

import aiohttp
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.errors import UnreachableError
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.sources import Tokens


def test_everybody_who_waits_has_a_time_of_their_own() -> None:
    assert set(RETRY_FOR) == set(Waiter)
    assert RETRY_FOR[Waiter.NOBODY] == 0
    assert RETRY_FOR[Waiter.PERSON] < RETRY_FOR[Waiter.WORKER] < RETRY_FOR[Waiter.HOME_ASSISTANT]


async def test_what_nobody_waits_for_is_tried_once(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    with pytest.raises(UnreachableError):
        await client.trying_once().list_folder("")
    assert dropbox_server.log.count("files/list_folder") == 1


async def test_a_client_that_is_told_nothing_takes_its_time_from_the_table(
    session: aiohttp.ClientSession,
    tokens: Tokens,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.BACKGROUND, 0.0)
    told_nothing = DropboxClient(session, tokens.get)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    with pytest.raises(UnreachableError):
        await told_nothing.list_folder("")
    assert dropbox_server.log.count("files/list_folder") == 1
