"""Random histories of one house and its Dropbox against the safety rules of docs/architecture.md.

Everything of `sync` is real: worker, plan, retention, catalog, transfers. Dropbox, the disk and the
power supply are a model.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from homeassistant.core import HomeAssistant
from hypothesis import HealthCheck, example, given, settings, strategies as st
import pytest

from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME, file_name
from custom_components.dropbox_backup.sync.decide.models import Policy, date_of, id_of
from custom_components.dropbox_backup.sync.engine import Engine
from custom_components.dropbox_backup.sync.parts import Parts
from custom_components.dropbox_backup.sync.remote.catalog import parse_catalog
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.report.events import BackupEvent, EventKind
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from custom_components.dropbox_backup.sync.storage.journal import Journal
from tests.support.memory_dropbox import (
    MemoryClient,
    MemoryDropbox,
    Power,
    PowerCutError,
    StoredFile,
)
from tests.support.memory_home import LARGE, SMALL, Made, Shelf, journal_on, make

US = "this house"
_ENOUGH = 1 << 40
# So many deletions are carried out without asking, beside those that new backups pay for.
_FEW = 3
_KEPT = "KEEP ME"


class MemoryHouse:
    """One Home Assistant, its Dropbox, and what both must never do."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._hass = hass
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._count = 0
        self._keep = 2
        self._disk: dict[str, str] = {}
        self._dropbox = MemoryDropbox(self._check_deletion, self._note_upload)
        self._shelf = Shelf()
        self._all: dict[str, Made] = {}  # ours, by content hash
        self._damaged: set[str] = set()
        self._broken: list[str] = []
        self._consented: set[tuple[str, str]] = set()
        self._declined: set[tuple[str, str]] = set()
        self._paid = 0  # verified since the last pruning
        self._unasked = 0  # deleted in this one without anybody's word
        self._deleted: list[StoredFile] = []
        self._uploaded: list[StoredFile] = []
        self._journal: Journal
        self._folder: BackupFolder
        self._worker: Engine

    async def start(self) -> None:
        """Load the integration."""
        self._power = Power()
        client = MemoryClient(self._dropbox, self._power)
        self._journal, self._file = journal_on(self._hass, self._disk, self._power)
        await self._journal.load()
        self._folder = BackupFolder(client, "/f", US, self._journal.notes.uploaded.get)
        self._worker = Engine(
            Parts(
                self._hass,
                client,
                self._folder,
                self._shelf,
                self._journal,
                Policy(keep=self._keep),
                instance_id=US,
                agent_id="dropbox_backup.x",
                on_change=lambda _: None,
                on_sign_in_needed=lambda: pytest.fail("nobody signed out"),
            )
        )
        self._worker.subscribe(self._heard)

    def stop(self) -> None:
        """Leave no timer and no task behind."""
        self._worker.stop()

    # What can happen

    async def make(self, size: int, *, signed: bool) -> None:
        """Make a backup; those of Supervisor do not say whose they are."""
        self._count += 1
        self._now += timedelta(hours=1)
        self._dropbox.now = max(self._dropbox.now, self._now)
        made = make(self._count, self._now, self._now, US if signed else None, size)
        self._shelf.put(made)
        self._all[made.content_hash] = made

    async def lose(self, which: int) -> None:
        """Delete a local backup."""
        if self._shelf.made:
            del self._shelf.made[_one_of(list(self._shelf.made), which)]

    async def user_deletes(self, which: int) -> None:
        """Delete something from the folder as somebody else: an archive, or the catalog."""
        if self._dropbox.files:
            self._dropbox.remove(_one_of(list(self._dropbox.files), which))

    async def neighbours_upload(self) -> None:
        """Let another house, and a person, put something into the same folder."""
        self._count += 1
        theirs = make(self._count, self._now, self._now, "other house")
        self._dropbox.put(f"theirs {self._count}.tar", theirs.data)
        self._dropbox.put(f"letter {self._count}.tar", b"dear")

    async def damage(self, which: int) -> None:
        """Replace an archive by a damaged one of the same length, as a broken client would."""
        # Damaged twice it would be good again.
        good = [one for one in self._tars() if one.content_hash not in self._damaged]
        if tars := [one for one in good if len(one.data) > SMALL]:
            tar = _one_of(tars, which)
            spoilt = bytearray(tar.data)
            spoilt[2000] ^= 0xFF  # behind backup.json: it still says whose it is
            self._damaged.add(self._dropbox.put(tar.name, bytes(spoilt)).content_hash)

    async def nights(self, count: int) -> None:
        """Let some nights pass in which all goes well."""
        for _ in range(count):
            await self.make(SMALL, signed=True)
            await self.check()

    async def dark_night(self, call: int, *, after: bool, saved: bool) -> None:
        """Let the power go while the backup of this night is uploaded."""
        await self.make(SMALL, signed=True)
        await self.check_in_the_dark(call, after=after, saved=saved)

    async def pin(self, which: int) -> None:
        """Pin a backup."""
        backups = list(self._folder.backups)
        if backups:
            await self._folder.annotate(_one_of(backups, which).file, pinned=True)

    async def fill(self, spare: int) -> None:
        """Leave so little room in Dropbox, until the end."""
        self._dropbox.room = self._dropbox.used + spare

    async def keep_fewer_in_a_full_dropbox(self, count: int, spare: int) -> None:
        """Have no room for a new backup, and choose another number to keep."""
        await self.nights(count + 1)
        await self.make(SMALL, signed=True)
        await self.fill(spare)
        await self.keep(count)
        await self.check()

    async def jump(self, hours: int) -> None:
        """Set the clock."""
        self._now += timedelta(hours=hours)

    async def keep(self, count: int) -> None:
        """Change how many to keep, which reloads the integration."""
        self._pass_a_second()
        self.stop()
        self._keep = count
        await self.start()

    async def confirm(self) -> None:
        """Agree to what waits for a word."""
        self._consented |= self._waiting_for_consent()
        self._declined -= self._consented
        self._worker.confirm_retention()

    async def move_in(self, count: int) -> None:
        """Move old backups of this house into the folder, as they were uploaded once."""
        for _ in range(count):
            self._count += 1
            date = self._now - timedelta(days=30)
            made = make(self._count, date, date, US)
            self._dropbox.put(file_name(made.backup), made.data)
            self._all[made.content_hash] = made

    async def copy(self, which: int) -> None:
        """Let a person copy an archive and give it a name of their own."""
        if tars := self._tars():
            self._count += 1
            self._dropbox.put(f"{_KEPT} {self._count}.tar", _one_of(tars, which).data)

    async def decline(self) -> None:
        """Choose to keep what waits for a word."""
        self._declined |= self._waiting_for_consent()
        await self._worker.decline_retention()

    def _waiting_for_consent(self) -> set[tuple[str, str]]:
        return {(one.file.name, one.file.rev) for one in self._worker.state.unconfirmed}

    async def check(self) -> None:
        """Let the worker do its work, and a second pass."""
        self._deleted, self._uploaded = [], []
        await self._worker.check()
        self._pass_a_second()
        self._check_run()
        self._pruned()
        problem = self._worker.state.problem
        full = problem is not None and problem.kind is ProblemKind.FULL
        assert problem is None or self._damaged or (full and self._dropbox.room < _ENOUGH)

    async def check_in_the_dark(self, call: int, *, after: bool, saved: bool) -> None:
        """Let the power go during the worker's work, and come back."""
        self._deleted, self._uploaded = [], []
        self._power.cut_at, self._power.after = call, after
        try:
            await self._worker.check()
        except PowerCutError:
            pass
        except BaseExceptionGroup as group:
            if group.split(PowerCutError)[1] is not None:
                raise
        if saved:
            self._pass_a_second()
        self.stop()
        self._check_run()
        await self.start()
        # What was decided goes on, and asks nobody.
        decided = self._journal.notes.approved
        self._consented |= decided.revisions if decided else set()

    def _pass_a_second(self) -> None:
        """Let what is to be saved "soon" be saved."""
        self._file.flush()

    # What must hold

    def _check_deletion(self, file: StoredFile) -> None:
        """Note which of rules 1 to 3 a deletion breaks: the worker would outlive an error."""
        self._deleted.append(file)
        if (file.name, file.rev) in self._declined:
            self._broken.append(f"{file.name} was to be kept, and deleted")
        if (file.name, file.rev) not in self._consented:
            self._unasked += 1
        if self._unasked > _FEW + self._paid:
            self._broken.append(f"{self._unasked} were deleted unasked, {self._paid} paid for")
        if file.name.startswith(_KEPT):
            self._broken.append(f"{file.name} is somebody's copy, and was deleted")
        if file.content_hash in self._damaged:
            return
        if (mine := self._all.get(file.content_hash)) is None:
            self._broken.append(f"{file.name} is no backup of this house, and was deleted")
            return
        entry = self._catalog().get(file.name)
        if entry is not None and entry.pinned:
            self._broken.append(f"{file.name} was pinned, and deleted")
        newer = [
            one
            for one in self._ours()
            if one is not mine and self._counts_as_made(one) >= self._counts_as_made(mine)
        ]
        if self._keep == 0 or len(newer) < self._keep:
            self._broken.append(f"{file.name} was deleted with {len(newer)} newer good ones")

    def _counts_as_made(self, made: Made) -> datetime:
        """Return the archive's date, unless Dropbox had it before."""
        uploaded = next(
            one.uploaded
            for one in self._tars()
            if self._all.get(one.content_hash) is made and not one.name.startswith(_KEPT)
        )
        return min(date_of(made.backup), uploaded + timedelta(seconds=1))

    def _note_upload(self, file: StoredFile) -> None:
        if file.name.endswith(".tar"):
            self._uploaded.append(file)
            self._verified_one()

    def _heard(self, event: BackupEvent) -> None:
        if event.kind is EventKind.VERIFIED:
            self._verified_one()

    def _verified_one(self) -> None:
        if self._unasked:
            self._pruned()
        self._paid += 1

    def _pruned(self) -> None:
        """Begin anew: the last pruning is over."""
        if self._unasked or not self._worker.state.unconfirmed:
            self._paid = self._unasked = 0

    def _check_run(self) -> None:
        """Check rules 4 and 5 after a run, and that 1 to 3 were kept during it."""
        assert self._broken == []
        assert not {one.content_hash for one in self._uploaded} & {
            one.content_hash for one in self._deleted
        }, "nothing is uploaded that is deleted right away"
        contents = [one.content_hash for one in self._tars() if not one.name.startswith(_KEPT)]
        ours = [one for one in contents if one in self._all]
        assert len(set(ours)) == len(ours), "nothing is doubled"

    async def check_end(self) -> None:
        """When all is quiet everything is where it belongs."""
        self._dropbox.room = _ENOUGH
        await self.confirm()
        await self.check()
        await self.check()
        state = self._worker.state
        assert state.plan is not None
        assert (state.plan.upload, state.waiting) == ((), ())
        there = {id_of(one.backup) for one in self._folder.backups}
        files = {one.content_hash for one in self._tars()}
        assert {one.file.content_hash for one in self._folder.backups} <= files
        skipped = {id_of(one.local.backup) for one in state.plan.skipped}
        proven = {id_of(one.backup) for one in self._folder.backups if one.verified}
        for made in self._shelf.made.values():
            assert (id_of(made.backup) in proven) != (id_of(made.backup) in skipped)
        for one in self._folder.backups:
            same = one.file.content_hash in self._all
            here = one.backup.backup_id in self._shelf.made
            assert one.verified or not (same and here), "what is here and there is compared"
        ours = {id_of(one.backup) for one in self._ours()}
        assert ours <= there, "every good backup in Dropbox is known"
        # Of an archive and somebody's copy of it, one stands for both.
        shown = {one.file.name for one in self._folder.backups}
        assert shown <= self._catalog().keys() <= {one.name for one in self._tars()}

    def _tars(self) -> Sequence[StoredFile]:
        return [file for file in self._dropbox.files.values() if file.name.endswith(".tar")]

    def _ours(self) -> Sequence[Made]:
        return [
            self._all[one.content_hash]
            for one in self._tars()
            if one.content_hash in self._all and not one.name.startswith(_KEPT)
        ]

    def _catalog(self) -> Any:
        file = self._dropbox.files.get(CATALOG_NAME)
        return parse_catalog(file.data) if file else {}


def _one_of[T](things: Sequence[T], which: int) -> T:
    return things[which % len(things)]


_any = st.integers(0, 20)
_events = st.one_of(
    st.tuples(st.just("make"), st.sampled_from([SMALL] * 4 + [LARGE]), st.booleans()),
    st.tuples(st.just("nights"), st.integers(1, 6)),
    st.tuples(st.just("damage"), _any),
    st.tuples(st.just("check")),
    st.tuples(st.just("check")),
    st.tuples(st.just("check_in_the_dark"), st.integers(0, 15), st.booleans(), st.booleans()),
    st.tuples(st.just("dark_night"), st.integers(0, 8), st.booleans(), st.booleans()),
    st.tuples(st.just("lose"), _any),
    st.tuples(st.just("user_deletes"), _any),
    st.tuples(st.just("neighbours_upload")),
    st.tuples(st.just("pin"), _any),
    st.tuples(
        st.just("keep_fewer_in_a_full_dropbox"), st.integers(1, 3), st.sampled_from([0, 5000])
    ),
    st.tuples(st.just("fill"), st.sampled_from([0, 5000, 20_000])),
    st.tuples(st.just("jump"), st.integers(-48, 48)),
    st.tuples(st.just("keep"), st.integers(0, 4)),
    st.tuples(st.just("confirm")),
    st.tuples(st.just("decline")),
    st.tuples(st.just("move_in"), st.integers(1, 6)),
    st.tuples(st.just("copy"), _any),
)


async def _happen(house: MemoryHouse, event: tuple[Any, ...]) -> None:
    match event:
        case ("make", size, signed):
            await house.make(size, signed=signed)
        case ("check_in_the_dark" | "dark_night" as name, call, after, saved):
            await getattr(house, name)(call, after=after, saved=saved)
        case (name, *arguments):
            await getattr(house, name)(*arguments)


def _let_the_power_go(loop: asyncio.AbstractEventLoop) -> None:
    """Let what the power cut ended in the background pass: nobody is left to hear of it."""
    report = loop.get_exception_handler()
    assert report is not None

    def only_others(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), PowerCutError):
            report(loop, context)

    loop.set_exception_handler(only_others)


# A failure takes minutes to be made short enough to read.
@pytest.mark.timeout(600)
@settings(
    max_examples=300,
    # Home Assistant is only a clock here, and keeps nothing.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_events, min_size=5, max_size=30))
@example(
    # What a new backup paid for was deleted; then the power went before that was written down.
    [
        ("nights", 2),
        ("make", 1000, False),
        ("check_in_the_dark", 6, False, False),
        ("move_in", 4),
    ]
)
@example(
    # The power goes right after somebody chose to keep what waits.
    [
        ("nights", 2),
        ("move_in", 4),
        ("nights", 1),
        ("decline",),
        ("check_in_the_dark", 0, False, False),
        ("user_deletes", 0),
    ]
)
async def test_no_history_loses_or_doubles_a_backup(
    hass: HomeAssistant, events: list[tuple[Any, ...]]
) -> None:
    _let_the_power_go(hass.loop)
    house = MemoryHouse(hass)
    await house.start()
    try:
        for event in events:
            await _happen(house, event)
        await house.check_end()
    finally:
        house.stop()
