"""Reading a backup in chunks, with their hashes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from .content_hash import block_digests
from .errors import CorruptError


class Source(Protocol):
    """Where the bytes of an upload come from."""

    @property
    def size(self) -> int:
        """How many bytes there are, exactly."""

    def read(self) -> AsyncGenerator[bytes]:
        """Yield all bytes from the first on, the same ones at every call.

        Raises `OSError` or what else the source knows.
        """


async def read_chunks(
    source: Source, chunk_size: int, buffer: Callable[[int], bytearray] = bytearray
) -> AsyncGenerator[bytearray]:
    """Cut what the source yields into chunks, in memory that `buffer` returns.

    Raises `CorruptError` when it is not as long as it claims.
    """
    chunk, filled, total = bytearray(), 0, 0
    async with aclosing(source.read()) as stream:
        async for piece in stream:
            view = memoryview(piece)
            while view:
                if not chunk:
                    # At once and here: growing it, or making it in a thread, leaves holes in
                    # memory.
                    chunk = buffer(min(chunk_size, max(0, source.size - total)))
                    if not chunk:
                        check_size(total + len(view), source.size)
                count = min(len(view), len(chunk) - filled)
                chunk[filled : filled + count] = view[:count]
                view = view[count:]
                filled += count
                total += count
                if filled == len(chunk):
                    yield chunk
                    chunk, filled = bytearray(), 0
    check_size(total, source.size)


def check_size(found: int, expected: int) -> None:
    """Raise `CorruptError` if a source was not as long as it claimed."""
    if found != expected:
        raise CorruptError(f"the backup has {found} bytes instead of {expected}")


async def digests_of(chunk: bytes | bytearray) -> list[bytes]:
    """Return the digest of each block of a chunk, without holding up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, block_digests, chunk)
