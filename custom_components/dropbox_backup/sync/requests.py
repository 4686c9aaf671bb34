"""What somebody asked to be uploaded, and what became of it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from homeassistant.components.backup import AgentBackup

from ..codes import Reason
from ..dropbox_api.errors import FullError
from .decide.models import BackupId, LocalBackup, RemoteBackup, Trouble, id_of
from .decide.plan import Skipped
from .remote.folder import BackupFolder
from .report.problems import no_room
from .report.state import Problem

# Dropbox has no room though it said it had: after so many it is believed, whatever it says.
_MOST_REFUSALS = 3


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
        """Tell the outcomes to who waits for them, if anybody still does."""
        if not self.done.done():
            self.done.set_result(outcomes)


@dataclass(slots=True)
class Room:
    """What is known of the room in Dropbox while a run uploads, in bytes.

    `free`: as Dropbox said right before, less what was uploaded since; None if it did not say.
    `lacking`: the backups that did not fit, with their sizes. `refusals`: how often Dropbox had no
    room for what should have fitted. `first`: the first backup that did not fit, and what was said
    of it.
    """

    free: int | None = None
    lacking: dict[BackupId, int] = field(default_factory=dict)
    refusals: int = 0
    first: tuple[AgentBackup, FullError] | None = None

    def fits(self, size: int) -> bool:
        """Tell whether to try a backup of this size: not if one as large did not fit."""
        if self.refusals >= _MOST_REFUSALS:
            return False
        return all(size < lacking for lacking in self.lacking.values())

    def lacks(self, backup: AgentBackup) -> FullError:
        """Take note that there is no room for a backup; return how to say it."""
        err = no_room(backup.size, None if self._expects(backup.size) else self.free)
        self.lacking[id_of(backup)] = backup.size
        self.first = self.first or (backup, err)
        return err

    def refused(self, backup: AgentBackup) -> FullError:
        """Take note that a backup did not fit; return how to say it."""
        self.refusals += self._expects(backup.size)
        return self.lacks(backup)

    def _expects(self, size: int) -> bool:
        """Tell whether so many bytes should fit, as far as is known."""
        return self.free is None or size <= self.free

    def takes(self, size: int) -> None:
        """Take note that a backup was uploaded."""
        if self.free is not None:
            self.free -= size

    def ask_again(self) -> None:
        """Forget what did not fit: backups were deleted."""
        self.lacking.clear()
        self.first = None


@dataclass(slots=True)
class Run:
    """What one run of the worker found and did."""

    # Not answered yet.
    requests: list[UploadRequest] = field(default_factory=list)
    # Still to be uploaded. Until there is a plan, those that the run before left.
    waiting: tuple[LocalBackup, ...] = ()
    # Can't be uploaded; until there is a plan, as above.
    refused: tuple[Skipped, ...] = ()
    # The backups on this Home Assistant.
    local: tuple[LocalBackup, ...] = ()
    # Local backups that can't be uploaded.
    damaged: tuple[Skipped, ...] = ()
    # Not all locations of local backups answered when they were last asked.
    silent: bool = False
    # Whether it is known what to do.
    planned: bool = False
    # What has yet to be done.
    pending: set[BackupId] = field(default_factory=set)
    outcomes: Outcomes = field(default_factory=dict)
    # Failed for a reason of their own: not tried again in this run.
    tried: set[BackupId] = field(default_factory=set)
    # In Dropbox, and could not be verified.
    unproven: set[BackupId] = field(default_factory=set)
    # Of those, the ones that differ from the local backup.
    unlike: set[BackupId] = field(default_factory=set)
    room: Room = field(default_factory=Room)
    # How many were uploaded or verified.
    arrived: int = 0
    # What `arrived` was when retention was last applied; None if it was not yet.
    pruned: int | None = None
    problem: Problem | None = None
    # The backup, and the error with it that stopped everything.
    stopped_by: tuple[AgentBackup, Exception] | None = None
    # Seconds for which Dropbox asked us to wait.
    not_before: float = 0.0

    @classmethod
    def after(cls, earlier: Run) -> Run:
        """Return a run that has not begun, and that knows what the one before it has left."""
        return cls(waiting=earlier.waiting, refused=earlier.refused)

    def take(self, backup_id: BackupId, outcome: Outcome) -> None:
        """Take note of what became of a backup."""
        self.outcomes[backup_id] = outcome
        self.pending.discard(backup_id)
        self.arrived += outcome.remote is not None

    def try_again(self, backup_ids: Iterable[BackupId]) -> None:
        """Forget that these failed: somebody asks for them anew."""
        for backup_id in backup_ids:
            self.tried.discard(backup_id)
            self.outcomes.pop(backup_id, None)

    @property
    def advance(self) -> int:
        """How many backups need not be looked at again in this run."""
        return self.arrived + len(self.tried)

    @property
    def to_be_pruned(self) -> bool:
        """Whether something arrived since retention was applied."""
        return self.arrived > (self.pruned or 0)

    @property
    def room_to_be_made(self) -> bool:
        """Whether something did not fit, and not all that may be deleted for it has been."""
        return bool(self.room.lacking) and self.pruned != self.arrived

    def settled(self, selection: Selection) -> bool:
        """Tell whether nothing of a selection is still to be done."""
        if not self.planned or selection.everything:
            return False
        return self.pending.isdisjoint(selection.of(self.local))


def outcomes_of(
    selection: Selection, run: Run, folder: BackupFolder, unsure: Reason | None
) -> Outcomes:
    """Return what became of the backups that somebody asked for. `unsure`: why it is not known what
    is in Dropbox now; then only what was uploaded in this run counts as being there.
    """
    names = {one.backup_id: one.backup.name for one in run.local}
    chosen = selection.of(run.local)
    if selection.everything:
        chosen = {*run.outcomes, *(one.backup_id for one in run.waiting)}
    refused = {one.local.backup_id: one for one in run.refused}

    def outcome(backup_id: BackupId) -> Outcome:
        remote = folder.get(backup_id)
        if (found := run.outcomes.get(backup_id)) is not None:
            there = remote is not None and remote.verified is not None
            if found.remote is None or there or unsure is not None:
                return found
            return Outcome(found.name, error=Reason(Trouble.DELETED_MEANWHILE))
        if remote is not None and remote.verified is not None:
            if unsure is not None:
                return Outcome(remote.backup.name, error=unsure)
            return Outcome(remote.backup.name, remote)
        if (skipped := refused.get(backup_id)) is not None:
            return Outcome(skipped.local.backup.name, error=skipped.reason)
        name = names.get(backup_id, backup_id)
        if run.problem is not None:
            return Outcome(name, error=run.problem.reason)
        return Outcome(name, error=Reason(Trouble.NO_SUCH_BACKUP))

    return {backup_id: outcome(backup_id) for backup_id in chosen}
