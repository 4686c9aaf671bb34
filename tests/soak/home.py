"""A real Home Assistant in this process, with the integration, and what its user does."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
import random
import time
from typing import Any

import aiohttp
from homeassistant.components.application_credentials import (
    ClientCredential,
    async_import_client_credential,
)
from homeassistant.components.backup import AgentBackup, async_get_manager
from homeassistant.components.backup.manager import BackupManager, BackupManagerState
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, frame, instance_id
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import (
    CONF_FOLDER,
    CONF_KEEP,
    DEFAULT_FOLDER,
    DEFAULT_KEEP,
    DOMAIN,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.engine import Engine
from custom_components.dropbox_backup.sync.report.state import Problem, State, Status
from tests.soak.clock import put_forward, utcnow
from tests.support.dropbox_server import ControlClient

LOCAL = "backup.local"
_RESOLVER = "aiohttp_resolver"
_ENTRY_ID = "soak"
# Real seconds in which everything is done that can be done, on a machine with much else to do.
_PATIENCE = 90.0
# How often a check may fail in a row on a line on which one request in twenty fails.
_CHECKS_UNTIL_WELL = 20
_LOOK_AGAIN = 0.005
_A_MOMENT = 0.02
_RETRY_SETUP = timedelta(minutes=2)


class NeverSettledError(Exception):
    """What must end did not."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the event entity told about one backup."""

    kind: str
    name: str
    reason: str | None


class SoakHome:
    """One Home Assistant, which can be stopped and started again."""

    def __init__(self, config: Path, dropbox: ControlClient, app: tuple[str, str]) -> None:
        """`app`: key and secret of the app as registered with the local Dropbox."""
        config.mkdir()
        self.config = config
        self.told: list[Told] = []
        self.starts = 0
        self.reloads = 0
        self._told_at = ""
        self._dropbox = dropbox
        self._app = app
        self._data: dict[str, Any] = {}  # Any: the data of a config entry
        self._options: dict[str, Any] = {CONF_KEEP: DEFAULT_KEEP}
        self._running: AbstractAsyncContextManager[HomeAssistant] | None = None
        self.hass: HomeAssistant
        self.entry: DropboxBackupConfigEntry

    # What it is

    @property
    def manager(self) -> BackupManager:
        return async_get_manager(self.hass)

    @property
    def engine(self) -> Engine:
        return self.entry.runtime_data.engine

    @property
    def state(self) -> State:
        return self.engine.state

    @property
    def agent_id(self) -> str:
        return agent_id_of(self.entry)

    @property
    def keep(self) -> int:
        return int(self._options[CONF_KEEP])

    async def instance_id(self) -> str:
        return await instance_id.async_get(self.hass)

    async def local(self) -> dict[str, AgentBackup]:
        """Return the backups that lie on this Home Assistant, by name."""
        agent = self.manager.local_backup_agents[LOCAL]
        return {one.name: one for one in await agent.async_list_backups()}

    def path_of(self, backup: AgentBackup) -> Path:
        return self.manager.local_backup_agents[LOCAL].get_backup_path(backup.backup_id)

    # Starting and stopping

    async def start(self) -> None:
        """Start Home Assistant and set up the integration."""
        self.starts += 1
        self._running = async_test_home_assistant(config_dir=str(self.config))
        self.hass = await self._running.__aenter__()
        # Home Assistant's own mark of "look for custom integrations".
        self.hass.data.pop(DATA_CUSTOM_COMPONENTS, None)
        frame.async_setup(self.hass)
        # Home Assistant makes one that lives as long as the process, and warns of a second.
        self.hass.data[_RESOLVER] = aiohttp.ThreadedResolver()
        self.hass.bus.async_listen(EVENT_STATE_CHANGED, self._listen)
        await async_setup_component(self.hass, "backup", {})
        await async_setup_component(self.hass, "application_credentials", {})
        await async_import_client_credential(self.hass, DOMAIN, ClientCredential(*self._app))
        entry = MockConfigEntry(
            domain=DOMAIN,
            entry_id=_ENTRY_ID,
            title="Soak",
            unique_id="dbid:soak",
            data=self._data or self._sign_in(),
            options=self._options,
        )
        entry.add_to_hass(self.hass)
        self.entry = entry
        await self.hass.config_entries.async_setup(_ENTRY_ID)
        await self.hass.async_block_till_done()

    def _sign_in(self) -> dict[str, Any]:
        tokens = self._dropbox.issue_tokens()
        return {
            "auth_implementation": DOMAIN,
            "token": {
                "access_token": tokens["access_token"],
                "refresh_token": tokens["refresh_token"],
                "expires_in": tokens["expires_in"],
                "expires_at": time.time() + tokens["expires_in"],
                "token_type": "bearer",
                "scope": tokens["scope"],
            },
            CONF_FOLDER: DEFAULT_FOLDER,
        }

    async def stop(self) -> None:
        """Stop Home Assistant in good order."""
        assert self._running is not None
        self._data = dict(self.entry.data)
        background = {*self.hass._background_tasks}
        await self.hass.async_stop(force=True)
        # It does not wait for what it has cancelled; a process waits before it ends.
        if background:
            _, left = await asyncio.wait(background, timeout=_PATIENCE)
            if left:
                raise NeverSettledError(f"not ended by the stop: {left}")
        await self._running.__aexit__(None, None, None)
        self._running = None
        del self.hass, self.entry

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def cut_power(self) -> None:
        """Restart, with the journal as it lay on the disk at this moment."""
        journal = self.config / ".storage" / f"{DOMAIN}.{_ENTRY_ID}"
        before = journal.read_bytes() if journal.exists() else None
        await self.stop()
        if before is None:
            journal.unlink(missing_ok=True)
        else:
            journal.write_bytes(before)
        await self.start()

    async def reload(self) -> None:
        self.reloads += 1
        await self.hass.config_entries.async_reload(_ENTRY_ID)

    async def set_keep(self, keep: int) -> None:
        """Change the option as its dialog does."""
        self._options = {**self._options, CONF_KEEP: keep}
        self.hass.config_entries.async_update_entry(self.entry, options=self._options)
        await self.reload()

    # Backups

    async def make_backup(self, name: str, size: int, agent_ids: list[str]) -> None:
        """Have Home Assistant make a backup with `size` bytes that no compression makes smaller."""
        filling = self.config / "filling.bin"
        filling.write_bytes(random.Random(name).randbytes(size))
        await self.manager.async_create_backup(
            agent_ids=agent_ids,
            include_addons=None,
            include_all_addons=False,
            include_database=False,
            include_folders=None,
            include_homeassistant=True,
            name=name,
            password=None,
        )

    async def delete_here(self, backup: AgentBackup) -> None:
        await self.manager.async_delete_backup(backup.backup_id, agent_ids=[LOCAL])

    async def delete_in_dropbox(self, backup_id: str) -> dict[str, Exception]:
        """Delete a backup from Dropbox as one does on Home Assistant's own page."""
        return await self.manager.async_delete_backup(backup_id, agent_ids=[self.agent_id])

    async def restore_bytes(self, backup_id: str) -> bytes:
        """Return the archive as a restore gets it."""
        agent = self.manager.backup_agents[self.agent_id]
        stream = await agent.async_download_backup(backup_id)
        return b"".join([piece async for piece in stream])

    # Waiting

    async def under_way(self, share: float) -> bool:
        """Return when so much of what is being uploaded was sent; False if nothing is any more."""
        async with asyncio.timeout(_PATIENCE):
            while not self._is_idle():
                progress = self.state.progress
                if progress is not None and progress.percent >= 100 * share:
                    return True
                await asyncio.sleep(0)
        return False

    async def settle(self) -> None:
        """Return when everything is done; time passes while the worker waits for another try.

        Raises `NeverSettledError`.
        """
        for _ in range(_CHECKS_UNTIL_WELL):
            await self._until(lambda: self._is_idle() or self._setup_failed())
            if self._setup_failed():
                await self.pass_time(_RETRY_SETUP)
                await self._until(lambda: not self._setup_failed())
            elif self.problem is None:
                return
            else:
                await self._next_check()
        raise NeverSettledError(f"the checks go on failing: {self.problem}")

    async def settle_once(self) -> None:
        """Return when the worker rests, well or not."""
        await self._until(self._is_idle)

    @property
    def problem(self) -> Problem | None:
        return self.state.problem if self.entry.state is ConfigEntryState.LOADED else None

    async def pass_time(self, by: timedelta) -> None:
        """Let time pass, here and at Dropbox, and what waited for that begin."""
        put_forward(by)
        self._dropbox.advance_clock(by.total_seconds())
        await asyncio.sleep(_A_MOMENT)

    async def _next_check(self) -> None:
        last, due = self.state.last_attempt, self.state.next_check
        assert due is not None  # or it would not rest
        await self.pass_time(max(due - utcnow(), timedelta(0)) + timedelta(seconds=1))
        await self._until(lambda: self.state.last_attempt != last)

    async def _until(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not condition():  # noqa: ASYNC110  (about many things)
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise NeverSettledError(
                f"nothing happens, for {_PATIENCE:.0f} s: {self._described()}"
            ) from None
        await self.hass.async_block_till_done()

    def _described(self) -> str:
        said = f"{self.entry.state}, backup manager {self.manager.state}"
        if self.entry.state is ConfigEntryState.LOADED:
            state = self.state
            said += f", {state.status}, {state.problem}, next check {state.next_check}"
        return f"{said}, now {utcnow()}"

    def _setup_failed(self) -> bool:
        return self.entry.state is ConfigEntryState.SETUP_RETRY

    def _is_idle(self) -> bool:
        return (
            self.entry.state is ConfigEntryState.LOADED
            and self.manager.state is BackupManagerState.IDLE
            and self.engine.idle
            and self.state.next_check is not None
            and self.state.status not in {Status.CHECKING, Status.UPLOADING, Status.PAUSING}
        )

    @callback
    def _listen(self, event: Event[EventStateChangedData]) -> None:
        entity = er.async_get(self.hass).async_get(event.data["entity_id"])
        new = event.data["new_state"]
        if entity is None or entity.platform != DOMAIN or entity.domain != "event" or new is None:
            return
        about = new.attributes
        # After a reload it shows the last event again.
        if about.get("event_type") is not None and new.state != self._told_at:
            self._told_at = new.state
            self.told.append(Told(about["event_type"], about["name"], about["reason"]))
