"""Answers that nobody would send on purpose: what the user sees of them, and that it goes on."""

from datetime import timedelta

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api import rate_limit, transport
from custom_components.dropbox_backup.sync.state import ProblemKind, Status

from .dropbox_server import DropboxServer, Fault, FaultKind
from .world import (
    archives,
    make_backup,
    reconciler_of,
    set_up_entry,
    state_of,
    wait_until_idle,
)

pytestmark = pytest.mark.usefixtures("quick_worker")

NEVER = {"Retry-After": "1e12"}


@pytest.fixture
async def entry(hass: HomeAssistant, dropbox_server: DropboxServer) -> DropboxBackupConfigEntry:
    """Sign in."""
    return await set_up_entry(hass, dropbox_server)


async def test_a_full_account_is_called_full_also_in_two_pieces(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    full = {".tag": "path", "path": {".tag": "insufficient_space"}}
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, "files/upload", times=None, status=409, error=full),
        Fault(FaultKind.SPLIT_RESPONSE, times=None, after_bytes=30, seconds=0.1),
    )
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    problem = state_of(entry).problem
    assert problem
    assert problem.kind is ProblemKind.FULL


async def test_a_wait_for_ever_is_one_of_minutes_and_shown(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=429, headers=NEVER))
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    state = state_of(entry)
    assert state.status is Status.RETRYING
    assert state.next_check
    assert state.next_check - dt_util.utcnow() < timedelta(minutes=20)

    dropbox_server.log.clear()
    reconciler_of(entry).request("a person is impatient")
    await wait_until_idle(hass, entry)
    assert state_of(entry).status is Status.RETRYING
    assert not dropbox_server.log.records, "Dropbox has asked to wait"


@pytest.mark.parametrize("route", ["files/list_folder/continue", "files/upload", "users/*"])
async def test_the_worker_goes_on_after_any_wait(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    for module in (rate_limit, transport):
        monkeypatch.setattr(module, "LONGEST_REST", 0.5)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, route, status=429, headers=NEVER))
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).problem is None
