"""Reading a backup in chunks, with their hashes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
import io
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
import os
from pathlib import Path
from typing import Protocol, override

from ...codes import Bytes, Reason
from ..content_hash import block_digests
from ..errors import CorruptError, Fault
from ..threads import in_thread

_PIECE_SIZE = 1024 * 1024
_NOTHING = memoryview(b"")


type Buffer = Callable[[int], memoryview]
"""Returns memory for a chunk of so many bytes."""


def memory_for(size: int) -> memoryview:
    """Return memory for a chunk of so many bytes, at least one.

    It comes straight from the kernel, which clears it page by page as it is filled: clearing all of
    it at once would hold up the event loop, and growing it, or making it in a thread, would leave
    holes in memory.
    """
    return memoryview(mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS))


class Source(Protocol):
    """Where the bytes of an upload come from."""

    @property
    def size(self) -> int:
        """How many bytes there are, exactly."""

    def read(self) -> AsyncGenerator[bytes]:
        """Yield all bytes from the first on, the same ones at every call.

        Raises `OSError` or what else the source knows.
        """

    async def etag(self) -> str | None:
        """Return what tells these bytes from all others that the source had or will have, as
        HTTP's strong `ETag` does; None if it can't tell. With one it can be read from anywhere.

        Raises what reading raises.
        """
        return None

    def chunks(
        self, chunk_size: int, buffer: Buffer = memory_for, start: int = 0
    ) -> AsyncGenerator[memoryview]:
        """Yield the same in chunks, in memory that `buffer` returns.

        `start`: the byte to begin at; only of what `etag` told just before. Raises `CorruptError`
        when there is not as much as `size` claims.
        """
        assert start == 0
        return cut(self.read(), self.size, chunk_size, buffer)


async def cut(
    pieces: AsyncGenerator[bytes],
    size: int,
    chunk_size: int,
    buffer: Buffer = memory_for,
    start: int = 0,
) -> AsyncGenerator[memoryview]:
    """Yield pieces as chunks, in memory that `buffer` returns. The pieces begin at byte `start` of
    `size`.

    Raises `CorruptError` when there is not as much.
    """
    chunk, filled, total = _NOTHING, 0, start
    async with aclosing(pieces) as stream:
        async for piece in stream:
            view = memoryview(piece)
            while view:
                if not chunk:
                    if total >= size:
                        _check_size(total + len(view), size)
                    chunk = buffer(min(chunk_size, size - total))
                count = min(len(view), len(chunk) - filled)
                chunk[filled : filled + count] = view[:count]
                view = view[count:]
                filled += count
                total += count
                if filled == len(chunk):
                    yield chunk
                    chunk, filled = _NOTHING, 0
    _check_size(total, size)


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    """A file. `check` looks at it, open, before and after it is read, in a thread.

    Raises what `check` raises, `OSError`, and `CorruptError` if the file is not as large as `size`.
    """

    path: Path
    size: int
    check: Callable[[io.BufferedReader], None] = lambda _: None

    @override
    async def read(self) -> AsyncGenerator[bytes]:
        async with self._opened() as file:
            while data := await in_thread(file.read, _PIECE_SIZE):
                yield data

    @override
    async def chunks(
        self, chunk_size: int, buffer: Buffer = memory_for, start: int = 0
    ) -> AsyncGenerator[memoryview]:
        # The kernel writes right into the chunks: nothing is copied.
        async with self._opened() as file:
            await in_thread(file.seek, start)
            for position in range(start, self.size, chunk_size):
                chunk = buffer(min(chunk_size, self.size - position))
                if await in_thread(_fill, chunk, file) < len(chunk):
                    await in_thread(self._check, file)
                yield chunk

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[io.BufferedReader]:
        # Buffered, because then closing it waits for a reading that nobody waits for any more.
        file = await in_thread(self.path.open, "rb")
        try:
            await in_thread(self._check, file)
            yield file
            await in_thread(self._check, file)
        finally:
            await asyncio.shield(in_thread(file.close))

    def _check(self, file: io.BufferedReader) -> None:
        self.check(file)
        _check_size(os.fstat(file.fileno()).st_size, self.size)


def _fill(chunk: memoryview, file: io.BufferedReader) -> int:
    filled = 0
    while count := file.readinto(chunk[filled:]):
        filled += count
    return filled


def _check_size(found: int, expected: int) -> None:
    """Raise `CorruptError` if a source was not as long as it claimed."""
    if found != expected:
        raise CorruptError(
            Reason.of(Fault.WRONG_LENGTH, found=Bytes(found), expected=Bytes(expected))
        )


async def digests_of(chunk: bytes | memoryview) -> list[bytes]:
    """Return the digest of each block of a chunk, without holding up the event loop."""
    return await in_thread(block_digests, chunk)
