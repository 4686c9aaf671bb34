"""What somebody asked to be uploaded, and what became of it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ..codes import Reason
from .decide.models import BackupId, LocalBackup, RemoteBackup


@dataclass(frozen=True, slots=True)
class Selection:
    """Which local backups: some by id, the newest, those made since a time, or, if nothing is
    given, all that the policy wants.
    """

    ids: frozenset[BackupId] = frozenset()
    latest: bool = False
    since: datetime | None = None

    @property
    def everything(self) -> bool:
        """Tell whether all that is missing was asked for."""
        return self == Selection()

    def of(self, local: Iterable[LocalBackup]) -> set[BackupId]:
        """Return the ids of what was asked for by name: these are uploaded in any case."""
        local = tuple(local)
        chosen = set(self.ids)
        if self.latest and local:
            chosen.add(max(local, key=lambda one: one.date).backup_id)
        if self.since is not None:
            chosen |= {one.backup_id for one in local if one.date >= self.since}
        return chosen


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one backup that was asked for: it is in Dropbox, or the error says why not."""

    name: str
    remote: RemoteBackup | None = None
    error: Reason | None = None


type Outcomes = dict[BackupId, Outcome]


@dataclass(slots=True)
class UploadRequest:
    """A selection, and where its outcomes are waited for."""

    selection: Selection
    done: asyncio.Future[Outcomes] = field(repr=False)

    def answer(self, outcomes: Outcomes) -> None:
        """Give the outcomes to whoever still waits for them."""
        if not self.done.done():
            self.done.set_result(outcomes)
