"""What a contender is told, and what all of them need."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import ssl
from typing import TYPE_CHECKING, override

import aiohttp

if TYPE_CHECKING:
    from python_dropbox_api import Auth

# As Home Assistant's reader of local backups.
_READ_SIZE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender shall do. `path` is in Dropbox, `file` on this machine."""

    contender: str
    token: str
    path: str
    file: str
    size: int
    rev: str = ""
    content_hash: str = ""
    options: dict[str, float] | None = None
    watch: bool = False


@dataclass(slots=True)
class LocalBackup:
    """A file, read as Home Assistant reads a local backup."""

    path: Path
    size: int

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield it in pieces."""
        loop = asyncio.get_running_loop()
        left = self.size
        with self.path.open("rb") as file:
            while left:
                data = await loop.run_in_executor(None, file.read, min(left, _READ_SIZE))
                left -= len(data)
                yield data


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session like the one that Home Assistant shares among its integrations."""
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    context.set_alpn_protocols(["http/1.1"])
    connector = aiohttp.TCPConnector(limit=4096, limit_per_host=100, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as opened:
        yield opened


def token_of(job: Job) -> Callable[[str | None], Awaitable[str]]:
    """Return what gives our client its access token."""

    async def get(_: str | None) -> str:
        return job.token

    return get


def lead_to_local_dropbox(library: object) -> None:
    """Replace the hosts, which this library has no setting for."""
    host = f"https://{os.environ['DROPBOX_API_HOST']}"
    vars(library).update(DROPBOX_API_BASE_URL=host, CONTENT_API_BASE_URL=host)


def core_auth(job: Job, http: aiohttp.ClientSession) -> Auth:
    """Return what gives the library of HA's `dropbox` its access token."""
    from python_dropbox_api import Auth

    class Static(Auth):
        @override
        async def async_get_access_token(self) -> str:
            return job.token

    return Static(http)
