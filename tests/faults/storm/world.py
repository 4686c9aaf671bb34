"""Everybody who has to do with one folder: our Home Assistant, another one, a person, a tool that
copies files, the power and the clock.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
import contextlib
from datetime import UTC, datetime, timedelta
import logging
from typing import Any, override

from homeassistant.components.backup import BackupAgentError, BackupNotFound

from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.errors import DropboxError, UnreachableError
from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.decide.models import date_of, id_of
from custom_components.dropbox_backup.sync.decide.plan import WhySkipped
from custom_components.dropbox_backup.sync.requests import Selection
from custom_components.dropbox_backup.sync.storage.notes_format import parse_notes
from tests.faults.storm.books import Books, Truth
from tests.faults.storm.dropbox import StormyDropbox, caller
from tests.faults.storm.home import StormyHome
from tests.support.memory_dropbox import PowerCutError, StoredFile
from tests.support.memory_home import SMALL, Made, make

US, THEM = "this house", "other house"
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_A_MOMENT = 5.0
_A_WHILE = 130.0  # a run that failed is repeated within that
_INTEGRATION = logging.getLogger("custom_components.dropbox_backup")

type Act = tuple[str, dict[str, Any]]
"""The name of a method of `StormyWorld` that begins with `act_`, and its arguments."""


class StormyWorld:
    """Acts are carried out at once, or between two requests of ours."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody has done anything yet."""
        self._loop = loop
        self._truth = Truth()
        self._ahead = timedelta()  # of our Home Assistant's clock
        self._count = 0
        self._armed: list[tuple[int, Act]] = []
        self._deleted: list[StoredFile] = []
        self._wishes: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dropbox = StormyDropbox(lambda _: None, lambda _: None)
        self._books = Books(US, 2, self._truth, self._dropbox, self._moment)
        self._their_books = Books(THEM, 2, self._truth, self._dropbox)
        self._home = StormyHome(US, self._dropbox, self._books, 2)
        self._neighbour = StormyHome(THEM, self._dropbox, self._their_books, 2)
        self._errors = _Errors(self._truth)
        _INTEGRATION.addHandler(self._errors)
        loop.set_exception_handler(self._lost)

    @property
    def broken(self) -> list[str]:
        """Which rules were broken, in words."""
        return self._truth.broken

    @property
    def uploads(self) -> int:
        """How many archives ours has uploaded."""
        return len(self._books.commits)

    def now(self) -> datetime:
        """Return what time it is."""
        return _BEGINNING + timedelta(seconds=self._loop.time())

    def our_now(self) -> datetime:
        """Return what time our Home Assistant believes that it is."""
        return self.now() + self._ahead

    async def begin(self) -> None:
        """Set up both Home Assistants."""
        await self._start()
        await self._neighbour.start(
            self._their_books.heard, lambda: self._their_books.pruned(asks=False)
        )

    async def end(self) -> None:
        """Leave nothing behind."""
        _INTEGRATION.removeHandler(self._errors)
        self._neighbour.stop()
        await self._home.lose_power()

    async def _start(self) -> None:
        home, books = self._home, self._books

        def pruned() -> None:
            books.pruned(asks=bool(home.worker.state.unconfirmed))

        await home.start(books.heard, pruned)
        home.work()

    # Time

    async def settle(self, seconds: float = _A_MOMENT) -> None:
        """Let time pass, and the power come back if it has gone."""
        await self._pass(seconds)
        while not self._home.power.on:
            await self._home.lose_power()
            books = self._books
            books.pruned(asks=True)
            # What was decided goes on, and asks nobody.
            decided = parse_notes(await self._home.remembered()).approved
            if decided is not None:
                books.consented |= {rev for _, rev in decided.revisions}
            await self._start()
            await self._pass(_A_MOMENT)

    async def _pass(self, seconds: float) -> None:
        self._dropbox.now = self.now()
        await asyncio.sleep(seconds)
        self._dropbox.now = self.now()

    async def check(self) -> None:
        """Have the worker look."""
        self._home.worker.request("test")
        await self.settle(30.0)

    async def do(self, act: Act) -> None:
        """Let somebody do something, and a moment pass."""
        with contextlib.suppress(PowerCutError, UnreachableError):
            await self._act(act)
        await self.settle()

    def arm(self, acts: Sequence[tuple[int, Act]]) -> None:
        """Let somebody do something between two requests; each after so many of such moments."""
        self._armed = list(acts)

    async def _moment(self) -> None:
        self._dropbox.now = self.now()
        await asyncio.sleep(0)
        while self._armed and self._armed[0][0] == 0:
            _, act = self._armed.pop(0)
            await self._act(act)
        if self._armed:
            skip, act = self._armed[0]
            self._armed[0] = skip - 1, act
        await asyncio.sleep(0)

    async def _act(self, act: Act) -> None:
        name, arguments = act
        result = getattr(self, f"act_{name}")(**arguments)
        if result is not None:
            await result

    # A person at dropbox.com

    def act_delete(self, which: int) -> None:
        """Delete a file: an archive, or the catalog."""
        if file := _one_of(list(self._dropbox.files.values()), which):
            self._dropbox.remove(file.name)
            if file.name.endswith(".tar"):
                self._deleted.append(file)

    def act_delete_folder(self) -> None:
        """Delete the whole folder."""
        self._deleted += self._tars()
        self._dropbox.remove_folder()

    def act_restore(self, which: int) -> None:
        """Bring back what was deleted, unless something else lies there."""
        file = _one_of(self._deleted, which)
        if file is not None and file.name.lower() not in self._dropbox.files:
            again = self._dropbox.put(file.name, file.data, file.modified)
            if file.rev in self._truth.personal:
                self._truth.personal.add(again.rev)

    def act_rename(self, which: int) -> None:
        """Give an archive another name, in order to keep it."""
        if file := _one_of(self._tars(), which):
            self._dropbox.remove(file.name)
            self._put_as_a_person("KEEP ME", file.data)

    def act_copy(self, which: int) -> None:
        """Copy an archive."""
        if file := _one_of(self._tars(), which):
            self._put_as_a_person("Copy", file.data)

    def act_cut(self, which: int, *, same_size: bool) -> None:
        """Replace an archive by what is left of it."""
        file = _one_of(self._tars(), which)
        if file is not None and len(file.data) > SMALL:
            self._spoil(file.name, file.data, same_size=same_size)

    def act_move_in(self, count: int) -> None:
        """Move old backups of this house into the folder, as they were uploaded once."""
        for _ in range(count):
            made = self._made(self.now() - timedelta(days=30), US, signed=True)
            self._dropbox.put(file_name(made.backup), made.data)

    def act_letter(self) -> None:
        """Put something else into the folder."""
        self._count += 1
        self._dropbox.put(f"letter {self._count}.tar", b"dear")

    def _put_as_a_person(self, called: str, data: bytes) -> None:
        self._count += 1
        file = self._dropbox.put(f"{called} {self._count}.tar", data)
        self._truth.personal.add(file.rev)

    # A tool that copies Home Assistant's own folder

    def act_sync_tool(self, which: int, *, our_name: bool, same_size: bool) -> None:
        """Copy a local backup while it is still being written."""
        made = _one_of(list(self._home.shelf.made.values()), which)
        if made is None:
            return
        name = file_name(made.backup) if our_name else f"{made.backup.backup_id}.tar"
        if name.lower() not in self._dropbox.files:
            self._spoil(name, made.data, same_size=same_size)

    def _spoil(self, name: str, data: bytes, *, same_size: bool) -> None:
        known = content_hash(block_digests(data))
        made, _ = self._truth.good.get(known, (self._truth.spoilt.get(known), None))
        left = data[: -len(data) // 4]
        spoilt = left + b"\1" * (len(data) - len(left)) if same_size else left
        file = self._dropbox.put(name, spoilt)
        if made is not None:
            self._truth.spoilt[file.content_hash] = made

    # The other Home Assistant

    async def act_neighbour(self) -> None:
        """Let the other Home Assistant make a backup, and work."""
        made = self._made(self.now(), THEM, signed=True)
        self._neighbour.shelf.made = {made.backup.backup_id: made}
        token = caller.set("neighbour")
        try:
            await self._neighbour.worker.check()
        finally:
            caller.reset(token)

    # Dropbox itself

    def act_page(self, size: int) -> None:
        """Let pages of listings be so long."""
        self._dropbox.page = size

    def act_reset(self) -> None:
        """Forget the cursor."""
        self._dropbox.reset = True

    def act_damage(self) -> None:
        """Store something else than what is sent next."""
        self._books.damage_next = True

    def act_unreachable(self) -> None:
        """Answer not: nothing has happened, or nobody hears of it."""
        raise UnreachableError("storm")

    # Our Home Assistant

    def act_make(self, size: int, *, signed: bool) -> None:
        """Make a backup; those of Supervisor do not say whose they are."""
        made = self._made(self.our_now(), US, signed=signed, size=size)
        self._home.shelf.put(made)
        self._home.worker.request("a backup was made")

    def act_hand_out(self, size: int, *, stays: bool) -> None:
        """Make a backup for Dropbox, and perhaps for here as well."""
        made = self._made(self.our_now(), US, signed=True, size=size)
        if stays:
            self._home.shelf.put(made)
        self._begin(self._hand_out(made))

    def act_hand_out_again(self, which: int) -> None:
        """Have the page upload a local backup that may be there already."""
        if made := _one_of(list(self._home.shelf.made.values()), which):
            self._begin(self._hand_out(made))

    async def _hand_out(self, made: Made) -> None:
        self._wanted(made.backup.backup_id)
        self._books.begin_to_prove()
        with contextlib.suppress(BackupAgentError):
            await self._home.agent.async_upload_backup(
                open_stream=self._home.stream(made),
                backup=made.backup,
                on_progress=lambda **_: None,
            )
            self._books.told_success(made, "the upload")

    def act_ask_for(self, which: int) -> None:
        """Have an action upload a local backup."""
        if made := _one_of(list(self._home.shelf.made.values()), which):
            self._begin(self._ask_for(made))

    async def _ask_for(self, made: Made) -> None:
        backup_id = id_of(made.backup)
        self._wanted(backup_id)
        caller.set("worker")
        self._books.begin_to_prove()
        with contextlib.suppress(asyncio.CancelledError):
            outcomes = await self._home.worker.request(
                "action", Selection(ids=frozenset({backup_id}))
            )
            if backup_id in outcomes and outcomes[backup_id].error is None:
                self._books.told_success(made, "the action upload")

    def act_delete_on_page(self, which: int, *, here_too: bool) -> None:
        """Delete a backup on Home Assistant's page, as it is shown there or is on its way."""
        ids = [*self._home.shelf.made, *(id_of(one.backup) for one in self._home.folder.backups)]
        if backup_id := _one_of(ids, which):
            if here_too:
                self._home.shelf.made.pop(backup_id, None)
            self._begin(self._delete_on_page(backup_id))

    def act_delete_on_its_way(self, which: int) -> None:
        """Delete a backup on Home Assistant's page while it is being uploaded."""
        if backup_id := _one_of(self._on_their_way, which):
            self._begin(self._delete_on_page(backup_id))

    async def _delete_on_page(self, backup_id: str) -> None:
        self._books.asked.add(backup_id)
        on_its_way, wishes = backup_id in self._on_their_way, self._wishes[backup_id]
        try:
            await self._home.agent.async_delete_backup(backup_id)
        except BackupNotFound:
            if not on_its_way:
                return
        except BackupAgentError:
            return
        if wishes == self._wishes[backup_id]:  # else somebody wanted it in between
            self._books.dismissed.add(backup_id)

    @property
    def _on_their_way(self) -> list[str]:
        return [id_of(one) for one in self._home.worker.on_their_way]

    def act_lose_local(self, which: int) -> None:
        """Delete a local backup."""
        if (backup_id := _one_of(list(self._home.shelf.made), which)) is not None:
            del self._home.shelf.made[backup_id]

    def act_clock(self, hours: int) -> None:
        """Set Home Assistant's clock wrong by so much."""
        self._ahead = timedelta(hours=hours)

    def act_power(self) -> None:
        """Cut the power."""
        self._home.power.on = False
        raise PowerCutError

    async def keep(self, count: int) -> None:
        """Choose how many to keep: the integration is reloaded."""
        await self._home.unload()
        self._home.keep = self._books.keep = count
        await self._start()
        await self.settle()

    async def pin(self, which: int) -> None:
        """Pin a backup."""
        if one := _one_of(self._home.folder.backups, which):
            with contextlib.suppress(DropboxError, PowerCutError):
                await self._home.folder.annotate(one.file, pinned=True)
        await self.settle()

    async def answer(self, *, agree: bool) -> None:
        """Answer what waits for a word."""
        worker, books = self._home.worker, self._books
        waiting = {one.file.rev for one in worker.state.unconfirmed}
        if agree:
            books.consented |= waiting
            books.declined -= waiting
            worker.confirm_retention()
        else:
            books.declined |= waiting
            await worker.decline_retention()
        await self.settle()

    def _begin(self, work: Any) -> None:
        async def as_somebody() -> None:
            caller.set(f"page {self._count}")
            self._count += 1
            await work

        task = self._loop.create_task(as_somebody())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wanted(self, backup_id: str) -> None:
        self._wishes[backup_id] += 1
        self._books.dismissed.discard(backup_id)

    def _made(self, date: datetime, owner: str, *, signed: bool, size: int = SMALL) -> Made:
        self._count += 1
        made = make(self._count, date, self.now(), owner if signed else None, size)
        self._truth.good[made.content_hash] = made, owner
        return made

    def _tars(self) -> list[StoredFile]:
        return [file for file in self._dropbox.files.values() if file.name.endswith(".tar")]

    # When all is quiet

    async def calm(self) -> None:
        """Let nothing happen any more until everything is where it belongs, and check that it is
        (rules 4 to 8 and 10).
        """
        self._armed.clear()
        self._dropbox.page, self._dropbox.reset = 1000, False
        self._books.damage_next = False
        self._ahead = timedelta()
        await self.settle(_A_WHILE)
        for _ in range(3):
            await self.answer(agree=True)
            self._home.worker.request("calm")
            await self.settle(_A_WHILE)
        self._check_listing()
        for made in self._home.shelf.made.values():
            self._check_arrived(made)
        self._check_dismissed()

    def _check_listing(self) -> None:
        """Check that what is shown is what is there."""
        files = {file.name: file for file in self._tars()}
        shown = self._home.folder.backups
        for one in shown:
            if one.file.name not in files or files[one.file.name].rev != one.file.rev:
                self._break(f"{one.file.name} is shown, and is not there")
            elif one.verified and one.file.content_hash not in self._truth.good:
                self._break(f"{one.file.name} is called verified, and is not what was made")
        ids = {id_of(one.backup) for one in shown}
        for file in files.values():
            spoilt = self._truth.spoilt.get(file.content_hash)
            made, _ = self._truth.good.get(file.content_hash, (spoilt, None))
            if made is not None and id_of(made.backup) not in ids:
                self._break(f"{file.name} is there, and not shown")

    def _check_arrived(self, made: Made) -> None:
        """Check that a local backup is in Dropbox, or that it is told why not, and true."""
        state, name = self._home.worker.state, made.backup.name
        backup_id = id_of(made.backup)
        there = self._home.folder.get(backup_id)
        if there is not None and there.verified and there.file.content_hash == made.content_hash:
            return
        skipped = {id_of(one.local.backup): one.reason for one in state.plan.skipped}  # type: ignore[union-attr]  # it has worked
        reason = skipped.get(backup_id)
        if reason is None:
            told = state.alarm or state.problem
            self._break(f"{name} is not in Dropbox, and nobody says why ({told})")
        elif reason.code is WhySkipped.DISMISSED:
            if backup_id not in self._books.asked:
                self._break(f"{name} is not in Dropbox, and nobody deleted it on purpose")
        elif self._books.keep == 0 or self._newer_than(made) < self._books.keep:
            self._break(f"{name} is not in Dropbox, and {reason} is not true")

    def _newer_than(self, made: Made) -> int:
        when = min(date_of(made.backup), made.when)
        return self._books.newer_than(when, self._tars(), but=made.backup.backup_id)

    def _check_dismissed(self) -> None:
        """Check that what was deleted on purpose stays deleted, unless somebody else brings it."""
        for file in self._tars():
            made, _ = self._truth.good.get(file.content_hash, (None, None))
            if (
                made is not None
                and file.rev in self._books.commits
                and made.backup.backup_id in self._books.dismissed
            ):
                self._break(f"{file.name} was deleted on Home Assistant's page, and is there")

    def _break(self, rule: str) -> None:
        self._truth.broken.append(rule)

    def _lost(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Hear of errors that nobody took; those of a house without power nobody can."""
        err = context.get("exception")
        if isinstance(err, BaseExceptionGroup):
            err = err.split(PowerCutError)[1] or PowerCutError()
        if not isinstance(err, PowerCutError):
            self._break(f"{context['message']}: {err!r}")


class _Errors(logging.Handler):
    """Takes the log's errors for broken rules: the integration must not meet its own bugs."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(logging.ERROR)
        self._truth = truth

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        self._truth.broken.append(f"logged: {text}")


def _one_of[T](things: Sequence[T], which: int) -> T | None:
    return things[which % len(things)] if things else None
