"""What somebody asked to be uploaded, and what became of it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from homeassistant.components.backup import AgentBackup

from .models import BackupId, LocalBackup, RemoteBackup, date_of, id_of
from .remote import BackupFolder
from .state import Problem, State


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
        backups = [one.backup for one in local]
        chosen = set(self.ids)
        if self.latest and backups:
            chosen.add(id_of(max(backups, key=date_of)))
        if self.since is not None:
            chosen |= {id_of(one) for one in backups if date_of(one) >= self.since}
        return chosen


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one backup that was asked for: it is in Dropbox, or the error says why not."""

    name: str
    remote: RemoteBackup | None = None
    error: str | None = None


type Outcomes = dict[BackupId, Outcome]


@dataclass(slots=True)
class Wish:
    """A selection, and where its outcomes are waited for."""

    selection: Selection
    done: asyncio.Future[Outcomes] = field(repr=False)

    def answer(self, outcomes: Outcomes) -> None:
        """Tell the outcomes to who waits for them, if anybody still does."""
        if not self.done.done():
            self.done.set_result(outcomes)


@dataclass(slots=True)
class Run:
    """What one run of the worker found and did. `planned`: it got as far as to know what to do.
    `unproven`: what is in Dropbox and could not be verified. `stopped_by`: the backup and the
    trouble with it that stops all. `not_before`: seconds that Dropbox wants to rest.
    """

    wishes: list[Wish]
    local: tuple[LocalBackup, ...] = ()
    planned: bool = False
    outcomes: Outcomes = field(default_factory=dict)
    unproven: set[BackupId] = field(default_factory=set)
    problem: Problem | None = None
    stopped_by: tuple[AgentBackup, Exception] | None = None
    not_before: float = 0.0

    @property
    def wanted(self) -> set[BackupId]:
        """What of the local backups somebody asked for, by name or with everything else."""
        everything = any(wish.selection.everything for wish in self.wishes)
        chosen = {one for wish in self.wishes for one in wish.selection.of(self.local)}
        return chosen | ({id_of(one.backup) for one in self.local} if everything else set())

    def left(self, waiting: Iterable[LocalBackup]) -> list[Wish]:
        """Return what was asked for and is still to be done; who asked has had their answer."""
        if not self.planned or not self.wishes:
            return self.wishes
        ids = self.wanted & {id_of(one.backup) for one in waiting}
        return [replace(self.wishes[0], selection=Selection(frozenset(ids)))] if ids else []


def outcomes_of(selection: Selection, run: Run, folder: BackupFolder, state: State) -> Outcomes:
    """Return what became of the backups that somebody asked for."""
    names = {id_of(one.backup): one.backup.name for one in run.local}
    chosen = selection.of(run.local)
    if selection.everything:
        chosen = {*run.outcomes, *(id_of(one.backup) for one in state.waiting)}
    refused = {id_of(one.local.backup): one for one in state.refused}

    def outcome(backup_id: BackupId) -> Outcome:
        if (found := run.outcomes.get(backup_id)) is not None:
            return found
        if (remote := folder.get(backup_id)) is not None:
            return Outcome(remote.backup.name, remote)
        if (skipped := refused.get(backup_id)) is not None:
            return Outcome(skipped.local.backup.name, error=skipped.reason)
        name = names.get(backup_id, backup_id)
        if run.problem is not None:
            return Outcome(name, error=run.problem.detail)
        return Outcome(name, error="there is no such backup on this Home Assistant")

    return {backup_id: outcome(backup_id) for backup_id in chosen}
