"""Random histories of one house and its Dropbox against the safety rules of docs/architecture.md.

Everything of `sync` is real: worker, plan, retention, catalog, transfers. Dropbox, the disk and the
power supply are a model.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, override

from homeassistant.components.backup import AgentBackup, BackupNotFound
from homeassistant.core import HomeAssistant
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from custom_components.dropbox_backup.sync.archive import backup_from_json
from custom_components.dropbox_backup.sync.catalog import parse_catalog
from custom_components.dropbox_backup.sync.journal import Journal, Notes, parse_notes, write_notes
from custom_components.dropbox_backup.sync.local import LocalBackups
from custom_components.dropbox_backup.sync.models import LocalBackup, Policy, date_of, id_of
from custom_components.dropbox_backup.sync.names import CATALOG_NAME
from custom_components.dropbox_backup.sync.plan import Skipped
from custom_components.dropbox_backup.sync.reconciler import Reconciler
from custom_components.dropbox_backup.sync.remote import BackupFolder

from .archives import archive
from .memory_dropbox import MemoryClient, MemoryDropbox, Power, PowerCutError, StoredFile

US = "this house"
_SMALL = 1000
_LARGE = 5 << 20  # two chunks, so that it takes an upload session
# So many deletions are carried out without asking.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that somebody made, with its archive."""

    backup: AgentBackup
    data: bytes


class Shelf(LocalBackups):
    """The local backups, in memory."""

    def __init__(self) -> None:  # no manager
        self.made: dict[str, Made] = {}

    @property
    @override
    def idle(self) -> bool:
        return True

    @override
    async def list(self) -> tuple[list[LocalBackup], list[Skipped]]:
        return [LocalBackup(one.backup, "backup.local") for one in self.made.values()], []

    @override
    def password_for(self, agent_id: str) -> str | None:
        return None

    @override
    def source(self, local: LocalBackup, password: str | None) -> Any:
        if local.backup.backup_id not in self.made:
            raise BackupNotFound("gone")
        return local.backup, _Source(self.made[local.backup.backup_id].data)


@dataclass(frozen=True, slots=True)
class _Source:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def read(self) -> AsyncGenerator[bytes]:
        for start in range(0, len(self.data), 1 << 20):
            yield self.data[start : start + (1 << 20)]


class Diary(Journal):
    """A journal whose disk outlives the power; what is to be saved "soon" may be lost."""

    def __init__(self, disk: dict[str, Any], power: Power) -> None:  # no store
        self.notes: Notes = parse_notes(disk)
        self._disk = disk
        self._power = power
        self._unsaved = False

    @override
    def changed(self) -> None:
        self._unsaved = True

    @override
    async def save(self) -> None:
        self._power.check()
        self.flush()
        await asyncio.sleep(0)

    def flush(self) -> None:
        """Write: a second has passed."""
        self._disk.clear()
        self._disk.update(write_notes(self.notes))


class House:
    """One Home Assistant, its Dropbox, and what both must never do."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._hass = hass
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._count = 0
        self._keep = 2
        self._disk: dict[str, Any] = {}
        self._dropbox = MemoryDropbox(self._check_deletion, self._note_upload)
        self._shelf = Shelf()
        self._all: dict[str, Made] = {}  # ours, by content hash
        self._confirmed: int | None = None
        self._may_delete_many = False
        self._deleted: list[StoredFile] = []
        self._uploaded: list[StoredFile] = []
        self._start()

    def _start(self) -> None:
        self._power = Power()
        client = MemoryClient(self._dropbox, self._power)
        self._diary = Diary(self._disk, self._power)
        self._folder = BackupFolder(client, "/f", US, self._diary.notes.uploaded.get)
        self._worker = Reconciler(
            self._hass,
            client,
            self._folder,
            self._shelf,
            self._diary,
            Policy(keep=self._keep),
            instance_id=US,
            agent_id="dropbox_backup.x",
            on_change=lambda _: None,
            on_sign_in_needed=lambda: pytest.fail("nobody signed out"),
        )

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._worker._cancel_timer is not None:
            self._worker._cancel_timer()
            self._worker._cancel_timer = None

    # What can happen

    async def make(self, size: int, *, signed: bool) -> None:
        """Home Assistant makes a backup, or Supervisor, which does not say whose it is."""
        self._count += 1
        self._now += timedelta(hours=1)
        made = _made(f"{self._count:08x}", self._now, size, US if signed else None)
        self._shelf.made[made.backup.backup_id] = made
        stored = MemoryDropbox(self._check_deletion, self._note_upload).put("x", made.data)
        self._all[stored.content_hash] = made

    async def lose(self, which: int) -> None:
        """A local backup is deleted."""
        if self._shelf.made:
            del self._shelf.made[_one_of(list(self._shelf.made), which)]

    async def user_deletes(self, which: int) -> None:
        """Somebody deletes something from the folder: an archive, or the catalog."""
        if self._dropbox.files:
            self._dropbox.remove(_one_of(list(self._dropbox.files), which))

    async def neighbours_upload(self) -> None:
        """Another house, and a person, put something into the same folder."""
        self._count += 1
        theirs = _made(f"{self._count:08x}", self._now, _SMALL, "other house")
        self._dropbox.put(f"theirs {self._count}.tar", theirs.data)
        self._dropbox.put(f"letter {self._count}.tar", b"dear")

    async def pin(self, which: int) -> None:
        """The user pins a backup."""
        backups = list(self._folder.backups)
        if backups:
            await self._folder.record(replace(_one_of(backups, which), pinned=True))

    async def jump(self, hours: int) -> None:
        """The clock is set."""
        self._now += timedelta(hours=hours)

    async def keep(self, count: int) -> None:
        """The user changes how many to keep, which reloads the integration."""
        self._diary.flush()
        self.stop()
        self._keep = count
        self._start()

    async def confirm(self) -> None:
        """The user agrees to what waits for a word."""
        if self._worker.state.unconfirmed:
            self._worker.confirm_retention()
            self._may_delete_many = True

    async def check(self) -> None:
        """The worker does its work, and a second passes."""
        self._deleted, self._uploaded = [], []
        await self._worker._reconcile()
        self._diary.flush()
        self._check_run()
        assert self._worker.state.problem is None

    async def check_in_the_dark(self, call: int, *, after: bool, saved: bool) -> None:
        """The power goes during the worker's work, and comes back."""
        self._deleted, self._uploaded = [], []
        self._power.cut_at, self._power.after = call, after
        try:
            await self._worker._reconcile()
        except PowerCutError:
            pass
        except BaseExceptionGroup as group:
            if group.split(PowerCutError)[1] is not None:
                raise
        if saved:
            self._diary.flush()
        self.stop()
        self._check_run()
        self._start()

    # What must hold

    def _check_deletion(self, file: StoredFile) -> None:
        """Rules 1 and 2, whenever something is deleted."""
        assert file.content_hash in self._all, "only what is a backup of this house"
        entry = self._catalog().get(file.name)
        assert entry is None or not entry.pinned, "never what is pinned"
        mine = self._all[file.content_hash]
        newer = [
            one
            for one in self._ours()
            if date_of(one.backup) >= date_of(mine.backup) and one is not mine
        ]
        assert newer, "never the newest good backup"
        assert self._keep, "a house that keeps all deletes nothing"
        assert len(newer) >= self._keep
        self._deleted.append(file)

    def _note_upload(self, file: StoredFile) -> None:
        if file.name.endswith(".tar"):
            self._uploaded.append(file)

    def _check_run(self) -> None:
        """Rules 3, 4 and 5, after every run."""
        assert not {one.content_hash for one in self._uploaded} & {
            one.content_hash for one in self._deleted
        }, "nothing is uploaded that is deleted right away"
        many = len(self._deleted) > _FEW
        assert not many or self._may_delete_many or self._confirmed == self._keep
        if self._deleted:
            self._confirmed = self._keep
            self._may_delete_many = False
        contents = [one.content_hash for one in self._tars()]
        ours = [one for one in contents if one in self._all]
        assert len(set(ours)) == len(ours), "nothing is doubled"

    async def check_end(self) -> None:
        """When all is quiet everything is where it belongs."""
        await self.confirm()
        await self.check()
        await self.check()
        state = self._worker.state
        assert state.plan is not None
        assert (state.plan.upload, state.plan.verify, state.waiting) == ((), (), ())
        there = {id_of(one.backup) for one in self._folder.backups}
        files = {one.content_hash for one in self._tars()}
        assert {one.file.content_hash for one in self._folder.backups} <= files
        skipped = {id_of(one.local.backup) for one in state.plan.skipped}
        for made in self._shelf.made.values():
            assert (id_of(made.backup) in there) != (id_of(made.backup) in skipped)
        newest = max(self._shelf.made.values(), key=lambda one: date_of(one.backup), default=None)
        if newest is not None and not skipped:
            assert newest in self._ours()
        assert self._catalog().keys() == {one.file.name for one in self._folder.backups}

    def _tars(self) -> Sequence[StoredFile]:
        return [file for file in self._dropbox.files.values() if file.name.endswith(".tar")]

    def _ours(self) -> Sequence[Made]:
        return [
            self._all[one.content_hash] for one in self._tars() if one.content_hash in self._all
        ]

    def _catalog(self) -> Any:
        file = self._dropbox.files.get(CATALOG_NAME)
        return parse_catalog(file.data) if file else {}


def _made(backup_id: str, date: datetime, size: int, owner: str | None) -> Made:
    extra = {"instance_id": owner} if owner else {}
    about = {"slug": backup_id, "name": f"Backup {backup_id}", "date": date.isoformat()}
    data = archive(size, **about, extra=extra)
    # backup.json is the first member.
    text = data[512:].partition(b"\0")[0]
    return Made(backup_from_json(text, len(data)), data)


def _one_of[T](things: Sequence[T], which: int) -> T:
    return things[which % len(things)]


_any = st.integers(0, 20)
_events = st.one_of(
    st.tuples(st.just("make"), st.sampled_from([_SMALL] * 4 + [_LARGE]), st.booleans()),
    st.tuples(st.just("make"), st.just(_SMALL), st.just(True)),
    st.tuples(st.just("check")),
    st.tuples(st.just("check")),
    st.tuples(st.just("check_in_the_dark"), st.integers(0, 15), st.booleans(), st.booleans()),
    st.tuples(st.just("lose"), _any),
    st.tuples(st.just("user_deletes"), _any),
    st.tuples(st.just("neighbours_upload")),
    st.tuples(st.just("pin"), _any),
    st.tuples(st.just("jump"), st.integers(-48, 48)),
    st.tuples(st.just("keep"), st.integers(0, 4)),
    st.tuples(st.just("confirm")),
)


async def _happen(house: House, event: tuple[Any, ...]) -> None:
    match event:
        case ("make", size, signed):
            await house.make(size, signed=signed)
        case ("check_in_the_dark", call, after, saved):
            await house.check_in_the_dark(call, after=after, saved=saved)
        case (name, *arguments):
            await getattr(house, name)(*arguments)


@settings(
    max_examples=100,
    # Home Assistant is only a clock here, and keeps nothing.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_events, max_size=40))
async def test_no_history_loses_or_doubles_a_backup(
    hass: HomeAssistant, events: list[tuple[Any, ...]]
) -> None:
    house = House(hass)
    try:
        for event in events:
            await _happen(house, event)
        await house.check_end()
    finally:
        house.stop()
