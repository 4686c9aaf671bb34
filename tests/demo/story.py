"""What the demo does, step by step: each step says what it shows, and fails when it is not so."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import time

from tests.demo.terminal import Progress, Terminal, size
from tests.support.home_assistant import JsonObject, until
from tests.support.world import DOMAIN, World

BACKUP_NAME = "Before the storm"
MARKER_BEFORE = "as it was when the backup was made\n"
MARKER_AFTER = "overwritten afterwards\n"

MIB = 1 << 20
MEMORY_BUDGET = 64 * MIB

# An upload may take as long as it needs, but not stand still.
STALLED_AFTER = 180.0
SETTLED_WITHIN = 60.0
_WRITE = 16 * MIB


class DemoError(Exception):
    """Something is not as the demo promises."""


@dataclass(slots=True)
class Memory:
    """Resident memory of Home Assistant, in bytes."""

    idle: int
    making: int = 0
    uploading: int = 0

    @property
    def growth(self) -> int:
        """How much more than idle the upload needed."""
        return self.uploading - self.idle


class Story:
    """Tells the demo. Every method is a step; they build upon each other."""

    def __init__(self, world: World, terminal: Terminal) -> None:
        self._world = world
        self._say = terminal
        self._marker = world.home.config / "demo" / "marker.txt"
        self._entities: dict[str, str] = {}
        self._agent = ""
        self._backup = ""

    async def tell(self, data: int) -> str:
        """Tell all of it, with `data` bytes of random data in the backup; return a sentence that
        sums it up. Raises `DemoError`.
        """
        with self._say.step("Sign in to Dropbox, through the integration's own config flow"):
            await self.sign_in()
        with self._say.step("Make a backup in Home Assistant, in its local location only"):
            await self.put_data(data)
            memory = await self.make_backup()
        with self._say.step("The integration notices it, and sends it to Dropbox"):
            await self.watch_upload(memory)
        with self._say.step("Compare what lies in Dropbox with the local file"):
            local = await self.compare()
            length = local.stat().st_size
        with self._say.step("What Home Assistant shows"):
            await self.show_entities()
        with self._say.step("Lose the local backup, and damage a file"):
            await self.lose(local)
        with self._say.step("Restore from Dropbox, through Home Assistant"):
            await self.restore()
        with self._say.step("Look into Home Assistant's log"):
            self.check_log()
        return (
            f"A backup of {size(length)} went to Dropbox by itself, lay there byte for byte, and"
            " was restored from there after its local copy was lost."
        )

    async def sign_in(self) -> None:
        """Add credentials, press Allow at the local Dropbox, confirm the folder."""
        entry = await self._world.sign_in()
        self._agent = await self._world.agent()
        self._entities = await self._world.entities()
        self._say.good(f"signed in as {entry['title']}")
        self._say.note(f"{len(self._entities)} entities, and a location for backups: {self._agent}")
        # What Home Assistant has not written yet would be missing in the backup.
        home = self._world.home
        await home.wait_until_stored("core.config_entries", entry["entry_id"])
        await home.wait_until_stored("application_credentials", self._world.dropbox.app_key)
        await home.wait_until_stored("core.entity_registry", entry["entry_id"])
        self._say.good("Home Assistant has saved that")

    async def put_data(self, length: int) -> None:
        """Put a marker and random data, which no compression makes smaller, into the config."""
        self._marker.parent.mkdir()
        self._marker.write_text(MARKER_BEFORE)
        await asyncio.to_thread(_write_random, self._marker.with_name("random.bin"), length)
        self._say.good(f"put {size(length)} of random data into the configuration folder")

    async def make_backup(self) -> Memory:
        """Have Home Assistant make a backup; measure from its end on what the upload needs."""
        home = self._world.home
        memory = Memory(idle=home.memory.now)
        home.reset_memory_peak()

        def on_event(event: JsonObject) -> None:
            if event.get("state") == "completed":
                memory.making = home.memory.peak
                home.reset_memory_peak()

        began = time.monotonic()
        self._backup = await self._world.backups.create(BACKUP_NAME, on_event=on_event)
        length = self._world.backups.local_file(self._backup).stat().st_size
        took = time.monotonic() - began
        self._say.good(f"backup {self._backup}: {size(length)} in {took:.1f} s")
        return memory

    async def watch_upload(self, memory: Memory) -> None:
        """Show the upload as the sensor of its progress tells it, until Dropbox has the backup."""
        length = self._world.backups.local_file(self._backup).stat().st_size
        with self._say.progress(length) as bar:
            await self._follow(bar)
            took = bar.elapsed
        memory.uploading = self._world.home.memory.peak
        self._say.good(f"uploaded {size(length)} in {took:.1f} s ({size(length / took)}/s)")
        self._say_memory(memory)

    async def _follow(self, bar: Progress) -> None:
        sensor = self._entities.get("upload_progress")
        seen, moved_at = 0.0, time.monotonic()
        while not await self._is_uploaded():
            percent = number(await self._world.client.state(sensor)) if sensor else 0.0
            if percent > seen:
                seen, moved_at = percent, time.monotonic()
            bar.show(seen)
            if time.monotonic() - moved_at > STALLED_AFTER:
                raise DemoError(f"the upload stands still at {seen:.0f} %")
            await asyncio.sleep(0.2)
        bar.show(100)

    async def _is_uploaded(self) -> bool:
        details = await self._world.backups.details(self._backup)
        return details is not None and self._agent in details["agents"]

    def _say_memory(self, memory: Memory) -> None:
        say = self._say.good if memory.growth < MEMORY_BUDGET else self._say.bad
        say(f"Home Assistant's memory grew by {size(memory.growth)} (should be under 64 MiB)")
        self._say.note(
            f"idle {size(memory.idle)}, at most {size(memory.making)} while making the backup,"
            f" {size(memory.uploading)} while uploading"
        )

    async def compare(self) -> Path:
        """Compare the local archive with the file in the local Dropbox, byte for byte."""
        local = self._world.backups.local_file(self._backup)
        files = [file for file in await self._world.dropbox.files() if self._backup in file.name]
        if len(files) != 1:
            raise DemoError(f"not one file of backup {self._backup} in Dropbox, but {files}")
        (remote,) = files
        ours, theirs = await asyncio.gather(
            asyncio.to_thread(_sha256, local), asyncio.to_thread(_sha256, remote.on_disk)
        )
        if ours != theirs:
            raise DemoError(f"SHA-256 of {local} is {ours}, of {remote.path} it is {theirs}")
        self._say.good(f"{remote.path} is the same, byte for byte")
        self._say.note(f"SHA-256 {ours}")
        return local

    async def show_entities(self) -> None:
        """Show the integration's entities, once they have settled."""
        await _until(self._has_settled, "the sensors show the uploaded backup")
        states = await self._world.client.states()
        rows = [
            (
                states[entity]["attributes"].get("friendly_name", ""),
                _shown(states[entity]),
                entity,
            )
            for entity in self._entities.values()
            if entity in states
        ]
        if not rows:
            raise DemoError("the integration has no entities")
        self._say.table(("Name", "State", "Entity"), rows)
        self._say.note("Problem is on: this Home Assistant has no key to encrypt backups with")

    async def _has_settled(self) -> bool:
        count = self._entities.get("backups_in_dropbox")
        return count is None or number(await self._world.client.state(count)) >= 1

    async def lose(self, local: Path) -> None:
        """Remove the local archive, as a broken disk would, and change the marker."""
        await asyncio.to_thread(local.unlink)
        details = await self._world.backups.details(self._backup)
        if details is None or list(details["agents"]) != [self._agent]:
            raise DemoError(f"the backup should be in Dropbox only: {details}")
        self._marker.write_text(MARKER_AFTER)
        self._say.good("the backup is in Dropbox only, says Home Assistant")
        self._say.good(f"{self._marker.name} now reads: {MARKER_AFTER.strip()}")

    async def restore(self) -> None:
        """Restore, and find the marker and the integration as they were."""
        began = time.monotonic()
        await self._world.backups.restore(self._backup, self._agent)
        took = time.monotonic() - began
        self._say.good(f"restored and running again after {took:.1f} s")
        if (text := self._marker.read_text()) != MARKER_BEFORE:
            raise DemoError(f"the marker was not restored, it reads: {text.strip()}")
        self._say.good(f"{self._marker.name} reads again: {MARKER_BEFORE.strip()}")
        await _until(self._is_uploaded, "the backup is listed again")
        self._say.good("signed in as before, and the backup is listed")

    def check_log(self) -> None:
        """Fail on any warning or error that the integration logged or caused."""
        problems = self._world.home.problems_of(DOMAIN)
        if problems:
            raise DemoError(f"{len(problems)} warnings or errors of the integration in the log")
        self._say.good("no warning and no error of the integration")


async def _until[T](ask: Callable[[], Awaitable[T]], wanted: str) -> T:
    try:
        return await until(ask, within=SETTLED_WITHIN)
    except TimeoutError:
        raise DemoError(f"not within {SETTLED_WITHIN:.0f} s: {wanted}") from None


def _write_random(path: Path, length: int) -> None:
    with path.open("wb") as file:
        for start in range(0, length, _WRITE):
            file.write(os.urandom(min(_WRITE, length - start)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def number(state: JsonObject) -> float:
    """Return a sensor's number; 0 while it has none."""
    try:
        return float(state["state"])
    except ValueError:
        return 0.0


def _shown(state: JsonObject) -> str:
    """Return a state as people read it: long fractions are for computers."""
    unit = state["attributes"].get("unit_of_measurement", "")
    text = str(state["state"])
    if "." in text and number(state):
        text = f"{number(state):.2f}"
    return f"{text} {unit}".strip()
