"""Everyone who uploads and downloads in the benchmarks: we, and our peers.

Each runs in a process of its own (`python -m benchmarks.contenders JSON`), reads a file from disk,
and prints its figures. All are handed the same local Dropbox, and a token.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
import io
import json
import os
from pathlib import Path
import ssl
import sys
import time
from typing import TYPE_CHECKING, override
import warnings

import aiohttp

from .measure import Figures, loop_watched, measured

if TYPE_CHECKING:
    from python_dropbox_api import Auth

# As Home Assistant's reader of local backups.
_READ_SIZE = 1024 * 1024
_PIECE = 64 * 1024
_CONNECTIONS = 6
_BEFORE = 48 * 1024 * 1024


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
    options: dict[str, int] | None = None
    watch: bool = False


@dataclass(slots=True)
class FileSource:
    """A file, read as the integration reads a local backup."""

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


async def upload_with_us(job: Job, figures: Figures) -> None:
    """Upload as this integration does."""
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient, UploadCommit
    from custom_components.dropbox_backup.dropbox_api.upload import UploadLimits, upload

    async with session() as http:
        client = DropboxClient(http, _token(job))
        source = FileSource(Path(job.file), job.size)
        options = dict(job.options or {})
        before = options.pop("before", 0)
        limits = UploadLimits(**options)
        for number in range(before):
            # As when several are caught up with: connections and the next session are there.
            first = FileSource(Path(job.file), min(job.size, _BEFORE))
            await upload(client, first, UploadCommit(f"/before{number}.tar"), limits=limits)
        with measured(figures):
            async with loop_watched(figures, job.watch):
                await upload(client, source, UploadCommit(job.path), limits=limits)


async def upload_with_core(job: Job, figures: Figures) -> None:
    """Upload as Home Assistant's own integration `dropbox` does."""
    from python_dropbox_api import DropboxAPIClient, client as library

    _lead_to_local_dropbox(library)
    async with session() as http:
        api = DropboxAPIClient(_core_auth(job, http))
        source = FileSource(Path(job.file), job.size)
        with measured(figures):
            async with loop_watched(figures, job.watch):
                await api.upload_file(job.path, source.read())


async def upload_with_sdk(job: Job, figures: Figures) -> None:
    """Upload with the transfer helpers of the official SDK."""
    import dropbox
    from dropbox.file_transfer import FileUpload, Uploader, UploadOptions
    from dropbox.files import CommitInfo

    options = UploadOptions(**(job.options or {}))
    with dropbox.Dropbox(job.token) as client, measured(figures):
        Uploader(client).upload(FileUpload(job.file), CommitInfo(job.path), options)


async def download_with_us(job: Job, figures: Figures) -> None:
    """Restore as this integration does."""
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
    from custom_components.dropbox_backup.dropbox_api.download import download

    async with session() as http:
        client = DropboxClient(http, _token(job))
        stream = download(client, job.rev, job.size, job.content_hash)
        await _swallow(stream, job, figures)


async def download_with_core(job: Job, figures: Figures) -> None:
    """Restore as Home Assistant's own integration `dropbox` does."""
    from python_dropbox_api import DropboxAPIClient, client as library

    _lead_to_local_dropbox(library)
    async with session() as http:
        stream = DropboxAPIClient(_core_auth(job, http)).download_file(job.path)
        await _swallow(stream, job, figures)


async def download_with_sdk(job: Job, figures: Figures) -> None:
    """Download with the transfer helpers of the official SDK, to a file."""
    import dropbox
    from dropbox.file_transfer import Downloader, DownloadOptions, File

    options = DownloadOptions(**(job.options or {}))
    with dropbox.Dropbox(job.token) as client, measured(figures):
        Downloader(client).download(job.path, File(job.file), options)


async def list_with_us(job: Job, figures: Figures) -> None:
    """List a folder to its end."""
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient

    async with session() as http:
        client = DropboxClient(http, _token(job))
        with measured(figures):
            async with loop_watched(figures, job.watch):
                page = await client.list_folder(job.path)
                found = len(page.entries)
                while page.has_more:
                    page = await client.list_folder_continue(page.cursor)
                    found += len(page.entries)
        assert found == job.size


async def send_body(job: Job, figures: Figures) -> None:
    """Send a file's bytes as one chunk after the other, in one form of request body."""
    from custom_components.dropbox_backup.dropbox_api.transport import Body

    chunk = Path(job.file).read_bytes()  # noqa: ASYNC240  (before anything is measured)
    url = f"https://{os.environ['DROPBOX_API_CONTENT_HOST']}/2/files/upload_session/append_v2"

    async def pieces() -> AsyncGenerator[bytes]:
        for start in range(0, len(chunk), _PIECE):
            yield chunk[start : start + _PIECE]

    forms: dict[str, Callable[[], object]] = {
        "Body": lambda: Body(chunk),
        "bytes": lambda: chunk,
        "BytesIO": lambda: io.BytesIO(chunk),
        "generator": pieces,
    }
    argument = {"cursor": {"session_id": "none", "offset": 0}}
    headers = {
        "Authorization": f"Bearer {job.token}",
        "Content-Type": "application/octet-stream",
        "Dropbox-API-Arg": json.dumps(argument),
    }
    warnings.simplefilter("ignore", ResourceWarning)  # aiohttp's, of large bytes
    async with session() as http:

        async def send(times: int) -> None:
            for _ in range(times):
                # There is no such session: the local Dropbox reads everything and says so.
                async with http.post(url, headers=headers, data=forms[job.path]()) as answer:
                    assert answer.status == HTTPStatus.CONFLICT
                    await answer.read()

        await asyncio.gather(*(send(1) for _ in range(_CONNECTIONS)))
        with measured(figures):
            async with loop_watched(figures, job.watch):
                await asyncio.gather(
                    *(send(job.size // len(chunk) // _CONNECTIONS) for _ in range(_CONNECTIONS))
                )


CONTENDERS: dict[str, Callable[[Job, Figures], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        upload_with_us,
        upload_with_core,
        upload_with_sdk,
        download_with_us,
        download_with_core,
        download_with_sdk,
        list_with_us,
        send_body,
    )
}


async def _swallow(stream: AsyncIterator[bytes], job: Job, figures: Figures) -> None:
    with measured(figures):
        async with loop_watched(figures, job.watch):
            begun, arrived = time.perf_counter(), 0
            async for piece in stream:
                if not arrived:
                    figures.first_byte = time.perf_counter() - begun
                arrived += len(piece)
    assert arrived == job.size


def _token(job: Job) -> Callable[[str | None], Awaitable[str]]:
    async def get(_: str | None) -> str:
        return job.token

    return get


def _lead_to_local_dropbox(library: object) -> None:
    """Replace the hosts, which this library has no setting for."""
    host = f"https://{os.environ['DROPBOX_API_HOST']}"
    vars(library).update(DROPBOX_API_BASE_URL=host, CONTENT_API_BASE_URL=host)


def _core_auth(job: Job, http: aiohttp.ClientSession) -> Auth:
    from python_dropbox_api import Auth

    class Static(Auth):
        @override
        async def async_get_access_token(self) -> str:
            return job.token

    return Static(http)


async def _main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    figures = Figures()
    await CONTENDERS[job.contender](job, figures)
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    asyncio.run(_main())
