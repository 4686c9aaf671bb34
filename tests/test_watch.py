"""What makes the worker look for new backups, and when it has to wait."""

from homeassistant.components.backup import CreateBackupEvent, async_get_manager
from homeassistant.components.backup.manager import (
    BackupManagerState,
    BlockedEvent,
    CreateBackupState,
    IdleEvent,
)
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED, MAJOR_VERSION, MINOR_VERSION
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers.dispatcher import async_dispatcher_send
import pytest

from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from tests.support.account import (
    LOCAL_AGENT,
    archives,
    engine_of,
    make_backup,
    set_up_entry,
    wait_until,
    wait_until_idle,
)
from tests.support.backup_page import OpenPage, last_result, own_agents
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")

CREATING = CreateBackupEvent(reason=None, stage=None, state=CreateBackupState.IN_PROGRESS)


@pytest.fixture
def expected_lingering_timers() -> bool:
    """Home Assistant 2026.10 forgets a timer of its own when an upload fails."""
    return (MAJOR_VERSION, MINOR_VERSION) < (2026, 11)


@pytest.fixture
async def entry(hass: HomeAssistant, dropbox_server: DropboxServer) -> DropboxBackupConfigEntry:
    """Sign in."""
    return await set_up_entry(hass, dropbox_server)


def is_requested(entry: DropboxBackupConfigEntry) -> bool:
    """Tell whether a check is due."""
    return engine_of(entry).requested


async def test_backups_from_before_the_start_wait_until_home_assistant_has_started(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    await hass.config_entries.async_unload(entry.entry_id)
    await make_backup(hass, "Before the start")
    hass.set_state(CoreState.starting)
    async_get_manager(hass).async_on_backup_event(BlockedEvent())

    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert not is_requested(entry)
    assert archives(dropbox_server) == []

    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await hass.async_block_till_done()
    assert archives(dropbox_server) == [], "Home Assistant's backups are not ready yet"
    async_get_manager(hass).async_on_backup_event(IdleEvent())
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1


async def test_the_beginning_and_the_steps_of_a_backup_start_no_check_but_its_end_does(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry
) -> None:
    manager = async_get_manager(hass)
    for event in (CREATING, BlockedEvent()):
        manager.async_on_backup_event(event)
        assert not is_requested(entry)
    manager.async_on_backup_event(IdleEvent())
    assert is_requested(entry)
    await wait_until_idle(hass, entry)


async def test_a_check_that_falls_into_a_backup_comes_after_it(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    manager = async_get_manager(hass)
    manager.async_on_backup_event(CREATING)
    dropbox_server.log.clear()
    engine_of(entry).request("in the middle of a backup")
    await wait_until(lambda: not is_requested(entry))
    await hass.async_block_till_done()
    assert not dropbox_server.log.records

    manager.async_on_backup_event(IdleEvent())
    await wait_until_idle(hass, entry)
    assert dropbox_server.log.records


async def test_a_backup_that_fails_at_another_location_arrives_all_the_same(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    open_page: OpenPage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = await open_page()
    # The other location is ours as well, and tries nothing twice instead of for an hour.
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, "files/upload"))

    events = await page.make(LOCAL_AGENT, *own_agents(hass))
    assert last_result(events) == ("failed", "upload_failed")

    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1


async def test_an_unloaded_account_hears_of_nothing(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    engine = engine_of(entry)
    await hass.config_entries.async_unload(entry.entry_id)
    dropbox_server.log.clear()

    await make_backup(hass)
    job = {"name": "backup_manager_full_backup", "done": True}
    async_dispatcher_send(hass, "supervisor_event", {"event": "job", "data": job})
    await hass.async_block_till_done()

    assert engine.idle
    assert not dropbox_server.log.records
    assert async_get_manager(hass).state is BackupManagerState.IDLE
