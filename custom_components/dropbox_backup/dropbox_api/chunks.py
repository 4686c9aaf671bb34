"""Reading a backup in chunks, with their hashes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Protocol

from .content_hash import block_digests
from .errors import CorruptError

_NOTHING = memoryview(b"")


class Source(Protocol):
    """Where the bytes of an upload come from."""

    @property
    def size(self) -> int:
        """How many bytes there are, exactly."""

    def read(self) -> AsyncGenerator[bytes]:
        """Yield all bytes from the first on, the same ones at every call.

        Raises `OSError` or what else the source knows.
        """


def memory_for(size: int) -> memoryview:
    """Return memory for a chunk of so many bytes, at least one.

    It comes straight from the kernel, which clears it page by page as it is filled: clearing all of
    it at once would hold up the event loop, and growing it, or making it in a thread, would leave
    holes in memory.
    """
    return memoryview(mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS))


async def read_chunks(
    source: Source, chunk_size: int, buffer: Callable[[int], memoryview] = memory_for
) -> AsyncGenerator[memoryview]:
    """Cut what the source yields into chunks, in memory that `buffer` returns.

    Raises `CorruptError` when it is not as long as it claims.
    """
    chunk, filled, total = _NOTHING, 0, 0
    async with aclosing(source.read()) as stream:
        async for piece in stream:
            view = memoryview(piece)
            while view:
                if not chunk:
                    if total >= source.size:
                        check_size(total + len(view), source.size)
                    chunk = buffer(min(chunk_size, source.size - total))
                count = min(len(view), len(chunk) - filled)
                chunk[filled : filled + count] = view[:count]
                view = view[count:]
                filled += count
                total += count
                if filled == len(chunk):
                    yield chunk
                    chunk, filled = _NOTHING, 0
    check_size(total, source.size)


def check_size(found: int, expected: int) -> None:
    """Raise `CorruptError` if a source was not as long as it claimed."""
    if found != expected:
        raise CorruptError(f"the backup has {found} bytes instead of {expected}")


async def digests_of(chunk: bytes | memoryview) -> list[bytes]:
    """Return the digest of each block of a chunk, without holding up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, block_digests, chunk)
