"""Uploading and downloading one file: we, and our peers."""

from collections.abc import AsyncIterator
from pathlib import Path
import time
from typing import Any

from benchmarks.contenders.job import (
    Job,
    LocalBackup,
    core_auth,
    lead_to_local_dropbox,
    session,
    token_of,
)
from benchmarks.measure import Figures, loop_watched, measured
from benchmarks.pi import as_on_a_pi


async def upload_with_us(job: Job, figures: Figures) -> None:
    """Upload as this integration does."""
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
    from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
    from custom_components.dropbox_backup.dropbox_api.upload.source import FileSource
    from custom_components.dropbox_backup.dropbox_api.upload.upload import Lane, UploadPool, upload

    async with session() as http:
        client = DropboxClient(http, token_of(job))
        source = FileSource(Path(job.file), job.size)
        options = dict(job.options or {})
        opened_ahead = bool(options.pop("opened_ahead", 0))
        as_on_a_pi(options.pop("pi", 1.0))
        speed = options.pop("bytes_per_second", None)
        # Any: they are the pool's own, by name.
        sizes: dict[str, Any] = {name: int(value) for name, value in options.items()}
        lane = Lane(UploadPool(**sizes))
        if speed is not None:
            lane.pool.speed.bytes_per_second = speed
        if opened_ahead:
            await lane.pool.prepare(client)
        with measured(figures):
            async with loop_watched(figures, job.watch):
                await upload(client, source, UploadCommit(job.path), lane=lane)


async def upload_with_core(job: Job, figures: Figures) -> None:
    """Upload as Home Assistant's own integration `dropbox` does."""
    from python_dropbox_api import DropboxAPIClient, client as library

    lead_to_local_dropbox(library)
    async with session() as http:
        api = DropboxAPIClient(core_auth(job, http))
        source = LocalBackup(Path(job.file), job.size)
        with measured(figures):
            async with loop_watched(figures, job.watch):
                await api.upload_file(job.path, source.read())


async def upload_with_sdk(job: Job, figures: Figures) -> None:
    """Upload with the transfer helpers of the official SDK."""
    import dropbox
    from dropbox.file_transfer import FileUpload, Uploader, UploadOptions
    from dropbox.files import CommitInfo

    options = UploadOptions(**{name: int(value) for name, value in (job.options or {}).items()})
    with dropbox.Dropbox(job.token) as client, measured(figures):
        Uploader(client).upload(FileUpload(job.file), CommitInfo(job.path), options)


async def download_with_us(job: Job, figures: Figures) -> None:
    """Restore as this integration does."""
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
    from custom_components.dropbox_backup.dropbox_api.download import download

    as_on_a_pi((job.options or {}).get("pi", 1.0))
    async with session() as http:
        client = DropboxClient(http, token_of(job))
        stream = download(client, job.rev, job.size, job.content_hash)
        await _swallow(stream, job, figures)


async def download_with_core(job: Job, figures: Figures) -> None:
    """Restore as Home Assistant's own integration `dropbox` does."""
    from python_dropbox_api import DropboxAPIClient, client as library

    lead_to_local_dropbox(library)
    async with session() as http:
        stream = DropboxAPIClient(core_auth(job, http)).download_file(job.path)
        await _swallow(stream, job, figures)


async def download_with_sdk(job: Job, figures: Figures) -> None:
    """Download with the transfer helpers of the official SDK, to a file."""
    import dropbox
    from dropbox.file_transfer import Downloader, DownloadOptions, File

    options = DownloadOptions(**{name: int(value) for name, value in (job.options or {}).items()})
    with dropbox.Dropbox(job.token) as client, measured(figures):
        Downloader(client).download(job.path, File(job.file), options)


async def _swallow(stream: AsyncIterator[bytes], job: Job, figures: Figures) -> None:
    with measured(figures):
        async with loop_watched(figures, job.watch):
            begun, arrived = time.perf_counter(), 0
            async for piece in stream:
                if not arrived:
                    figures.first_byte = time.perf_counter() - begun
                arrived += len(piece)
    assert arrived == job.size
