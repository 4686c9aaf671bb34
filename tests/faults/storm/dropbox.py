"""A folder in Dropbox in memory, as nasty as Dropbox may be, and a client of it that lets the
others act between any two of its requests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol, override

from custom_components.dropbox_backup.dropbox_api.errors import refusal
from custom_components.dropbox_backup.dropbox_api.types import (
    Entry,
    File,
    NoFile,
    Page,
    UploadCommit,
)
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from tests.support.memory_dropbox import MemoryClient, MemoryDropbox, Power, StoredFile

# Who makes a request: the worker, or somebody at Home Assistant's page.
caller: ContextVar[str] = ContextVar("caller", default="worker")

_ROUTES = (
    "get_space_usage",
    "create_folder",
    "list_folder",
    "list_folder_continue",
    "get_metadata",
    "delete",
    "upload",
    "upload_session_start",
    "upload_session_start_whole",
    "upload_session_append",
    "upload_session_finish",
    "upload_session_finish_batch",
)


class Watcher(Protocol):
    """Who hears of every request before Dropbox does, and of every answer before we do."""

    async def moment(self) -> None:
        """May act before a request is made, and before its answer is heard; raise what becomes of
        it.
        """

    def deletes(self, file: StoredFile) -> None:
        """Hear of a deletion before it happens."""

    def answered(self, route: str) -> None:
        """Hear what Dropbox knows when it answers."""

    def stores(self, data: bytes, commit: UploadCommit) -> bytes:
        """Return what Dropbox makes of what was sent."""

    def committed(self, file: StoredFile) -> None:
        """Hear of a file that was made."""


@dataclass(slots=True)
class StormyDropbox(MemoryDropbox):
    """One folder, which somebody may delete as a whole.

    A page of a listing tells `page` changes at most, and of each what became of it at last: what
    came and went between two looks is never told. Each cursor stands for what is known to who has
    it. `reset`: the next cursor that is used is dead.
    """

    there: bool = False
    page: int = 1000
    reset: bool = False
    cursors: list[dict[str, str]] = field(default_factory=list)

    @override
    def put(self, name: str, data: bytes, modified: Any = None) -> StoredFile:
        self.there = True
        return MemoryDropbox.put(self, name, data, modified)

    def remove_folder(self) -> None:
        """Delete everything."""
        self.files.clear()
        self.there = False

    def page_after(self, known: dict[str, str]) -> Page:
        """Return what is to be told to who knows these revisions, by lower-case name."""
        now = {name: file.rev for name, file in self.files.items()}
        news = [name for name in sorted(known | now) if known.get(name) != now.get(name)]
        known = dict(known)
        entries: list[Entry] = []
        for name in news[: self.page]:
            if name in now:
                entries.append(self.files[name].metadata())
                known[name] = now[name]
            else:
                entries.append(NoFile(name))
                del known[name]
        self.cursors.append(known)
        return Page(tuple(entries), str(len(self.cursors) - 1), has_more=len(news) > self.page)


class StormyClient(MemoryClient):
    """Speaks to a `StormyDropbox`, under somebody's eyes."""

    def __init__(self, dropbox: StormyDropbox, power: Power, watcher: Watcher) -> None:
        """Call nobody yet."""
        super().__init__(dropbox, power)
        self.watcher = watcher
        self._stormy = dropbox
        for route in _ROUTES:
            setattr(self, route, self._watched(route, getattr(self, route)))

    def _watched(
        self, route: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        @wraps(call)
        async def watched(*args: Any, **more: Any) -> Any:
            self._power.check()
            await self.watcher.moment()
            self._power.check()
            result = await call(*args, **more)
            last_page = not getattr(result, "has_more", False)
            self.watcher.answered(_kind(route, args) if last_page else "page")
            await self.watcher.moment()
            self._power.check()
            return result

        return watched

    @override
    async def create_folder(self, path: str) -> None:
        self._stormy.there = True

    @override
    async def list_folder(self, path: str) -> Page:
        if not self._stormy.there:
            raise refusal(["path", "not_found"])
        return self._stormy.page_after({})

    @override
    async def list_folder_continue(self, cursor: str) -> Page:
        if self._stormy.reset:
            self._stormy.reset = False
            raise refusal(["reset"])
        if not self._stormy.there:
            raise refusal(["path", "not_found"])
        return self._stormy.page_after(self._stormy.cursors[int(cursor)])

    @override
    async def delete(self, path: str, rev: str) -> None:
        file = self._stormy.files.get(path.rpartition("/")[2].lower())
        if file is not None and file.rev == rev:
            self.watcher.deletes(file)
        await super().delete(path, rev)

    @override
    def _commit(self, data: bytes, commit: UploadCommit) -> File:
        made = super()._commit(self.watcher.stores(data, commit), commit)
        self.watcher.committed(self._stormy.revisions[made.rev])
        return made

    @override
    @asynccontextmanager
    async def download(
        self, path: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[tuple[File, Any]]:
        await self.watcher.moment()
        async with super().download(path, start, end) as opened:
            await self.watcher.moment()
            self._power.check()
            yield opened


def _kind(route: str, args: tuple[Any, ...]) -> str:
    """Return the route, telling the catalog's upload from others."""
    if route == "upload" and args[1].path.endswith(CATALOG_NAME):
        return "catalog"
    return route
