"""Uploading: chunks in flight, resume, and proof that what arrived is what was sent.

Rules of upload sessions:
https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-start
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
import time
from typing import Protocol

from .client import DropboxClient, FileMetadata, UploadCommit
from .content_hash import BLOCK_SIZE, block_digests, content_hash
from .errors import CorruptError, DropboxError, NotFoundError, RateLimitedError, RefusedError
from .pace import Pace
from .transport import Hold

_TRIES_OF_A_CORRUPT_CHUNK = 5
_TRIES_WITH_A_NEW_SESSION = 2
# In seconds. A session lives for 7 days, and an upload may take some of them.
_PREPARED_FOR = 24 * 3600.0
# 32 MiB, which leaves some of the 64 MiB that an upload may take for everything else.
_MOST_IN_MEMORY = 8


class Source(Protocol):
    """Where the bytes of an upload come from."""

    @property
    def size(self) -> int:
        """How many bytes there are, exactly."""

    def read(self) -> AsyncGenerator[bytes]:
        """Yield all bytes from the first on, the same ones at every call.

        Raises `OSError` or what else the source knows.
        """


class UploadLimits:
    """How much is under way at once, over all uploads that share this object.

    At most `parallel` chunks of `chunk_size` bytes are held in memory: those that are being sent,
    those whose answer is awaited, and one that is ready. How many are sent at once follows the
    line, from `begin` on.
    """

    def __init__(
        self, chunk_size: int = BLOCK_SIZE, parallel: int = _MOST_IN_MEMORY, begin: int = 6
    ) -> None:
        """Refuse what Dropbox would refuse: chunks are multiples of 4 MiB and at most 150 MiB."""
        if chunk_size % BLOCK_SIZE or not 0 < chunk_size <= 148 * 1024 * 1024:
            raise ValueError("chunks must be multiples of 4 MiB up to 148 MiB")
        if parallel < 1:
            raise ValueError("at least one chunk must be in flight")
        self.chunk_size = chunk_size
        self.slots = asyncio.Semaphore(parallel)
        self.pace = Pace(begin, parallel)
        # The closing chunk may be under way while others are, see `_SessionUpload._send`.
        self.closes_early = True
        self._spare: list[bytearray] = []
        self._uploads = 0
        self._prepared: tuple[str, float] | None = None

    def buffer(self, size: int) -> bytearray:
        """Return memory for a chunk. Used again, it needs not be cleared or mapped again."""
        if self._spare and size == self.chunk_size:
            return self._spare.pop()
        return bytearray(size)

    def give_back(self, chunk: bytearray) -> None:
        """Take memory back that nobody reads any more."""
        if len(chunk) == self.chunk_size:
            self._spare.append(chunk)

    async def prepare(self, client: DropboxClient) -> None:
        """Open the session of the next upload ahead of time, so that its data need not wait for it.

        Worth it when an upload is near; harmless when it never comes, or when this fails.
        """
        if self._fresh() is None:
            with suppress(DropboxError):
                session_id = await client.with_patience(0).upload_session_start()
                self._prepared = (session_id, time.monotonic())

    async def open_session(self, client: DropboxClient) -> str:
        """Return the id of a concurrent session that nobody has used."""
        session_id, self._prepared = self._fresh(), None
        return session_id or await client.upload_session_start()

    def _fresh(self) -> str | None:
        if self._prepared is None:
            return None
        session_id, opened = self._prepared
        return session_id if time.monotonic() - opened < _PREPARED_FOR else None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep memory for the next chunk while there may be one."""
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1
            if not self._uploads:
                self._spare.clear()


@dataclass(slots=True)
class UploadSession:
    """What the server is known to have of an upload: enough to go on after a restart.

    The first `arrived` chunks are there, and `arrived_hash` is the SHA-256 of their content hashes;
    `ahead` holds the content hashes of those that overtook others, by index. Going on reads the
    source again and compares: a source that changed is never mixed with what was sent before.
    However large the upload, this stays small: it is written after every chunk.
    """

    session_id: str
    size: int
    chunk_size: int
    arrived: int = 0
    arrived_hash: str = ""
    ahead: dict[int, str] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        """How many chunks there are in all."""
        return -(-self.size // self.chunk_size)


type OnSession = Callable[[UploadSession | None], Awaitable[None]]


async def _forget(_: UploadSession | None) -> None:
    """Take no note of the session: nobody will go on with it."""


@dataclass(slots=True)
class _Sent:
    """Bytes that left us: acknowledged ones plus those of the chunks in flight."""

    report: Callable[[int], None]
    total: int = 0

    def add(self, count: int) -> None:
        self.total += count
        self.report(self.total)


class _SessionLostError(Exception):
    """Dropbox forgot the session, or its source changed: only a new one helps."""


async def upload(
    client: DropboxClient,
    source: Source,
    commit: UploadCommit,
    *,
    limits: UploadLimits | None = None,
    session: UploadSession | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    on_session: OnSession | None = None,
) -> FileMetadata:
    """Upload everything that `source` yields; return the `files.FileMetadata` of the verified file.

    `session` continues an earlier upload. `on_session` is told whenever the session changed, and
    `None` when it is of no further use; no further chunk is sent in the place of one that it has
    not taken note of. `on_progress` gets the bytes sent so far, out of `source.size`. A file that
    is there already with the same content is success; with other content it is a `RefusedError`.
    """
    limits = limits or UploadLimits()
    on_session = on_session or _forget
    if source.size <= limits.chunk_size:
        async with limits.slots:
            return await _upload_small(client, source, commit, on_progress)
    with limits.in_use():
        return await _upload_in_session(
            client, source, commit, limits, session, on_progress, on_session
        )


async def _upload_in_session(
    client: DropboxClient,
    source: Source,
    commit: UploadCommit,
    limits: UploadLimits,
    session: UploadSession | None,
    on_progress: Callable[[int], None],
    on_session: OnSession,
) -> FileMetadata:
    for last_try in (False,) * _TRIES_WITH_A_NEW_SESSION + (True,):
        run = _SessionUpload(client, source, limits, session, on_progress, on_session)
        try:
            digests = await run.send_chunks()
            metadata = await run.finish(commit, content_hash(digests))
        except _SessionLostError as err:
            session = None
            await on_session(None)
            if last_try:
                raise CorruptError("the upload session was lost again and again") from err
        else:
            await on_session(None)
            return metadata
        finally:
            run.stop()
    raise AssertionError("unreachable")


async def _upload_small(
    client: DropboxClient,
    source: Source,
    commit: UploadCommit,
    on_progress: Callable[[int], None],
) -> FileMetadata:
    async with aclosing(source.read()) as stream:
        data = b"".join([piece async for piece in stream])
    _check_size(len(data), source.size)
    expected = content_hash(await _in_thread(data))
    for last_try in (False,) * (_TRIES_OF_A_CORRUPT_CHUNK - 1) + (True,):
        sent = _Sent(on_progress)
        try:
            metadata = await client.upload(data, commit, expected, sent.add)
        except RefusedError as err:
            if err.reason == "content_hash_mismatch" and not last_try:
                continue
            return await _already_there(client, commit, expected, err)
        return await _verified(client, commit, metadata, expected)
    raise AssertionError("unreachable")


class _SessionUpload:
    """One pass over the source with one upload session."""

    def __init__(
        self,
        client: DropboxClient,
        source: Source,
        limits: UploadLimits,
        session: UploadSession | None,
        on_progress: Callable[[int], None],
        on_session: OnSession,
    ) -> None:
        self._client = client
        self._source = source
        self._limits = limits
        self._earlier = session
        self._arrived = sha256()
        self._sent = _Sent(on_progress)
        self._on_session = on_session
        self._under_way: set[asyncio.Task[None]] = set()
        self._preparing: asyncio.Task[None] | None = None
        self._session: UploadSession

    async def send_chunks(self) -> list[bytes]:
        """Send what the server lacks; return the digests of all blocks."""
        self._session = await self._open()
        digests: list[bytes] = []
        chunks = read_chunks(self._source, self._session.chunk_size, self._limits.buffer)
        try:
            async with aclosing(chunks), asyncio.TaskGroup() as tasks:
                for index in range(self._session.chunks):
                    digests += await self._next(chunks, index, tasks)
                # After one backup there is often another.
                self._preparing = asyncio.create_task(self._limits.prepare(self._client))
                async for _ in chunks:  # lets the source find out that it is longer than it claimed
                    pass
        except ExceptionGroup as group:
            raise _cause(group) from group
        return digests

    def stop(self) -> None:
        """Let go of what this upload does not need itself."""
        if self._preparing is not None:
            self._preparing.cancel()

    async def finish(self, commit: UploadCommit, expected: str) -> FileMetadata:
        """Make the session a file and verify it."""
        try:
            metadata = await self._client.upload_session_finish(
                self._session.session_id, self._session.size, commit
            )
        except (NotFoundError, RefusedError) as err:
            # Also the case when the answer to an earlier try was lost: the session is used up and
            # the file is there.
            try:
                return await _already_there(self._client, commit, expected, err)
            except (NotFoundError, RefusedError) as conflict:
                if err.reason.startswith("lookup_failed") or "concurrent_session" in err.reason:
                    raise _SessionLostError from err
                raise conflict from None
        return await _verified(self._client, commit, metadata, expected)

    async def _open(self) -> UploadSession:
        session = self._earlier
        # A session of which nothing is proven may hold a chunk of other content: an encrypted
        # source never gives the same bytes again.
        proven = session is not None and (session.arrived or session.ahead)
        if session is not None and proven and session.size == self._source.size:
            self._known = session.arrived
            return replace(session, ahead=dict(session.ahead))
        session = UploadSession(
            await self._limits.open_session(self._client),
            self._source.size,
            self._limits.chunk_size,
        )
        self._known = 0
        await self._on_session(session)
        return session

    def _is_there(self, index: int, chunk_hash: str) -> bool:
        """Tell whether an earlier upload brought the chunk. Raises `_SessionLostError` if it
        brought another.
        """
        if index < self._known:
            self._arrived.update(chunk_hash.encode())
            last = index == self._known - 1
            if last and self._arrived.hexdigest() != self._session.arrived_hash:
                raise _SessionLostError
            return True
        known = self._session.ahead.get(index)
        if known is not None and known != chunk_hash:
            raise _SessionLostError
        return known is not None

    def _take_note(self, index: int, chunk_hash: str) -> None:
        session = self._session
        session.ahead[index] = chunk_hash
        while session.arrived in session.ahead:
            self._arrived.update(session.ahead.pop(session.arrived).encode())
            session.arrived += 1
        session.arrived_hash = self._arrived.hexdigest()

    async def _next(
        self, chunks: AsyncGenerator[bytearray], index: int, tasks: asyncio.TaskGroup
    ) -> list[bytes]:
        """Read the next chunk and begin to send it; return the digests of its blocks.

        A slot is taken before it is read: there are never more chunks in memory than slots.
        """
        await self._limits.slots.acquire()
        try:
            chunk = await anext(chunks)
            digests = await _in_thread(chunk)
            chunk_hash = content_hash(digests)
            if self._is_there(index, chunk_hash):
                self._sent.add(len(chunk))
                self._limits.give_back(chunk)
                self._limits.slots.release()
                return digests
            await self._limits.pace.begin()
        except BaseException:
            self._limits.slots.release()
            raise
        turn = _Turn(self._limits.pace)
        task = tasks.create_task(self._send(index, chunk, chunk_hash, turn, set(self._under_way)))
        self._under_way.add(task)
        # Also of a task that is cancelled before it begins.
        task.add_done_callback(lambda _: turn.end())
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda _: self._limits.slots.release())
        return digests

    async def _send(
        self,
        index: int,
        chunk: bytearray,
        chunk_hash: str,
        turn: _Turn,
        earlier: set[asyncio.Task[None]],
    ) -> None:
        """Send one chunk whose turn it is."""
        hold: Hold | None = None
        closes = index == self._session.chunks - 1
        if closes and earlier:
            # No chunk may follow the one that closes the session: it is not complete before all
            # others have been acknowledged.
            async def hold() -> None:
                turn.end()
                await asyncio.wait(earlier)

            if not self._limits.closes_early:
                await hold()
        await self._append(index, chunk, chunk_hash, turn, hold, close=closes)
        self._limits.give_back(chunk)
        self._take_note(index, chunk_hash)
        await self._on_session(self._session)

    async def _append(
        self,
        index: int,
        chunk: bytearray,
        chunk_hash: str,
        turn: _Turn,
        hold: Hold | None,
        *,
        close: bool,
    ) -> None:
        offset = index * self._session.chunk_size
        for last_try in (False,) * (_TRIES_OF_A_CORRUPT_CHUNK - 1) + (True,):
            attempt = _Attempt(self._sent, len(chunk), turn)
            try:
                await self._client.upload_session_append(
                    self._session.session_id,
                    offset,
                    chunk,
                    chunk_hash,
                    close=close,
                    hold=hold,
                    on_sent=attempt.add,
                    on_failure=turn.on_failure,
                )
            except NotFoundError as err:
                raise _SessionLostError from err
            except RefusedError as err:
                if err.reason == "closed":
                    # An earlier pass closed it and the answer was lost. The commit will prove it.
                    if close:
                        return
                    if self._earlier:
                        # It was closed because all had arrived; not all of that was taken note of.
                        attempt.complete()
                        return
                    # Or the closing chunk closes already when it begins: not documented.
                    self._limits.closes_early = False
                    raise _SessionLostError from err
                if err.reason == "concurrent_session_invalid_offset" and self._earlier:
                    # An earlier run brought it and could not take note. The commit will prove it.
                    attempt.complete()
                    return
                if err.reason != "content_hash_mismatch":
                    raise
                if last_try:
                    raise CorruptError(
                        "the connection damages what is sent", err.request_id
                    ) from err
                attempt.forget()
            else:
                attempt.complete()
                return


class _Turn:
    """One chunk's turn to use the line: from its first byte until its last one has left us.

    While Dropbox makes up its answer, the line is the next chunk's.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._begun = time.monotonic()
        self._failed = False
        self._ended = False

    def on_failure(self, err: DropboxError) -> None:
        self._failed = True
        if isinstance(err, RateLimitedError):
            self._pace.slow_down()

    def all_sent(self) -> None:
        # How long something took that had to be repeated tells nothing about the line.
        self.end(None if self._failed else time.monotonic() - self._begun)

    def end(self, seconds: float | None = None) -> None:
        if not self._ended:
            self._ended = True
            self._pace.end(seconds)


class _Attempt:
    """Counts one chunk into the total once, however often it had to be sent."""

    def __init__(self, sent: _Sent, size: int, turn: _Turn) -> None:
        self._sent = sent
        self._size = size
        self._turn = turn
        self._counted = 0

    def add(self, count: int) -> None:
        # A repeated chunk starts again from its first byte: what was counted before stays counted.
        count = min(count, self._size - self._counted)
        self._counted += count
        self._sent.add(count)
        if self._counted == self._size:
            self._turn.all_sent()

    def complete(self) -> None:
        self.add(self._size)

    def forget(self) -> None:
        self._sent.add(-self._counted)
        self._counted = 0


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
                        _check_size(total + len(view), source.size)
                count = min(len(view), len(chunk) - filled)
                chunk[filled : filled + count] = view[:count]
                view = view[count:]
                filled += count
                total += count
                if filled == len(chunk):
                    yield chunk
                    chunk, filled = bytearray(), 0
    _check_size(total, source.size)


def _check_size(found: int, expected: int) -> None:
    if found != expected:
        raise CorruptError(f"the backup has {found} bytes instead of {expected}")


async def _in_thread(chunk: bytes | bytearray) -> list[bytes]:
    return await asyncio.get_running_loop().run_in_executor(None, block_digests, chunk)


async def _already_there(
    client: DropboxClient, commit: UploadCommit, expected: str, err: DropboxError
) -> FileMetadata:
    """Return the file at the commit's path if it has our content; raise the error if not."""
    try:
        metadata = await client.get_metadata(commit.path)
    except NotFoundError:
        raise err from None
    if getattr(metadata, "content_hash", None) != expected:
        raise err
    return metadata


async def _verified(
    client: DropboxClient, commit: UploadCommit, metadata: FileMetadata, expected: str
) -> FileMetadata:
    if metadata.content_hash == expected:
        return metadata
    # We just made this very revision, and it is damaged: it must not be taken for a backup.
    await client.delete(commit.path, metadata.rev)
    raise CorruptError("Dropbox stored something else than what was sent")


def _cause(group: ExceptionGroup) -> Exception:
    """Return the one error that tells most: a lost session or a definite answer before a missing
    one.
    """
    errors = [_cause(err) if isinstance(err, ExceptionGroup) else err for err in group.exceptions]
    definite = [err for err in errors if isinstance(err, (_SessionLostError, RefusedError))]
    return (definite or errors)[0]
