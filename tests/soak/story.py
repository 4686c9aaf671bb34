"""What happens, at random: backups night after night, and the troubles of life in between."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
import random

import aiohttp
from homeassistant.components.backup import BackupManagerError
from securetar import AddFileError

from custom_components.dropbox_backup.const import DEFAULT_FOLDER
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from tests.soak import gauges
from tests.soak.clock import utcnow
from tests.soak.home import LOCAL, SoakHome
from tests.soak.ledger import Account, Facts, Ledger
from tests.soak.neighbour import Neighbour, archive
from tests.soak.weather import Weather
from tests.support.dropbox_server import ControlClient

KIB, MIB = 1 << 10, 1 << 20
# One backup in eight is sent in an upload session: they are for more than 4 MiB.
_LARGE = 0.125
_KEPT_HERE = 25
_READINGS = 8
_CLEAN_UP_EVERY = 50
_TRIES_OF_A_USER = 5
_ENOUGH_ROOM = 1 << 40

type Trouble = Callable[[], Awaitable[None]]


class SoakStory:
    """Tell it with `live`; its outcome is in the ledger."""

    def __init__(
        self,
        home: SoakHome,
        dropbox: ControlClient,
        weather: Weather,
        session: aiohttp.ClientSession,
        lot: random.Random,
    ) -> None:
        self.ledger = Ledger()
        self.readings: list[gauges.Reading] = []
        self.happened: Counter[str] = Counter()
        self.restored = 0
        self.nights = 0
        self._tasks_at_rest: list[str] = []
        self.neighbour = Neighbour(dropbox, session)
        self._home = home
        self._dropbox = dropbox
        self._weather = weather
        self._lot = lot
        self._troubles: dict[Trouble, float] = {
            self._nothing: 30,
            self._reload_during_the_upload: 10,
            self._restart_during_the_upload: 4,
            self._power_cut_during_the_upload: 4,
            self._delete_on_home_assistants_page: 5,
            self._delete_by_hand: 5,
            self._keep_another_number: 6,
            self._outage: 2,
            self._full_dropbox: 2,
            self._damaged_archive: 2,
            self._foreign_files: 3,
            self._restore: 8,
            self._new_listing: 2,
            self._folder_vanishes: 0.5,
        }

    async def live(self, backups: int) -> None:
        """Let so many backups be made, and what else may happen."""
        self._weather.bad()
        await self._home.start()
        await self._home.settle()
        for made in range(backups):
            if made % -(-backups // _READINGS) == 0:
                await self._take_reading()
            await self._night()
            if made % _CLEAN_UP_EVERY == _CLEAN_UP_EVERY - 1:
                self._dropbox.purge()
        await self._come_to_rest()

    async def _night(self) -> None:
        self.nights += 1
        await self._home.pass_time(timedelta(hours=self._lot.uniform(1, 30)))
        await self._home.settle()
        trouble = self._lot.choices([*self._troubles], [*self._troubles.values()])[0]
        self.happened[trouble.__name__.strip("_").replace("_", " ")] += 1
        async with asyncio.TaskGroup() as together:
            if self._lot.random() < 0.15 and trouble != self._folder_vanishes:
                together.create_task(self._neighbours_night())
            await trouble()
            await self._home.settle()
        await self._balance()
        await self._tidy_up_here()

    async def _neighbours_night(self) -> None:
        await self.neighbour.make_backup(utcnow())
        if len(self.neighbour.backups) > 5:
            await self.neighbour.delete_oldest()

    async def _come_to_rest(self) -> None:
        """Let the line be good, and everything come to its end."""
        self._weather.fine()
        await self._home.settle()
        await self._balance()
        await self._take_reading()

    # Backups

    async def _make_backup(self, *, large: bool | None = None, only_here: bool = False) -> str:
        name = f"Night-{self.nights:04}"
        size = self._lot.randrange(200 * KIB)
        if large or (large is None and self._lot.random() < _LARGE):
            size = self._lot.randrange(4 * MIB, 14 * MIB)
        places = [[LOCAL], [LOCAL, self._home.agent_id], [self._home.agent_id]]
        chosen = self._lot.choices(places, [7, 2, 1])[0]
        if only_here or not self._is_a_location():
            chosen = [LOCAL]
        for last_try in (False,) * (_TRIES_OF_A_USER - 1) + (True,):
            try:
                await self._home.make_backup(name, size, chosen)
                break
            except AddFileError as err:
                # Home Assistant wrote one of its files anew while it put it into the backup.
                self.happened["backups that Home Assistant had to make again"] += 1
                if last_try:
                    self.ledger.violation(f"Home Assistant could not make {name}: {err}")
            except BackupManagerError as err:
                self.ledger.violation(f"Home Assistant could not make {name}: {err}")
                break
        here = (await self._home.local()).get(name)
        self.ledger.made(name, here, self._home.path_of(here) if here else None)
        return name

    def _is_a_location(self) -> bool:
        return self._home.agent_id in self._home.manager.backup_agents

    # Troubles. Each of them makes a backup.

    async def _nothing(self) -> None:
        await self._make_backup()

    async def _reload_during_the_upload(self) -> None:
        await self._make_backup(large=True, only_here=True)
        if await self._home.under_way(self._lot.random()):
            await self._home.reload()

    async def _restart_during_the_upload(self) -> None:
        await self._make_backup(large=True, only_here=True)
        if await self._home.under_way(self._lot.random()):
            await self._home.restart()

    async def _power_cut_during_the_upload(self) -> None:
        await self._make_backup(large=True, only_here=True)
        if await self._home.under_way(self._lot.random()):
            await self._home.cut_power()

    async def _delete_on_home_assistants_page(self) -> None:
        await self._make_backup()
        await self._home.settle()
        await self._balance()  # as long as all that retention counted is there
        account = self._one_in_dropbox()
        if account is None:
            return
        for _ in range(_TRIES_OF_A_USER):
            account.deleted_by_user = True
            if not await self._home.delete_in_dropbox(account.backup_id):
                return

    async def _delete_by_hand(self) -> None:
        await self._make_backup()
        await self._home.settle()
        await self._balance()
        account = self._one_in_dropbox()
        if account is not None:
            account.deleted_by_user = True
            self._dropbox.delete(self._path_of(account.name))
        await self._upload_now()

    async def _keep_another_number(self) -> None:
        await self._make_backup()
        await self._home.settle()
        await self._balance()
        await self._home.set_keep(self._lot.choice([0, 4, 8, 12, 20, 30]))
        await self._home.settle()
        if self._home.state.unconfirmed:
            await self._balance()  # nothing is deleted before the user agrees
            self.happened["deletions confirmed by the user"] += 1
            self._home.engine.confirm_retention()

    async def _outage(self) -> None:
        self._weather.outage()
        await self._make_backup(only_here=True)
        for _ in range(3):
            await self._home.settle_once()
            await self._home.pass_time(timedelta(hours=1))
        self._weather.bad()

    async def _full_dropbox(self) -> None:
        [account] = self._dropbox.state()["accounts"]
        self._dropbox.change_account(quota=account["used"] + MIB)
        await self._make_backup(large=True, only_here=True)
        await self._home.settle_once()
        problem = self._home.problem
        if problem is not None and problem.kind not in {ProblemKind.FULL, ProblemKind.UNREACHABLE}:
            self.ledger.violation(f"Dropbox is full, and this is said: {problem}")
        self._dropbox.change_account(quota=_ENOUGH_ROOM)

    async def _damaged_archive(self) -> None:
        """Cut an archive off before it is looked at: while the entry is not loaded."""
        await self._home.hass.config_entries.async_unload(self._home.entry.entry_id)
        name = await self._make_backup(only_here=True)
        here = (await self._home.local())[name]
        path = self._home.path_of(here)
        path.write_bytes(path.read_bytes()[: here.size // 2])
        self.ledger.accounts[name].damaged = True
        await self._home.hass.config_entries.async_setup(self._home.entry.entry_id)

    async def _foreign_files(self) -> None:
        await self._make_backup()
        number = self.happened["foreign files"]
        stranger = f"5747{number:04x}"
        date = utcnow() - timedelta(days=self._lot.randrange(1000))
        for name, data in {
            f"letter {number}.txt": b"Dear neighbours",
            f"holiday {number}.tar": self._lot.randbytes(20_000),
            f"{stranger}.tar": archive("By hand", stranger, date, instance="a stranger"),
        }.items():
            path = f"{DEFAULT_FOLDER}/{name}"
            self.ledger.foreign[path] = self._dropbox.put(path, data)["content_hash"]

    async def _restore(self) -> None:
        await self._make_backup()
        await self._home.settle()
        account = self._one_in_dropbox()
        if account is None:
            return
        expected = self._dropbox.read(self._path_of(account.name))
        if await self._home.restore_bytes(account.backup_id) != expected:
            self.ledger.violation(f"{account.name} came back different")
        self.restored += 1

    async def _new_listing(self) -> None:
        await self._make_backup()
        self._dropbox.expire_cursors()

    async def _folder_vanishes(self) -> None:
        await self._make_backup()
        await self._home.settle()
        await self._balance()
        for account in self.ledger.accounts.values():
            account.deleted_by_user |= account.present
        self.ledger.foreign.clear()
        self.neighbour.backups.clear()
        self._dropbox.delete(DEFAULT_FOLDER)
        await self._upload_now()

    # Accounting

    async def _balance(self) -> None:
        # What retention has just deleted gets its reason with the next look.
        await self._upload_now()
        told, self._home.told = self._home.told, []
        self.ledger.balance(
            Facts(
                files=self._dropbox.files(DEFAULT_FOLDER),
                local=await self._home.local(),
                state=self._home.state,
                keep=self._home.keep,
                told=told,
            )
        )
        self._check_neighbours()

    def _check_neighbours(self) -> None:
        there = {one["path"].rpartition("/")[2] for one in self._dropbox.files(DEFAULT_FOLDER)}
        for name in self.neighbour.backups.keys() - there:
            self.ledger.violation(f"{name} is the neighbours', and is gone")

    async def _upload_now(self) -> None:
        self._home.engine.request("the user looks")
        await self._home.settle()

    async def _tidy_up_here(self) -> None:
        """Delete the oldest backups from Home Assistant, as its own retention would."""
        here = await self._home.local()
        for name in sorted(here)[:-_KEPT_HERE]:
            await self._home.delete_here(here[name])

    async def _take_reading(self) -> None:
        await self._home.settle()
        await self._home.pass_time(timedelta(minutes=2))  # connections at rest are closed
        await self._home.settle()
        await asyncio.sleep(0.1)
        self.readings.append(gauges.read(self.nights))
        ours = gauges.our_tasks()
        self._tasks_at_rest = self._tasks_at_rest or ours
        if ours != self._tasks_at_rest:
            self.ledger.violation(f"tasks of ours while all is done: {ours}")
        if more := gauges.left_over():
            self.ledger.violation(f"left over from before: {more}")

    def _path_of(self, name: str) -> str:
        remote = next(one for one in self._home.state.backups if one.backup.name == name)
        return f"{DEFAULT_FOLDER}/{remote.file.name}"

    def _one_in_dropbox(self) -> Account | None:
        there = {one.backup.name for one in self._home.state.backups}
        mine = [one for one in self.ledger.accounts.values() if one.present and one.name in there]
        return self._lot.choice(mine) if mine else None
