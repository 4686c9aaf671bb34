"""A client of the local Dropbox, over real HTTPS, without Home Assistant."""

from collections.abc import AsyncIterator
import os
import ssl

import aiohttp
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from tests.support.dropbox_server import DropboxAccount, DropboxServer
from tests.support.sources import Tokens


@pytest.fixture
def account(dropbox_server: DropboxServer) -> DropboxAccount:
    return next(iter(dropbox_server.accounts.values()))


@pytest.fixture
def tokens(dropbox_server: DropboxServer, account: DropboxAccount) -> Tokens:
    return Tokens(dropbox_server, account)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def client(session: aiohttp.ClientSession, tokens: Tokens) -> DropboxClient:
    return DropboxClient(session, tokens.get, retry_for=5)
