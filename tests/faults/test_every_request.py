"""Every way in which a request can fail, at every request of a backup's life: nothing is lost.

The life: the integration is set up and finds two backups, which it uploads; it deletes one that is
too old; one is downloaded through Home Assistant, another deleted.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
import json
import logging
from pathlib import Path
import random

from homeassistant.components.backup import AgentBackup, async_get_manager
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id
import pytest

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import CONF_KEEP, DEFAULT_FOLDER
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.report.state import Status
from tests.support.account import (
    MIB,
    archives,
    engine_of,
    local_path,
    make_backup,
    put_backup,
    set_up_entry,
    state_of,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind, hash_bytes
from tests.support.waits import set_waits

_LOGGER = logging.getLogger(__name__)

_DRAWN_BY_LOT = 40

# Seconds that Dropbox asks for.
_REST = 0.02
_HTML = "<html><body>Bad gateway</body></html>"
_LETTER = f"{DEFAULT_FOLDER}/letter.txt"

KINDS = {
    "a server error in HTML": Fault(FaultKind.STATUS, status=500, body=_HTML),
    "a rate limit": Fault(FaultKind.STATUS, status=429, headers={"Retry-After": str(_REST)}),
    "a rate limit that does not say how long": Fault(
        FaultKind.STATUS, status=429, body="", content_type="text/plain"
    ),
    "a reset before the body": Fault(FaultKind.RESET_BEFORE_BODY),
    "a reset in the body": Fault(FaultKind.RESET_IN_BODY, after_bytes=1000),
    "a reset in the answer": Fault(FaultKind.RESET_IN_RESPONSE, after_bytes=10),
    "a lost answer": Fault(FaultKind.LOST_RESPONSE),
    "a captive portal": Fault(FaultKind.STATUS, status=200, body=_HTML),
    "garbage after the work was done": Fault(FaultKind.GARBAGE),
    "an expired token": Fault(FaultKind.EXPIRE_TOKEN),
}


@dataclass(frozen=True, slots=True)
class Local:
    """A backup in Home Assistant's own folder."""

    backup: AgentBackup
    path: Path
    content_hash: str

    @classmethod
    def of(cls, hass: HomeAssistant, backup: AgentBackup) -> Local:
        path = local_path(hass, backup)
        return cls(backup, path, hash_bytes(path.read_bytes()))


class Life:
    """The life of two backups, as often as it is asked for: each time all is new in Dropbox."""

    def __init__(self, hass: HomeAssistant, server: DropboxServer, us: str) -> None:
        self._hass = hass
        self._server = server
        self._us = us
        self._lives = 0
        self._small: Local
        self._large: Local

    @classmethod
    async def prepare(cls, hass: HomeAssistant, server: DropboxServer) -> Life:
        life = cls(hass, server, await instance_id.async_get(hass))
        # The manager of backups comes with the first entry.
        await life._leave(await set_up_entry(hass, server))
        life._small = Local.of(hass, await make_backup(hass, "Small", size=20_000))
        life._large = Local.of(hass, await make_backup(hass, "Large", size=9 * MIB))
        return life

    async def pass_with(self, fault: Fault | None) -> int:
        """Let it pass once, check that all is well, and return how many requests it took."""
        self._begin()
        if fault is not None:
            self._server.faults.add(fault)
        entry = await self._set_up()
        self._check_uploads(entry)
        await self._download(entry)
        await self._delete(entry)
        await self._check_end(entry)
        requests = len(self._server.log.records)
        await self._leave(entry)
        return requests

    def _begin(self) -> None:
        # One that comes back within weeks would still know what was deleted on purpose.
        for account in self._server.accounts.values():
            account.close()
        self._server.accounts.clear()
        self._lives += 1
        self._server.add_account(DropboxAccount(email=f"ada{self._lives}@example.com"))
        files = self._server.account.files
        put_backup(self._server, "Old", instance_id=self._us, date="2025-01-01T00:00:00+00:00")
        put_backup(self._server, "Neighbours", instance_id="other")
        put_backup(self._server, "Nobody knows")
        files.put(_LETTER, b"dear")
        self._server.faults.clear()
        self._server.log.clear()

    async def _set_up(self) -> DropboxBackupConfigEntry:
        entry = await set_up_entry(self._hass, self._server, options={CONF_KEEP: 2})
        for _ in range(3):
            if entry.state is not ConfigEntryState.LOADED:
                # Home Assistant tries again by itself, some seconds later.
                await self._hass.config_entries.async_reload(entry.entry_id)
            elif state_of(entry).problem is not None:
                # The worker tries again by itself, a minute later.
                await asyncio.sleep(2 * _REST)
                engine_of(entry).request("a minute later")
            else:
                break
            await wait_until_idle(self._hass, entry)
        return entry

    def _check_uploads(self, entry: DropboxBackupConfigEntry) -> None:
        files = self._server.account.files
        contents = [hash_bytes(files.read(path)) for path in archives(self._server)]
        for local in (self._small, self._large):
            assert contents.count(local.content_hash) == 1, f"{local.backup.name}: {contents}"
        state = state_of(entry)
        assert {one.backup.name for one in state.backups} == {
            "Large",
            "Small",
            "Neighbours",
            "Nobody knows",
        }
        assert len(contents) == 4, "the old one is to be deleted, and nothing else"
        assert (state.status, state.problem, state.waiting) == (Status.UP_TO_DATE, None, ())

    async def _download(self, entry: DropboxBackupConfigEntry) -> None:
        agent = async_get_manager(self._hass).backup_agents[agent_id_of(entry)]
        stream = await agent.async_download_backup(self._large.backup.backup_id)
        content = b"".join([piece async for piece in stream])
        assert content == self._large.path.read_bytes()

    async def _delete(self, entry: DropboxBackupConfigEntry) -> None:
        agent = async_get_manager(self._hass).backup_agents[agent_id_of(entry)]
        await agent.async_delete_backup(self._small.backup.backup_id)

    async def _check_end(self, entry: DropboxBackupConfigEntry) -> None:
        """Check what is left after one more check, in Dropbox and in the catalog."""
        engine_of(entry).request("once more")
        await wait_until_idle(self._hass, entry)
        if state_of(entry).problem is not None:
            await asyncio.sleep(2 * _REST)
            engine_of(entry).request("a minute later")
            await wait_until_idle(self._hass, entry)
        state = state_of(entry)
        assert (state.status, state.problem, state.waiting) == (Status.UP_TO_DATE, None, ())
        names = {one.backup.name: one for one in state.backups}
        assert names.keys() == {"Large", "Neighbours", "Nobody knows"}
        assert names["Large"].verified
        assert names["Large"].owner == self._us
        assert len(archives(self._server)) == 3
        files = self._server.account.files
        assert files.read(_LETTER) == b"dear"
        catalog = json.loads(files.read(f"{DEFAULT_FOLDER}/{CATALOG_NAME}"))["backups"]
        assert {one["backup"]["name"] for one in catalog.values()} == names.keys()
        assert self._server.log.violations == []

    async def _leave(self, entry: DropboxBackupConfigEntry) -> None:
        await self._hass.config_entries.async_remove(entry.entry_id)


@pytest.fixture(autouse=True)
def _hurry(quick_worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less: how long is tested elsewhere (`test_client`), what comes after it here."""
    set_waits(monkeypatch, first_retry=0.01)


def _faults(pytestconfig: pytest.Config, lot: random.Random, requests: int) -> Iterator[Fault]:
    """Return every fault at every request, or some of them."""
    every = [(kind, skip) for skip in range(requests) for kind in KINDS]
    if not pytestconfig.getoption("--every-fault"):
        every = lot.sample(every, min(_DRAWN_BY_LOT, len(every)))
    for name, skip in every:
        _LOGGER.info("%s at request %d", name, skip + 1)
        kind = KINDS[name].as_json()
        for counter in ("id", "matched", "applied"):
            kind.pop(counter)
        yield Fault.from_json(kind | {"skip": skip})


@pytest.mark.timeout(900)
async def test_a_call_that_fails_once_is_repeated_and_nobody_notices(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    lot: random.Random,
    pytestconfig: pytest.Config,
) -> None:
    life = await Life.prepare(hass, dropbox_server)
    requests = await life.pass_with(None)
    for fault in _faults(pytestconfig, lot, requests):
        await life.pass_with(fault)


@pytest.mark.timeout(900)
async def test_a_check_that_fails_half_way_is_finished_by_the_next_one(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    lot: random.Random,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    life = await Life.prepare(hass, dropbox_server)
    requests = await life.pass_with(None)
    # As if the fault had lasted longer than the worker tries.
    monkeypatch.setitem(RETRY_FOR, Waiter.WORKER, 0)
    for fault in _faults(pytestconfig, lot, requests):
        await life.pass_with(fault)
