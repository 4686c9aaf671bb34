"""While Home Assistant packs its storage nothing of ours is written there, and afterwards
everything is: whatever became of the packing.
"""

import asyncio
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
import tarfile
from typing import Any

from homeassistant.components.backup import BackupManagerError, async_get_manager
from homeassistant.components.backup.manager import IdleEvent
from homeassistant.core import HomeAssistant
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.storage.write_hold import write_hold_of
from tests.support.account import (
    archives,
    engine_of,
    entity,
    local_path,
    make_backup,
    set_up_entry,
    shut_down,
    start_again,
    storage_key,
    tell,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer
from tests.support.supervisor import Contents, StoredBackup, Supervisor
from tests.support.waits import set_waits

pytestmark = pytest.mark.usefixtures("quick_worker")

type Disk = dict[str, Any]


def beside(hass: HomeAssistant) -> list[Path]:
    """Return what is written while it must not be written into the storage."""
    return sorted(Path(hass.config.path()).glob(f"{DOMAIN}.*"))


async def kill_and_start_again(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, disk: Disk
) -> None:
    """Have only what is on disk survive."""
    names = {entry.entry_id, storage_key(entry)}
    survives = {
        key: deepcopy(data) for key, data in disk.items() if any(name in key for name in names)
    }
    files = {path: path.read_bytes() for path in beside(hass)}
    await shut_down(hass, entry)
    await write_hold_of(hass).release_writes()
    for path in beside(hass):
        path.unlink()
    disk.update(survives)
    for path, content in files.items():
        path.write_bytes(content)
    await start_again(hass, entry)


def dismissed(entry: DropboxBackupConfigEntry, disk: Disk) -> list[str]:
    """Return what is on disk of the backups that were deleted on purpose."""
    return list(disk[storage_key(entry)]["data"]["dismissed"])


async def pass_time(hass: HomeAssistant, by: timedelta) -> None:
    """Let the clock go on."""
    async_fire_time_changed(hass, dt_util.utcnow() + by)
    await hass.async_block_till_done()


async def one_in_dropbox(
    hass: HomeAssistant, server: DropboxServer, supervisor: Supervisor
) -> tuple[DropboxBackupConfigEntry, StoredBackup]:
    """Set up an entry, and have Supervisor make a backup that gets to Dropbox."""
    entry = await set_up_entry(hass, server)
    backup = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    return entry, backup


async def begin_to_pack(supervisor: Supervisor) -> asyncio.Task[Any]:
    """Have Supervisor's command line make a backup that is not finished before it may be."""
    supervisor.packing.clear()
    making = asyncio.create_task(supervisor.make_backup(Contents(name="Second")))
    await wait_until(lambda: supervisor.state == "freeze")
    await asyncio.sleep(0)
    return making


async def test_nothing_is_written_while_it_packs_and_all_of_it_right_after(
    hass: HomeAssistant, hass_storage: Disk, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry, backup = await one_in_dropbox(hass, dropbox_server, supervisor)
    making = await begin_to_pack(supervisor)
    await wait_until(lambda: write_hold_of(hass).held)
    before = deepcopy(hass_storage)

    await tell(hass, "delete", backup_ids=[backup.slug])
    await pass_time(hass, timedelta(minutes=10))
    # Home Assistant's manager has taken in an upload meanwhile: that says nothing of this backup.
    async_get_manager(hass).async_on_backup_event(IdleEvent())
    await hass.async_block_till_done()
    assert {key: hass_storage[key] for key in before if entry.entry_id in key} == {
        key: data for key, data in before.items() if entry.entry_id in key
    }

    supervisor.packing.set()
    await making
    assert dismissed(entry, hass_storage) == [backup.slug]
    await wait_until_idle(hass, entry)


@pytest.mark.parametrize("sign", ["it starts again", "it starts unheard", "it is gone", "time"])
async def test_what_is_deleted_after_supervisor_died_while_it_packed_stays_deleted(
    hass: HomeAssistant,
    hass_storage: Disk,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    sign: str,
) -> None:
    set_waits(monkeypatch, between_questions=0.1)
    entry, backup = await one_in_dropbox(hass, dropbox_server, supervisor)
    making = await begin_to_pack(supervisor)
    if sign == "time":  # it packs for ever
        await pass_time(hass, timedelta(minutes=61))
    else:
        await supervisor.kill()
        await asyncio.gather(making, return_exceptions=True)
    if sign == "it starts unheard":
        with monkeypatch.context() as patch:
            patch.setattr(supervisor, "on_event", lambda _event: None)
            await supervisor.start()
    elif sign == "it starts again":
        await supervisor.start()
    await wait_until(lambda: not write_hold_of(hass).held)

    await tell(hass, "delete", backup_ids=[backup.slug])
    await kill_and_start_again(hass, entry, hass_storage)
    if sign == "it is gone":
        await supervisor.start()
        await wait_until_idle(hass, entry)
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []
    if sign == "time":
        supervisor.packing.set()
        await making
        await wait_until_idle(hass, entry)


async def test_what_is_deleted_while_it_packs_is_on_disk_as_soon_as_it_is_known_to_be_over(
    hass: HomeAssistant, hass_storage: Disk, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry, backup = await one_in_dropbox(hass, dropbox_server, supervisor)
    making = await begin_to_pack(supervisor)
    await tell(hass, "delete", backup_ids=[backup.slug])
    await supervisor.kill()
    await asyncio.gather(making, return_exceptions=True)
    assert not dismissed(entry, hass_storage)

    await supervisor.start()
    await wait_until(lambda: dismissed(entry, hass_storage) == [backup.slug])
    await wait_until_idle(hass, entry)


async def test_what_is_deleted_while_it_packs_stays_deleted_if_the_power_fails(
    hass: HomeAssistant, hass_storage: Disk, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry, backup = await one_in_dropbox(hass, dropbox_server, supervisor)
    making = await begin_to_pack(supervisor)
    await tell(hass, "delete", backup_ids=[backup.slug])
    assert not dismissed(entry, hass_storage), "it is being packed"

    await kill_and_start_again(hass, entry, hass_storage)
    supervisor.packing.set()
    await making
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    [path] = archives(dropbox_server)
    assert "Second" in path
    assert dismissed(entry, hass_storage) == [backup.slug]
    assert beside(hass) == [], "it is of no use any more"


async def test_what_is_written_meanwhile_is_in_no_backup(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    """Home Assistant gives up a backup when a file changes that it packs."""
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    await async_get_manager(hass).async_pre_backup_actions()
    await tell(hass, "delete", backup_ids=[backup.backup_id])
    [written] = beside(hass)
    assert written.stat().st_mode & 0o077 == 0, "it is nobody else's business"
    unfinished = written.with_name(f"{written.name}.new")
    unfinished.touch()
    # As Supervisor has them; Core's are tried below.
    assert written.match("*.log")
    assert unfinished.match("*.log.*")

    another = await make_backup(hass, "Another")
    with (
        tarfile.open(local_path(hass, another)) as outer,
        tarfile.open(fileobj=outer.extractfile("homeassistant.tar.gz")) as inner,
    ):
        names = inner.getnames()
    assert "data/filling.bin" in names
    assert not [name for name in names if written.name in name]
    await wait_until_idle(hass, entry)
    assert beside(hass) == []


async def test_that_nothing_can_be_written_while_it_packs_is_told(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    manager = async_get_manager(hass)
    await manager.async_pre_backup_actions()
    in_the_way = Path(hass.config.path(f"{storage_key(entry)}.log"))
    in_the_way.unlink(missing_ok=True)
    (in_the_way / "something").mkdir(parents=True)

    await tell(hass, "delete", backup_ids=[backup.backup_id])
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", "disk_not_writable")

    await manager.async_post_backup_actions()
    await pass_time(hass, timedelta(minutes=2))
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def test_a_freeze_lasts_until_it_is_thawed(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_waits(monkeypatch, between_questions=0.05)
    await set_up_entry(hass, dropbox_server)
    await supervisor.freeze()
    await asyncio.sleep(0.3)  # it is asked several times
    assert write_hold_of(hass).held
    await supervisor.thaw()
    await hass.async_block_till_done()
    assert not write_hold_of(hass).held


@pytest.mark.parametrize("ends_while", ["loaded", "not loaded"])
async def test_a_reload_while_it_packs_neither_writes_nor_keeps_anything_from_being_written_after(
    hass: HomeAssistant, hass_storage: Disk, dropbox_server: DropboxServer, ends_while: str
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    manager = async_get_manager(hass)
    await manager.async_pre_backup_actions()
    before = deepcopy(hass_storage)
    await hass.config_entries.async_unload(entry.entry_id)
    if ends_while == "not loaded":
        await manager.async_post_backup_actions()
    await start_again(hass, entry)
    await tell(hass, "delete", backup_ids=[backup.backup_id])
    if ends_while == "loaded":
        assert hass_storage[storage_key(entry)] == before[storage_key(entry)]
        await manager.async_post_backup_actions()

    assert dismissed(entry, hass_storage) == [backup.backup_id]
    await kill_and_start_again(hass, entry, hass_storage)
    assert archives(dropbox_server) == []


async def test_a_backup_that_home_assistant_gives_up_ends_it(
    hass: HomeAssistant,
    hass_storage: Disk,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    manager = async_get_manager(hass)
    # What another integration answers at the end never keeps ours from hearing of it.
    monkeypatch.setattr(manager, "async_post_backup_actions", _fails)
    with pytest.raises(BackupManagerError):
        await make_backup(hass, "Broken")
    await wait_until_idle(hass, entry)
    assert not write_hold_of(hass).held
    await tell(hass, "delete", backup_ids=[backup.backup_id])
    assert dismissed(entry, hass_storage) == [backup.backup_id]


async def _fails() -> None:
    raise BackupManagerError("something broke")


async def test_what_was_held_back_is_written_when_home_assistant_stops(
    hass: HomeAssistant, hass_storage: Disk, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    await async_get_manager(hass).async_pre_backup_actions()
    await tell(hass, "delete", backup_ids=[backup.backup_id])
    await hass.async_stop(force=True)
    assert dismissed(entry, hass_storage) == [backup.backup_id]


async def test_events_about_other_things_end_nothing(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    await set_up_entry(hass, dropbox_server)
    making = await begin_to_pack(supervisor)
    for event in (
        {},
        {"event": "job", "data": None},
        {"event": "job", "data": {"name": "backup_manager_import_backup", "done": True}},
        {"event": "job", "data": {"name": "backup_manager_full_backup", "done": False}},
        {"event": "supervisor_update", "update_key": "info", "data": {"state": "freeze"}},
        {"event": "supervisor_update", "update_key": "info", "data": None},
    ):
        async_dispatcher_send(hass, "supervisor_event", event)
        await hass.async_block_till_done()
        assert write_hold_of(hass).held
    supervisor.packing.set()
    await making
    assert not write_hold_of(hass).held
