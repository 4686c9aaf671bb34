"""Downloading: ranges in flight, delivered in order, that survive broken connections and are
verified at the end.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
import logging

import aiohttp

from .client import DropboxClient
from .concurrency import Concurrency, Stopwatch
from .errors import (
    CorruptError,
    Fault,
    NotFoundError,
    RangeIgnoredError,
    RefusedError,
    TransientError,
    UnreachableError,
)
from .retry import Stamina
from .sdk import content_hash
from .threads import in_thread
from .types import File

_LOGGER = logging.getLogger(__name__)

_RANGE_SIZE = 4 * 1024 * 1024
# What is in memory, received or expected: 32 MiB.
_MOST_RANGES = 8
_RANGES_AT_FIRST = 6
# In seconds. A TLS handshake holds up the event loop for a moment: not all at the same time.
_BETWEEN_HANDSHAKES = 0.02
_PIECE_SIZE = 1024 * 1024
# Bytes that are read for nothing to reach a range that is not given by itself.
_MOST_SKIPPED = 16 * 1024 * 1024


async def download(
    client: DropboxClient, rev: str, size: int, expected_hash: str
) -> AsyncGenerator[bytes]:
    """Yield the content of one revision of a file, in pieces of about 1 MiB; the first is small.

    A broken connection is taken up again at the byte where it broke, and Dropbox is given the time
    that it asks for, up to an hour in which nothing comes. Raises `CorruptError` after
    the last byte if the content is not what its content hash promises: who consumes the stream must
    not trust it before it has ended. Close it if you don't: connections are open until then.
    """
    hasher = content_hash.DropboxContentHasher()
    async with aclosing(_pieces(client, rev, size)) as pieces:
        async for piece in pieces:
            await in_thread(hasher.update, piece)
            yield piece
    if hasher.hexdigest() != expected_hash:
        raise CorruptError(Fault.DOWNLOAD_DIFFERS)


async def read_range(client: DropboxClient, rev: str, start: int, end: int) -> bytes:
    """Return the bytes from `start` up to but without `end`; fewer if the file ends before.

    Raises `RefusedError` for what lies deep in a file if something on the way strips ranges.
    """
    if start >= end:
        return b""
    retries = client.retries()
    while True:
        try:
            return await _read_range(client, f"rev:{rev}", start, end)
        except TransientError as err:
            # The call is repeated until its answer begins; this one broke off.
            await retries.wait_after(err)


async def _read_range(client: DropboxClient, path: str, start: int, end: int) -> bytes:
    try:
        async with client.download(path, start, end) as (_metadata, stream):
            return await _read(stream, end - start)
    except RangeIgnoredError as err:
        if start > _MOST_SKIPPED:
            raise RefusedError(Fault.RANGES_IGNORED, err.request_id) from err
    async with client.download(path) as (_metadata, stream):
        skipped = 0
        while skipped < start and (data := await stream.read(min(_PIECE_SIZE, start - skipped))):
            skipped += len(data)
        return await _read(stream, end - start)


async def _read(stream: aiohttp.StreamReader, size: int) -> bytes:
    """Return so many bytes, fewer only if the stream ends before."""
    found = bytearray()
    while len(found) < size and (data := await stream.read(size - len(found))):
        found += data
    return bytes(found)


async def _pieces(client: DropboxClient, rev: str, size: int) -> AsyncGenerator[bytes]:
    """Yield everything, in ranges as long as those are honoured."""
    ranges = _Ranges(client, rev, size)
    delivered = 0
    try:
        async for piece in ranges.pieces():
            delivered += len(piece)
            yield piece
    except RangeIgnoredError:
        _LOGGER.info("Ranges are ignored on the way to Dropbox: the download is one stream")
    else:
        return
    finally:
        await ranges.stop()
    async with aclosing(_one_stream(client, rev, size, delivered)) as rest:
        async for piece in rest:
            yield piece


async def _one_stream(
    client: DropboxClient, rev: str, size: int, position: int
) -> AsyncGenerator[bytes]:
    """Yield what comes after `position`, from the beginning of the file again after each break."""
    stamina = Stamina(client.rate_limit, asyncio.Event())
    while position < size:
        begun, seen = position, 0
        try:
            async with client.download(f"rev:{rev}") as (metadata, stream):
                _check_same(metadata, size)
                async for data in stream.iter_chunked(_PIECE_SIZE):
                    skipped = max(0, position - seen)
                    seen += len(data)
                    if seen > position:
                        position = seen
                        yield data[skipped:]
            _check_end(position, size)
        except TransientError as err:
            await stamina.wait_after(err, progress=position > begun)


def _check_end(position: int, end: int) -> None:
    if position < end:
        raise UnreachableError(Fault.ANSWER_BROKEN_OFF)


def _check_same(metadata: File, size: int) -> None:
    if metadata.size != size:
        raise NotFoundError(Fault.ANOTHER_FILE)


class _Range:
    """Bytes from `position` up to but without `end`: what has arrived of them and is not yet
    delivered.
    """

    def __init__(self, start: int, end: int) -> None:
        self.position = start
        self.end = end
        self.task: asyncio.Task[None]
        self._arrived: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Take what arrived."""
        if self.position + len(data) > self.end:
            raise UnreachableError(Fault.ANSWER_TOO_LONG)
        self.position += len(data)
        self._arrived.append(data)
        self._size += len(data)
        self._news.set()

    async def take(self, at_least: int) -> bytes:
        """Return so many bytes, and hardly more, or all the rest, in order; nothing at the end.

        Raises what ended the transfer before its time.
        """
        while self._size < at_least and not self.task.done():
            self._news.clear()
            await self._news.wait()
        if not self._size:
            self.task.result()
        taken, size = [], 0
        while self._arrived and size < at_least:
            taken.append(self._arrived.popleft())
            size += len(taken[-1])
        self._size -= size
        return b"".join(taken)

    def wake(self, _: asyncio.Task[None]) -> None:
        """Look at the task: it has ended."""
        self._news.set()


class _Ranges:
    """All ranges of one download, several of them under way."""

    def __init__(self, client: DropboxClient, rev: str, size: int) -> None:
        self._client = client
        self._rev = rev
        self._size = size
        self._to_come = _cut(size)
        self._told = asyncio.Event()
        self._concurrency = Concurrency(1, _MOST_RANGES, least=1)
        self._learnt = False
        self._begun: deque[_Range] = deque()
        self._stopped = False
        self._more: asyncio.Task[None] | None = None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield everything in order."""
        at_least = 1  # so that the first bytes come quickly
        self._fill()
        self._more = asyncio.create_task(self._begin_more())
        while self._begun:
            while piece := await self._begun[0].take(at_least):
                at_least = _PIECE_SIZE
                yield piece
            self._begun.popleft()
            self._fill()

    async def _begin_more(self) -> None:
        """Begin as many as are good for most lines, unless data comes faster than the event loop
        can take it anyway, until it is known what is good for this one.
        """
        while self._concurrency.allowed < _RANGES_AT_FIRST and not self._learnt:
            watch = Stopwatch()
            await asyncio.sleep(_BETWEEN_HANDSHAKES)
            if not watch.read().busy:
                self._concurrency.allow_one_more()
                self._fill()

    async def stop(self) -> None:
        """Return when nothing is under way any more."""
        self._stopped = True
        tasks = [part.task for part in self._begun]
        if self._more is not None:
            tasks.append(self._more)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fill(self) -> None:
        """Begin as many ranges as the line deserves and memory allows."""
        while self._under_way() < self._concurrency.allowed and len(self._begun) < _MOST_RANGES:
            part = next(self._to_come, None)
            if part is None or self._stopped:
                return
            self._begun.append(part)
            part.task = asyncio.create_task(self._fetch(part))
            part.task.add_done_callback(lambda _: self._fill())
            part.task.add_done_callback(part.wake)

    def _under_way(self) -> int:
        return sum(not part.task.done() for part in self._begun)

    async def _fetch(self, part: _Range) -> None:
        watch, length = Stopwatch(), part.end - part.position
        stamina = Stamina(self._client.rate_limit, self._told)
        while part.position < part.end:
            position = part.position
            try:
                await self._fetch_once(part)
            except RangeIgnoredError:
                raise  # it would be ignored every time
            except TransientError as err:
                await stamina.wait_after(err, progress=part.position > position)
        if length == _RANGE_SIZE:
            self._learnt = True
            self._concurrency.learn(watch.read())

    async def _fetch_once(self, part: _Range) -> None:
        """Receive one connection's share; what came before it broke is not lost."""
        # The path `rev:` keeps to one revision, whatever happens to the file meanwhile.
        path = f"rev:{self._rev}"
        async with self._client.download(path, part.position, self._end(part)) as (
            metadata,
            stream,
        ):
            _check_same(metadata, self._size)
            async for data in stream.iter_any():
                part.put(data)
        _check_end(part.position, part.end)

    def _end(self, part: _Range) -> int | None:
        return None if part.end == self._size else part.end


def _cut(size: int) -> Iterator[_Range]:
    """Cut a file into ranges. The first ones grow step by step: so they don't end, and leave the
    line idle, all at the same time.
    """
    start, steps = 0, 0
    while start < size:
        steps = min(steps + 1, _RANGES_AT_FIRST)
        # A small file is one request.
        length = size if size <= _RANGE_SIZE else steps * _RANGE_SIZE // _RANGES_AT_FIRST
        yield _Range(start, min(size, start + length))
        start += length
