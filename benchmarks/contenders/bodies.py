"""Sending bytes as request bodies of one form or another."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
import io
import json
import os
from pathlib import Path
import warnings

from benchmarks.contenders.job import Job, session
from benchmarks.measure import Figures, loop_watched, measured

_PIECE = 64 * 1024
_CONNECTIONS = 6


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
