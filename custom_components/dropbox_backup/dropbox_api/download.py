"""Downloading: a stream that survives broken connections and is verified at its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from .client import DropboxClient
from .errors import CorruptError, NotFoundError, UnreachableError
from .sdk import content_hash

_PIECE_SIZE = 1024 * 1024
_BREAKS_WITHOUT_PROGRESS = 5


async def download(
    client: DropboxClient, rev: str, size: int, expected_hash: str
) -> AsyncGenerator[bytes]:
    """Yield the content of one revision of a file, in pieces of about 1 MiB.

    A broken connection is taken up again at the byte where it broke. Raises `CorruptError` after
    the last byte if the content is not what its content hash promises: who consumes the stream must
    not trust it before it has ended.
    """
    loop = asyncio.get_running_loop()
    hasher = content_hash.DropboxContentHasher()
    position = 0
    breaks = 0
    while position < size:
        begun_at = position
        try:
            async with aclosing(_pieces(client, rev, position, size)) as pieces:
                async for piece in pieces:
                    await loop.run_in_executor(None, hasher.update, piece)
                    position += len(piece)
                    yield piece
        except UnreachableError:
            breaks = 0 if position > begun_at else breaks + 1
            if breaks == _BREAKS_WITHOUT_PROGRESS:
                raise
    if hasher.hexdigest() != expected_hash:
        raise CorruptError("the download is not what was uploaded")


async def read_range(client: DropboxClient, rev: str, start: int, end: int) -> bytes:
    """Return the bytes from `start` up to but without `end`; fewer if the file ends before."""
    if start >= end:
        return b""
    async with client.download(f"rev:{rev}", start, end) as (_metadata, stream):
        return await stream.read()


async def _pieces(
    client: DropboxClient, rev: str, position: int, size: int
) -> AsyncGenerator[bytes]:
    """Yield one connection's share of the file; what came before it broke is not lost."""
    gathered = bytearray()
    try:
        # The path `rev:` keeps to one revision, whatever happens to the file meanwhile.
        async with client.download(f"rev:{rev}", position) as (metadata, stream):
            if metadata.size != size:
                raise NotFoundError("another file is in its place")
            async for data in stream.iter_any():
                gathered += data
                if len(gathered) >= _PIECE_SIZE:
                    yield bytes(gathered)
                    gathered.clear()
        if position == size:
            return
    except UnreachableError:
        if gathered:
            yield bytes(gathered)
        raise
    if gathered:
        yield bytes(gathered)
