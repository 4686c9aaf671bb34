"""A real Home Assistant that is signed in to a local Dropbox, and can be started again."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import json
from pathlib import Path
import time
from typing import Any

from tests.support.dropbox_server import ControlClient
from tests.support.world import DOMAIN, World, world

FOLDER = "/HomeAssistant/Backups"
_LOOPTIME = Path(__file__).parent / "looptime"
_QUIET = 3.0
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Start:
    """What a start took.

    CPU seconds of the main thread, which runs the event loop; those in which it ran our code and
    what that calls, and the longest of these. And the requests to Dropbox by route: until Home
    Assistant ran, and until all was quiet.
    """

    main_thread: float
    ours: float
    longest: float
    until_running: Counter[str]
    until_quiet: Counter[str]


@dataclass(frozen=True, slots=True)
class Home:
    """A Home Assistant and its Dropbox."""

    world: World

    @property
    def control(self) -> ControlClient:
        """The switches of the local Dropbox."""
        return self.world.dropbox.control

    @property
    def config(self) -> Path:
        """Home Assistant's configuration directory."""
        return self.world.home.config

    async def stop(self) -> None:
        """Stop Home Assistant."""
        await self.world.home.stop()

    async def start(self) -> Start:
        """Start Home Assistant, and wait until it has no more to ask Dropbox."""
        await self.begin()
        until_running = await self.requests()
        await self.settle()
        spent = json.loads(self._spent.read_text(encoding="ascii"))
        return Start(
            _main_thread_cpu(self.world.home.pid),
            spent["total"],
            spent["longest"],
            until_running,
            await self.requests(),
        )

    async def begin(self) -> None:
        """Start Home Assistant, and wait until it says that it runs."""
        await asyncio.to_thread(self.control.clear_log)
        await self.world.home.start()

    async def settle(self) -> None:
        """Wait until nothing was asked of Dropbox for a while."""
        deadline = time.monotonic() + _PATIENCE
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < _QUIET and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            asked = (await self.requests()).total()
            if asked != seen:
                seen, since = asked, time.monotonic()

    async def requests(self) -> Counter[str]:
        """Count the requests since the log was cleared, by route."""
        state = await asyncio.to_thread(self.control.state)
        return Counter(state["counters"])

    async def open_backups_page(self) -> tuple[float, Counter[str]]:
        """Load what the Backups page shows; return the seconds and the requests to Dropbox."""
        await asyncio.to_thread(self.control.clear_log)
        begun = time.perf_counter()
        info = await self.world.backups.info()
        seconds = time.perf_counter() - begun
        if info["agent_errors"]:
            raise RuntimeError(str(info["agent_errors"]))
        return seconds, await self.requests()

    @property
    def _spent(self) -> Path:
        """Where `looptime` writes."""
        return self.config.parent / "looptime.json"

    def measure_loop_time(self) -> None:
        """Have the next starts measured."""
        self.world.home._environment |= {
            "PYTHONPATH": str(_LOOPTIME),
            "LOOPTIME_FILE": str(self._spent),
        }

    def change_entry(self, **fields: Any) -> None:
        """Change the config entry while Home Assistant is stopped."""
        path = self.config / ".storage" / "core.config_entries"
        store = json.loads(path.read_text(encoding="utf-8"))
        (entry,) = (one for one in store["data"]["entries"] if one["domain"] == DOMAIN)
        entry.update(fields)
        path.write_text(json.dumps(store), encoding="utf-8")


@asynccontextmanager
async def signed_in(directory: Path) -> AsyncGenerator[Home]:
    """Start both, and sign in as a user does."""
    async with world(directory) as the_world:
        await the_world.sign_in()
        home = Home(the_world)
        home.measure_loop_time()
        await home.settle()
        yield home


def _main_thread_cpu(pid: int) -> float:
    """Return the CPU seconds of a process's main thread so far."""
    text = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii")
    return int(text.split()[0]) / 1e9
