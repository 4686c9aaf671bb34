"""Uploading a backup: in one request if it is small and alone, else in an upload session."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..client import DropboxClient
from ..content_hash import content_hash
from ..errors import CorruptError, Fault, RefusedError
from ..types import ClosedSession, File, UploadCommit
from .chunk import ChunkSend, ChunkSlot, Sent
from .commits import SessionLostError, already_there, verified
from .pool import Lane, UploadPool
from .session import OnSession, SessionUpload, UploadSession, no_note
from .source import Source, digests_of

__all__ = ["Lane", "OnSession", "Source", "UploadPool", "UploadSession", "upload"]

_TRIES_WITH_A_NEW_SESSION = 2

type OnExpected = Callable[[str], Awaitable[None]]


async def _no_expectation(_: str) -> None:
    """Take no note of the content hash: nobody will look for the file."""


async def upload(
    client: DropboxClient,
    source: Source,
    commit: UploadCommit,
    *,
    lane: Lane | None = None,
    session: UploadSession | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    on_session: OnSession | None = None,
    on_expected: OnExpected | None = None,
) -> File:
    """Upload everything that `source` yields; return the verified file.

    `lane`: whom it is stopped with, by default nobody. `session` continues an earlier upload.
    `on_session` is told whenever the session changed, and `None` when it is of no further use; no
    further chunk is sent in the place of one that it has not taken note of. `on_expected` is told
    the content hash of the whole before that may become a file: one with this content was sent by
    us, also if its answer never came. `on_progress` gets the bytes sent so far, out of
    `source.size`. A file that is there already with the same content is success; with other content
    it is a `RefusedError`.

    Raises `DropboxError`, what the source raises, and `StoppedError` if the lane is stopped: then
    the last session that was noted goes on later.
    """
    lane = lane or Lane(UploadPool())
    job = _Job(
        client,
        source,
        commit,
        lane,
        on_progress,
        on_session or no_note,
        on_expected or _no_expectation,
    )
    small = source.size <= lane.pool.chunk_size
    with lane.pool.in_use(small=small):
        for last_try in (False,) * _TRIES_WITH_A_NEW_SESSION + (True,):
            try:
                return await (job.upload_small(session) if small else job.upload_large(session))
            except SessionLostError as err:
                session = None
                await job.on_session(None)
                if last_try:
                    raise CorruptError(Fault.SESSION_LOST) from err
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be uploaded, and how."""

    client: DropboxClient
    source: Source
    commit: UploadCommit
    lane: Lane
    on_progress: Callable[[int], None]
    on_session: OnSession
    on_expected: OnExpected

    async def upload_large(self, session: UploadSession | None) -> File:
        run = SessionUpload(
            self.client, self.source, self.lane, session, self.on_progress, self.on_session
        )
        try:
            expected = await run.send_chunks()
            await self.on_expected(expected)
            try:
                metadata = await run.finish(self.commit, expected)
            except CorruptError as err:
                if session is None:
                    raise
                # An earlier run may have sent other content of which it could take no note.
                raise SessionLostError from err
        finally:
            run.stop()
        await self.on_session(None)
        return metadata

    async def upload_small(self, session: UploadSession | None) -> File:
        """Upload what fits one chunk: alone in one request, else so that it can become a file
        together with others.
        """
        async with self.lane.pool.slots:
            data = memoryview(b"")
            async for chunk in self.source.chunks(self.lane.pool.chunk_size, self.lane.pool.buffer):
                data = chunk
            digests = await digests_of(data)
            expected = content_hash(digests)
            await self.on_expected(expected)
            await asyncio.sleep(0)  # others that begin at this moment are counted then
            if session is None or not session.is_whole(len(data), digests):
                slot = await ChunkSlot.begin(self.lane, len(data))
                try:
                    if self.lane.pool.alone:
                        metadata = await self._in_one_request(data, expected, slot)
                        if session is not None:
                            await self.on_session(None)
                        return metadata
                    session = await self._in_a_session(data, digests, slot)
                finally:
                    slot.end()
                await self.on_session(session)
            self.lane.pool.give_back(data)
        closed = ClosedSession(session.session_id, session.size, self.commit)
        metadata = await self.lane.pool.committer.make_file(self.client, closed, expected)
        await self.on_session(None)
        return metadata

    async def _in_one_request(self, data: memoryview, expected: str, slot: ChunkSlot) -> File:
        send = ChunkSend(Sent(self.on_progress), len(data), slot)
        try:
            metadata = await send.until_undamaged(
                lambda: self.client.upload(data, self.commit, expected, send.sending)
            )
        except RefusedError as err:
            return await already_there(self.client, self.commit, expected, err)
        return await verified(self.client, self.commit, metadata, expected)

    async def _in_a_session(
        self, data: memoryview, digests: list[bytes], slot: ChunkSlot
    ) -> UploadSession:
        send = ChunkSend(Sent(self.on_progress), len(data), slot)
        session_id = await send.until_undamaged(
            lambda: self.client.upload_session_start_whole(
                data, content_hash(digests), send.sending
            )
        )
        return UploadSession.of_whole(session_id, len(data), self.lane.pool.chunk_size, digests)
