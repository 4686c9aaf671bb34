"""One upload in chunks: those in flight, those that have arrived, and going on later.

Rules of upload sessions:
https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-start
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Self

from ..client import DropboxClient
from ..content_hash import content_hash
from ..errors import NotFoundError, RefusedError, StoppedError
from ..transport import BeforeLastBytes
from ..types import ClosedSession, File, UploadCommit
from .chunk import ChunkSend, ChunkSlot, Sent
from .commits import SessionLostError
from .pool import Lane
from .resumable_hash import ResumableHash
from .source import Source, digests_of


@dataclass(slots=True)
class UploadSession:
    """What the server is known to have of an upload: enough to go on after a restart.

    The first `arrived` chunks are there, and `hash_state` is how far the content hash of the whole
    is known by them; `ahead` holds the content hashes of those that overtook others, by index.
    `etag` is the source's, if it has one: while that is the same, going on reads what has not
    arrived. Otherwise the source is read again and compared: one that changed is never mixed with
    what was sent before. However large the upload, this stays small: it is written after every
    chunk.
    """

    session_id: str
    size: int
    chunk_size: int
    arrived: int = 0
    hash_state: str = ""
    ahead: dict[int, str] = field(default_factory=dict)
    etag: str | None = None

    @property
    def chunks(self) -> int:
        """How many chunks there are in all."""
        return -(-self.size // self.chunk_size)

    @property
    def sent(self) -> int:
        """Bytes that have arrived."""
        return min(self.size, (self.arrived + len(self.ahead)) * self.chunk_size)

    @classmethod
    def of_whole(
        cls, session_id: str, size: int, chunk_size: int, digests: Iterable[bytes]
    ) -> Self:
        """Return the session of a small file that arrived whole; `digests`: of its blocks."""
        state = ResumableHash().plus(b"".join(digests))
        return cls(session_id, size, chunk_size, 1, str(state))

    def is_whole(self, size: int, digests: Iterable[bytes]) -> bool:
        """Tell whether this is the session of a small file that arrived whole."""
        return self == self.of_whole(self.session_id, size, self.chunk_size, digests)


type OnSession = Callable[[UploadSession | None], Awaitable[None]]


async def no_note(_: UploadSession | None) -> None:
    """Take no note of the session: nobody will go on with it."""


class SessionUpload:
    """One pass over the source with one upload session."""

    def __init__(
        self,
        client: DropboxClient,
        source: Source,
        lane: Lane,
        session: UploadSession | None,
        on_progress: Callable[[int], None],
        on_session: OnSession,
    ) -> None:
        self._client = client
        self._source = source
        self._lane = lane
        self._earlier = session
        # How far the content hash is known by the chunk that was read last, and by each of those
        # that do not count as arrived yet.
        self._read = ResumableHash()
        self._read_by: dict[int, ResumableHash] = {}
        self._sent = Sent(on_progress)
        self._on_session = on_session
        self._under_way: set[asyncio.Task[None]] = set()
        self._preparing: asyncio.Task[None] | None = None
        self._session: UploadSession
        self._known = self._begin = 0

    async def send_chunks(self) -> str:
        """Send what the server lacks; return the content hash of the whole.

        Raises `StoppedError` when the lane is stopped and nothing is in flight any more.
        """
        self._session = await self._open()
        go_on = True
        chunk_size = self._session.chunk_size
        skipped = min(self._begin * chunk_size, self._session.size)
        chunks = self._source.chunks(chunk_size, self._lane.pool.buffer, skipped)
        try:
            async with aclosing(chunks), asyncio.TaskGroup() as tasks:
                if skipped:
                    self._sent.add(skipped)
                for index in range(self._begin, self._session.chunks):
                    go_on = await self._next(chunks, index, tasks)
                    if not go_on:
                        break
                else:
                    # After one backup there is often another.
                    self._preparing = asyncio.create_task(self._lane.pool.prepare(self._client))
                    # Lets the source find out that it is longer than it claimed.
                    async for _ in chunks:
                        pass
        except ExceptionGroup as group:
            raise _cause(group) from group
        if not go_on:
            raise StoppedError
        return self._read.hexdigest()

    def stop(self) -> None:
        """Let go of what this upload does not need itself."""
        if self._preparing is not None:
            self._preparing.cancel()

    async def finish(self, commit: UploadCommit, expected: str) -> File:
        """Make the session a file and verify it."""
        closed = ClosedSession(self._session.session_id, self._session.size, commit)
        return await self._lane.pool.committer.make_file(self._client, closed, expected)

    async def _open(self) -> UploadSession:
        etag = await self._source.etag()
        session = self._earlier
        # A session of which nothing is proven may hold a chunk of other content: an encrypted
        # source never gives the same bytes again.
        proven = session is not None and (session.arrived or session.ahead)
        fits = session is not None and session.arrived <= session.chunks
        if session is not None and proven and fits and session.size == self._source.size:
            self._known = session.arrived
            if etag is not None and etag == session.etag:
                self._skip_to(session.arrived, session.hash_state)
            return replace(session, ahead=dict(session.ahead), etag=etag)
        self._lane.check()
        session = UploadSession(
            await self._lane.pool.open_session(self._client),
            self._source.size,
            self._lane.pool.chunk_size,
            etag=etag,
        )
        await self._on_session(session)
        return session

    def _skip_to(self, index: int, hash_state: str) -> None:
        try:
            self._read = ResumableHash.parse(hash_state)
        except ValueError:
            return  # read from the start: the comparison fails, and a new session begins
        self._begin = index

    def _is_there(self, index: int, chunk_hash: str) -> bool:
        """Tell whether an earlier upload brought the chunk. Raises `SessionLostError` if it
        brought another.
        """
        if index < self._known:
            last = index == self._known - 1
            if last and str(self._read) != self._session.hash_state:
                raise SessionLostError
            return True
        self._read_by[index] = self._read
        known = self._session.ahead.get(index)
        if known is not None and known != chunk_hash:
            raise SessionLostError
        self._count_arrived()
        return known is not None

    def _count_arrived(self) -> None:
        """Count those that overtook others, as far as they have been read as well."""
        session = self._session
        while session.arrived in session.ahead and session.arrived in self._read_by:
            del session.ahead[session.arrived]
            session.hash_state = str(self._read_by.pop(session.arrived))
            session.arrived += 1

    async def _next(
        self, chunks: AsyncGenerator[memoryview], index: int, tasks: asyncio.TaskGroup
    ) -> bool:
        """Read the next chunk and begin to send it; return False if it is to be sent and must
        not be.

        A slot is taken before it is read: there are never more chunks in memory than slots.
        """
        await self._lane.pool.slots.acquire()
        try:
            chunk = await anext(chunks)
            digests = await digests_of(chunk)
            chunk_hash = content_hash(digests)
            self._read = self._read.plus(b"".join(digests))
            if self._is_there(index, chunk_hash):
                self._sent.add(len(chunk))
                self._lane.pool.give_back(chunk)
                self._lane.pool.slots.release()
                return True
            slot = await ChunkSlot.begin(self._lane, len(chunk))
        except StoppedError:
            self._lane.pool.slots.release()
            return False
        except BaseException:
            self._lane.pool.slots.release()
            raise
        task = tasks.create_task(self._send(index, chunk, chunk_hash, slot, set(self._under_way)))
        self._under_way.add(task)
        # Also of a task that is cancelled before it begins.
        task.add_done_callback(lambda _: slot.end())
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda _: self._lane.pool.slots.release())
        return True

    async def _send(
        self,
        index: int,
        chunk: memoryview,
        chunk_hash: str,
        slot: ChunkSlot,
        earlier: set[asyncio.Task[None]],
    ) -> None:
        """Send one chunk whose turn it is."""
        hold: BeforeLastBytes | None = None
        closes = index == self._session.chunks - 1
        if closes and earlier:
            # No chunk may follow the one that closes the session: it is not complete before all
            # others have been acknowledged.
            async def hold() -> None:
                slot.end()
                await asyncio.wait(earlier)

            if not self._lane.pool.closes_early:
                await hold()
        await self._append(index, chunk, chunk_hash, ChunkSend(self._sent, len(chunk), slot, hold))
        self._lane.pool.give_back(chunk)
        self._session.ahead[index] = chunk_hash
        self._count_arrived()
        await self._on_session(self._session)

    async def _append(
        self, index: int, chunk: memoryview, chunk_hash: str, send: ChunkSend
    ) -> None:
        close = index == self._session.chunks - 1

        async def append() -> None:
            await self._client.upload_session_append(
                self._session.session_id,
                index * self._session.chunk_size,
                chunk,
                chunk_hash,
                close=close,
                sending=send.sending,
            )

        try:
            await send.until_undamaged(append)
        except NotFoundError as err:
            raise SessionLostError from err
        except RefusedError as err:
            self._expect_there(err, close=close)
        send.complete()

    def _expect_there(self, err: RefusedError, *, close: bool) -> None:
        """Return if Dropbox refuses a chunk because it has it; the commit will prove that.

        Raises the error, or `SessionLostError`, if not.
        """
        if err.has("closed"):
            # An earlier try, or an earlier run that could take no note, closed it.
            if close or self._earlier:
                return
            # Or the closing chunk closes already when it begins: not documented.
            self._lane.pool.closes_early = False
            raise SessionLostError from err
        if not err.has("concurrent_session_invalid_offset") or not self._earlier:
            raise err


def _cause(group: ExceptionGroup) -> Exception:
    """Return the one error that tells most: a lost session or a definite answer before a missing
    one.
    """
    errors = [_cause(err) if isinstance(err, ExceptionGroup) else err for err in group.exceptions]
    definite = [err for err in errors if isinstance(err, (SessionLostError, RefusedError))]
    return (definite or errors)[0]
