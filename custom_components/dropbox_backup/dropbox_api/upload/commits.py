"""Makes files of what has arrived, and proves that they are the ones that were sent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
import logging

from ..client import DropboxClient
from ..errors import (
    CorruptError,
    DropboxError,
    Fault,
    NotFoundError,
    RefusedError,
    TransientError,
)
from ..retry import Retries
from ..types import ClosedSession, File, UploadCommit

_LOGGER = logging.getLogger(__name__)

# Dropbox's own limit for one call.
# https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-finish_batch
_LARGEST_BATCH = 1000
# Why a session becomes no file, as Dropbox says it when it is to be finished: it is gone, or lacks
# something.
# https://www.dropbox.com/developers/documentation/http/documentation#files-upload_session-finish
_SESSION_IS_OF_NO_USE = (
    "lookup_failed",
    "concurrent_session_data_not_allowed",
    "concurrent_session_invalid_data_size",
    "concurrent_session_invalid_offset",
    "concurrent_session_missing_data",
    "concurrent_session_not_closed",
)


class SessionLostError(Exception):
    """Dropbox forgot the session, or its source changed: only a new one helps."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A closed session on its way to be a file."""

    session: ClosedSession
    result: asyncio.Future[File] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def take(self, result: File | DropboxError) -> None:
        if isinstance(result, DropboxError):
            self.result.set_exception(result)
            self.result.exception()  # mark the error as seen: the waiter may have been cancelled
        else:
            self.result.set_result(result)


class Committer:
    """Makes files of closed sessions: those that are ready at the same moment in one call.

    Every call locks the user's Dropbox for writing and takes Dropbox's time to answer. So there is
    one at a time, and what becomes ready meanwhile is the next.

    https://www.dropbox.com/developers/reference/data-ingress-guide (namespace locks)
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._lock = asyncio.Lock()

    async def make_file(self, client: DropboxClient, session: ClosedSession, expected: str) -> File:
        """Return the metadata of the verified file with the content hash `expected`.

        Raises `SessionLostError`, or a `DropboxError`; what happens to others does not matter.
        """
        try:
            metadata = await self._commit(client, session)
        except (NotFoundError, RefusedError) as err:
            # Also the case when the answer to an earlier try was lost: the session is used up and
            # the file is there.
            try:
                return await already_there(client, session.commit, expected, err)
            except (NotFoundError, RefusedError) as conflict:
                if err.has(*_SESSION_IS_OF_NO_USE):
                    raise SessionLostError from err
                raise conflict from None
        return await verified(client, session.commit, metadata, expected)

    async def _commit(self, client: DropboxClient, session: ClosedSession) -> File:
        """Commit a session, again and again as long as the client does."""
        retries = client.retries(lasting=True)
        while True:
            try:
                return await self._commit_once(client.trying_once(), session, retries)
            except TransientError as err:
                await retries.wait_after(err)

    async def _commit_once(
        self, client: DropboxClient, session: ClosedSession, retries: Retries
    ) -> File:
        mine = _Waiting(session)
        self._waiting.append(mine)
        try:
            while not mine.result.done():
                # While Dropbox wants to rest it is nobody's turn: each waits as long as it may, and
                # who comes meanwhile shares the next call.
                await retries.wait_for_rest(writes=True, together=True)
                async with self._lock:
                    if not mine.result.done() and not retries.must_rest(writes=True):
                        await self._commit_all(client)
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        return await mine.result

    async def _commit_all(self, client: DropboxClient) -> None:
        """Commit everything that waits, on behalf of all."""
        batch, self._waiting = self._waiting[:_LARGEST_BATCH], self._waiting[_LARGEST_BATCH:]
        try:
            results = await _finish(client, [one.session for one in batch])
        except DropboxError as err:
            results = [err] * len(batch)
        except BaseException:
            # Only this task was cancelled: put the others back. What Dropbox has already done for
            # them shows when they are committed again.
            self._waiting = batch + self._waiting
            raise
        for one, result in zip(batch, results, strict=True):
            one.take(result)


async def _finish(
    client: DropboxClient, sessions: Sequence[ClosedSession]
) -> Sequence[File | DropboxError]:
    if len(sessions) == 1:
        return [await client.upload_session_finish(sessions[0])]
    return await client.upload_session_finish_batch(sessions)


async def already_there(
    client: DropboxClient, commit: UploadCommit, expected: str, err: DropboxError
) -> File:
    """Return the file at the commit's path if it has our content; raise the error if not."""
    try:
        metadata = await client.get_metadata(commit.path)
    except NotFoundError:
        raise err from None
    if not isinstance(metadata, File) or metadata.content_hash != expected:
        raise err
    return metadata


async def verified(
    client: DropboxClient, commit: UploadCommit, metadata: File, expected: str
) -> File:
    """Return the metadata of a file that was just made. Raises `CorruptError` if it is damaged."""
    if metadata.content_hash == expected:
        return metadata
    # We just made this very revision, and it is damaged: it must not be taken for a backup.
    try:
        await client.delete(commit.path, metadata.rev)
    except DropboxError as err:
        _LOGGER.warning("A damaged file could not be removed from Dropbox: %s", err)
    raise CorruptError(Fault.STORED_OTHERWISE)
