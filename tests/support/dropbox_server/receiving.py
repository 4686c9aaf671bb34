"""Bodies on their way to disk: written and hashed in a thread, a few MiB in memory at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
import os
from pathlib import Path

from tests.support.dropbox_server import hashing
from tests.support.dropbox_server.calls import Call

MAX_PAYLOAD = 150 * 1024 * 1024
_BATCH_SIZE = 1024 * 1024
# os.pwritev takes at most IOV_MAX (1024) buffers.
_BATCH_CHUNKS = 1000
# Below this a thread costs more than it saves.
_INLINE_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A body that came in whole. `size` in bytes; `digests` are of its own 4 MiB blocks."""

    size: int
    digests: list[bytes]
    too_large: bool = False

    @property
    def content_hash(self) -> str:
        """Dropbox's content hash of this body alone."""
        return hashing.combine(self.digests)


async def receive(call: Call, path: Path | None, offset: int = 0) -> Received:
    """Read the body of a call into `path` at `offset`; with None it is only hashed.

    A body over Dropbox's 150 MiB is read to its end, but not kept. Raises ConnectionGoneError.
    """
    writer = _Writer(call.state.executor, path, offset)
    try:
        async for chunk in call.body.chunks():
            await writer.add(chunk)
        await writer.finish()
    finally:
        await writer.close()
    await call.think()
    return Received(writer.size, writer.hasher.digests(), writer.size > MAX_PAYLOAD)


class _Writer:
    def __init__(self, executor: Executor, path: Path | None, offset: int) -> None:
        self._executor = executor
        self._offset = offset
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._job: asyncio.Future[None] | None = None
        self.hasher = hashing.BlockHasher()
        self.size = 0

    async def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > MAX_PAYLOAD:
            return
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        if self._waiting >= _BATCH_SIZE or len(self._chunks) >= _BATCH_CHUNKS:
            await self._flush()

    async def finish(self) -> None:
        if self._job is None and self._waiting <= _INLINE_SIZE:
            self._write(self._chunks, self._offset)
            return
        await self._flush()
        await self._join()

    async def close(self) -> None:
        try:
            await self._join()
        finally:
            if self._file is not None:
                os.close(self._file)

    async def _flush(self) -> None:
        """Hand a batch to a thread, when the one before is through: so memory stays bounded."""
        await self._join()
        chunks, self._chunks = self._chunks, []
        loop = asyncio.get_running_loop()
        self._job = loop.run_in_executor(self._executor, self._write, chunks, self._offset)
        self._offset += self._waiting
        self._waiting = 0

    async def _join(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            await job

    def _write(self, chunks: list[bytes], offset: int) -> None:
        if self._file is not None and chunks:
            written = os.pwritev(self._file, chunks, offset)
            if written != sum(map(len, chunks)):
                message = "short write: is the disk full?"
                raise OSError(message)
        for chunk in chunks:
            self.hasher.update(chunk)
