"""A Dropbox in memory, and a client whose house loses power at a call of the test's choice.

Only what decides over loss and doubling is modelled: a folder, revisions, upload sessions, and
that a call may have been carried out although nobody heard of it. tests/support/dropbox_server is
the one that behaves as Dropbox does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Self, override

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.errors import (
    DropboxError,
    refusal,
)
from custom_components.dropbox_backup.dropbox_api.rate_limit import RateLimit
from custom_components.dropbox_backup.dropbox_api.retry import Retries
from custom_components.dropbox_backup.dropbox_api.transport import Sending
from custom_components.dropbox_backup.dropbox_api.types import (
    ClosedSession,
    Entry,
    File,
    NoFile,
    Page,
    Space,
    UploadCommit,
)

_TOTAL = 1 << 40


class PowerCutError(BaseException):
    """The house is dark: nothing catches this, and nothing runs after it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A revision of a file."""

    name: str
    data: bytes
    rev: str
    content_hash: str
    uploaded: datetime
    modified: datetime | None = None

    def metadata(self) -> File:
        """Return it as Dropbox describes it."""
        return File(
            name=self.name,
            path_display="",
            rev=self.rev,
            size=len(self.data),
            content_hash=self.content_hash,
            client_modified=self.modified or self.uploaded,
            server_modified=self.uploaded,
        )


@dataclass(slots=True)
class MemoryDropbox:
    """One folder. `on_delete` and `on_upload` hear of what a client does. `room`: bytes that the
    files may take. `now`: its clock.
    """

    on_delete: Callable[[StoredFile], None]
    on_upload: Callable[[StoredFile], None]
    files: dict[str, StoredFile] = field(default_factory=dict)
    revisions: dict[str, StoredFile] = field(default_factory=dict)
    sessions: dict[str, dict[int, bytes]] = field(default_factory=dict)
    started: int = 0
    changes: list[str] = field(default_factory=list)
    room: int = _TOTAL
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def used(self) -> int:
        """Bytes that the files take."""
        return sum(len(one.data) for one in self.files.values())

    def put(self, name: str, data: bytes, modified: datetime | None = None) -> StoredFile:
        """Write a file, as anybody may; `modified` is what they say of its date, in UTC."""
        rev = f"{len(self.revisions) + 1:016x}"
        file = StoredFile(name, data, rev, content_hash(block_digests(data)), self.now, modified)
        self.files[name.lower()] = self.revisions[rev] = file
        self.changes.append(name)
        return file

    def remove(self, name: str) -> None:
        """Delete a file, as anybody may."""
        del self.files[name.lower()]
        self.changes.append(name)


@dataclass(slots=True)
class Power:
    """Goes at the call `cut_at`, before or `after` its work; until then it counts down."""

    cut_at: int | None = None
    after: bool = False
    on: bool = True

    @contextmanager
    def call(self) -> Iterator[None]:
        """Let one call happen, or not."""
        hit = self.cut_at == 0
        if self.cut_at is not None:
            self.cut_at -= 1
        if hit and not self.after:
            self.on = False
        self.check()
        yield
        if hit:
            self.on = False
        self.check()

    def check(self) -> None:
        """Raise `PowerCutError` if it is gone."""
        if not self.on:
            raise PowerCutError


class _Stream:
    """What a download yields."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, size: int = -1) -> bytes:
        size = len(self._data) if size < 0 else size
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._data


class MemoryClient(DropboxClient):
    """Speaks to a `MemoryDropbox` without a network."""

    def __init__(self, dropbox: MemoryDropbox, power: Power) -> None:  # no session, no token
        self.rate_limit = RateLimit()
        self._dropbox = dropbox
        self._power = power

    @override
    def retries(self, *_: Any, **__: Any) -> Retries:
        return Retries(0.0, asyncio.sleep)

    @override
    def retrying_for(self, seconds: float) -> Self:
        return self

    @override
    async def get_space_usage(self) -> Space:
        with self._power.call():
            return Space(self._dropbox.used, self._dropbox.room)

    @override
    async def create_folder(self, path: str) -> None:
        with self._power.call():
            return

    @override
    async def list_folder(self, path: str) -> Page:
        with self._power.call():
            entries = [file.metadata() for file in self._dropbox.files.values()]
            return self._page(entries)

    @override
    async def list_folder_continue(self, cursor: str) -> Page:
        with self._power.call():
            changed = dict.fromkeys(self._dropbox.changes[int(cursor) :])
            found = {name: self._dropbox.files.get(name.lower()) for name in changed}
            return self._page(
                [file.metadata() if file else NoFile(name) for name, file in found.items()]
            )

    def _page(self, entries: Iterable[Entry]) -> Page:
        return Page(tuple(entries), str(len(self._dropbox.changes)), has_more=False)

    @override
    async def get_metadata(self, path: str) -> File:
        with self._power.call():
            file = self._dropbox.files.get(_name(path).lower())
            if file is None:
                raise refusal(["path", "not_found"])
            return file.metadata()

    @override
    async def delete(self, path: str, rev: str) -> None:
        with self._power.call():
            file = self._dropbox.files.get(_name(path).lower())
            if file is None:
                raise refusal(["path_lookup", "not_found"])
            if file.rev != rev:
                raise refusal(["path_write", "conflict", "file"])
            self._dropbox.on_delete(file)
            self._dropbox.remove(file.name)

    @override
    async def upload(
        self,
        data: bytes | memoryview,
        commit: UploadCommit,
        content_hash: str,
        sending: Sending | None = None,
    ) -> File:
        with self._power.call():
            return self._commit(bytes(data), commit)

    @override
    async def upload_session_start(self) -> str:
        with self._power.call():
            self._dropbox.started += 1
            session_id = f"session {self._dropbox.started}"
            self._dropbox.sessions[session_id] = {}
            return session_id

    @override
    async def upload_session_start_whole(
        self, data: bytes | memoryview, content_hash: str, sending: Sending | None = None
    ) -> str:
        session_id = await self.upload_session_start()
        self._dropbox.sessions[session_id][0] = bytes(data)
        return session_id

    @override
    async def upload_session_append(
        self,
        session_id: str,
        offset: int,
        data: bytes | memoryview,
        content_hash: str,
        **_: Any,
    ) -> None:
        with self._power.call():
            self._parts_of(session_id)[offset] = bytes(data)

    @override
    async def upload_session_finish(self, session: ClosedSession) -> File:
        with self._power.call():
            return self._finish(session)

    @override
    async def upload_session_finish_batch(
        self, sessions: Sequence[ClosedSession]
    ) -> list[File | DropboxError]:
        with self._power.call():
            results: list[File | DropboxError] = []
            for session in sessions:
                try:
                    results.append(self._finish(session))
                except DropboxError as err:
                    results.append(err)
            return results

    def _finish(self, session: ClosedSession) -> File:
        parts = self._parts_of(session.session_id)
        data = b"".join(parts[offset] for offset in sorted(parts))
        if len(data) != session.size:
            raise refusal(["concurrent_session_missing_data"])
        result = self._commit(data, session.commit)
        del self._dropbox.sessions[session.session_id]
        return result

    def _parts_of(self, session_id: str) -> dict[int, bytes]:
        if session_id not in self._dropbox.sessions:
            raise refusal(["lookup_failed", "not_found"])
        return self._dropbox.sessions[session_id]

    def _commit(self, data: bytes, commit: UploadCommit) -> File:
        name = _name(commit.path)
        there = self._dropbox.files.get(name.lower())
        if (there.rev if there else None) != commit.replaces:
            raise refusal(["path", "conflict", "file"])
        file = self._dropbox.put(name, data, commit.client_modified)
        self._dropbox.on_upload(file)
        return file.metadata()

    @override
    @asynccontextmanager
    async def download(
        self, path: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[tuple[File, Any]]:
        with self._power.call():
            file = self._dropbox.revisions.get(path.removeprefix("rev:"))
            if file is None:
                raise refusal(["path", "not_found"])
        yield file.metadata(), _Stream(file.data[start:end])


def _name(path: str) -> str:
    return PurePosixPath(path).name
