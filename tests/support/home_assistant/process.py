"""Run Home Assistant as a child process, on the loopback interface."""

import asyncio
from collections.abc import Mapping
import contextlib
import os
from pathlib import Path
import signal
import sys
from types import TracebackType
from typing import Self

import aiohttp

from tests.support.home_assistant.client import until
from tests.support.home_assistant.config_dir import LOOPBACK, Account, free_port, seed
from tests.support.home_assistant.log import LogRecord, problems_of
from tests.support.home_assistant.memory import MemoryUse, reset_peak

# With this status it asks whoever started it to start it again: to restart, or to restore a backup.
RESTART = 100

START_TIMEOUT = 180.0
STOP_TIMEOUT = 60.0

# What must not leak in: another place to import `custom_components` from, a Supervisor, a proxy.
_KEPT_OUT = {"PYTHONPATH", "SUPERVISOR", "SUPERVISOR_TOKEN", "HASSIO", "SETUP_PORT"}


class StartError(Exception):
    """Home Assistant ended, or did not come up in time."""


class HomeAssistant:
    """A Home Assistant, started again each time that it asks for it.

    directory: a folder for it alone. Its configuration is in `config`, its output in `console.log`.
    environment: variables on top of this process's own.
    integration: the folder of a custom integration to install.
    """

    def __init__(
        self,
        directory: Path,
        *,
        integration: Path | None = None,
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        account: Account | None = None,
    ) -> None:
        self.config = directory / "config"
        self.log = directory / "console.log"
        self.port = port or free_port()
        self.account = account or Account()
        self.starts = 0
        self._environment = dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._exited_with: int | None = None
        self._started_again = asyncio.Condition()
        if not self.config.exists():
            seed(self.config, port=self.port, account=self.account, integration=integration)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process as of now: a restart changes it."""
        if self._process is None or self._process.returncode is not None:
            raise StartError("Home Assistant does not run")
        return self._process.pid

    @property
    def memory(self) -> MemoryUse:
        """The memory that it uses."""
        return MemoryUse.of(self.pid)

    def reset_memory_peak(self) -> None:
        """Let `memory.peak` begin again."""
        reset_peak(self.pid)

    def problems_of(self, domain: str) -> list[LogRecord]:
        """Return the warnings and errors in its log that concern one integration."""
        return problems_of(domain, self.log) if self.log.exists() else []

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it runs. Raises `StartError`."""
        self._exited_with = None
        await self._spawn()
        self._supervisor = asyncio.create_task(self._supervise())
        await self.wait_until_running()

    async def stop(self) -> None:
        """Stop it as a system does that shuts down; a process that does not end is killed."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Stop it as a power cut does."""
        await self._end(signal.SIGKILL)

    async def wait_until_running(self, *, starts: int = 1, within: float = START_TIMEOUT) -> None:
        """Wait until it runs, having been started `starts` times in all. Raises `StartError`.

        A restart is one more start; a restore is two, because Home Assistant unpacks the backup
        in a process of its own.
        """
        try:
            async with asyncio.timeout(within):
                async with self._started_again:
                    await self._started_again.wait_for(lambda: self._has_started(starts))
                while not await self._is_running():
                    self._raise_if_ended()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StartError(
                f"Home Assistant did not run within {within:.0f} s, see {self.log}"
            ) from None

    async def wait_until_stored(self, key: str, text: str, *, within: float = 30) -> None:
        """Wait until `text` is in `.storage/<key>`. Raises `TimeoutError`.

        Home Assistant writes up to ten seconds late; until then a backup does not have it, and
        a `kill` loses it.
        """
        path = self.config / ".storage" / key

        async def is_stored() -> bool:
            return await asyncio.to_thread(lambda: path.exists() and text in path.read_text())

        await until(is_stored, within=within)

    def _has_started(self, starts: int) -> bool:
        self._raise_if_ended()
        return self.starts >= starts

    def _raise_if_ended(self) -> None:
        if self._exited_with is not None:
            raise StartError(f"Home Assistant ended with {self._exited_with}, see {self.log}")

    async def _is_running(self) -> bool:
        headers = {"Authorization": f"Bearer {self.account.token}"}
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.get(f"{self.url}/api/config") as response,
            ):
                return response.ok and (await response.json()).get("state") == "RUNNING"
        except aiohttp.ClientError, TimeoutError:
            return False

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "homeassistant", "-c", str(self.config)),
                *("--skip-pip", "--log-no-color"),
                cwd=self.config.parent,
                env=self._child_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for us, and we end our children in order.
                start_new_session=True,
            )
        async with self._started_again:
            self.starts += 1
            self._started_again.notify_all()

    def _child_environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if key not in _KEPT_OUT}
        return inherited | {"NO_PROXY": LOOPBACK} | self._environment

    async def _supervise(self) -> None:
        while self._process is not None:
            status = await self._process.wait()
            if status != RESTART:
                async with self._started_again:
                    self._exited_with = status
                    self._started_again.notify_all()
                return
            await self._spawn()

    async def _end(self, by: signal.Signals) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
            self._supervisor = None
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(by)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
