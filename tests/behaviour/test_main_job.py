"""From a backup in Home Assistant to a verified one in Dropbox, with a real backup manager."""

import asyncio
from datetime import timedelta
from http import HTTPStatus
import io
import tarfile
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.config import AgentParametersDict
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.const import (
    CONF_CHECK_INTERVAL,
    CONF_KEEP,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.models import BackupId
from custom_components.dropbox_backup.sync.report.state import ProblemKind, Status
from custom_components.dropbox_backup.sync.requests import Selection
from tests.support.account import (
    ASKED,
    MANUAL,
    MIB,
    archives,
    engine_of,
    entity,
    journal_of,
    local_backups,
    local_path,
    make_backup,
    problem_of,
    put_backup,
    set_up_entry,
    start_again,
    state_of,
    storage_key,
    the_archive,
    use_key,
    wait_for_an_archive,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind, Rules
from tests.support.english import told
from tests.support.waits import set_waits, try_once

START = "files/upload_session/start"


async def test_a_new_backup_arrives_byte_for_byte(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass, "Nightly", size=9 * MIB)
    await wait_until_idle(hass, entry)
    path = local_path(hass, made)
    [remote] = state_of(entry).backups
    assert (
        dropbox_server.account.files.read(f"{DEFAULT_FOLDER}/{remote.file.name}")
        == path.read_bytes()
    )
    assert remote.verified
    assert remote.owner == await instance_id.async_get(hass)
    assert state_of(entry).status is Status.UP_TO_DATE
    assert state_of(entry).last_upload


async def test_backups_that_were_there_before_are_caught_up(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    for number in range(4):
        await make_backup(hass, f"Old {number}")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 2})
    await hass.async_block_till_done()
    await wait_until_idle(hass, entry)
    names = {one.backup.name for one in state_of(entry).backups}
    assert names == {"Old 2", "Old 3"}, "but nothing that retention would remove at once"


async def test_the_count_is_kept_and_the_newest_stay(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 2})
    for number in range(4):
        await make_backup(hass, f"Night {number}")
        await wait_until_idle(hass, entry)
    assert [one.backup.name for one in state_of(entry).backups] == ["Night 3", "Night 2"]
    assert len(archives(dropbox_server)) == 2
    assert len(await local_backups(hass)) == 4, "local backups are Home Assistant's own business"


async def test_foreign_files_survive_retention(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put_backup(dropbox_server, "Neighbours", instance_id="other")
    put_backup(dropbox_server, "Nobody knows")
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/letter.txt", b"dear")
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    for number in range(2):
        await make_backup(hass, f"Night {number}")
        await wait_until_idle(hass, entry)
    names = {one.backup.name for one in state_of(entry).backups}
    assert names == {"Neighbours", "Nobody knows", "Night 1"}
    assert dropbox_server.account.files.exists(f"{DEFAULT_FOLDER}/letter.txt")


async def test_many_deletions_after_a_change_wait_for_the_user(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    us = await instance_id.async_get(hass)
    for number in range(6):
        put_backup(
            dropbox_server,
            f"Old {number}",
            instance_id=us,
            date=f"2025-01-0{number + 1}T00:00:00+00:00",
        )
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await make_backup(hass, "New")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 7
    assert len(state_of(entry).unconfirmed) == 6
    assert state_of(entry).status is Status.NEEDS_ATTENTION

    engine_of(entry).confirm_retention()
    await wait_until_idle(hass, entry)
    assert [one.backup.name for one in state_of(entry).backups] == ["New"]
    assert state_of(entry).unconfirmed == ()


async def test_a_backup_that_is_in_dropbox_is_not_sent_again(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    dropbox_server.log.clear()
    for _ in range(3):
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert dropbox_server.log.count("files/upload") == 0


async def test_what_the_user_deleted_from_dropbox_stays_deleted(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    await engine_of(entry).delete([BackupId(made.backup_id)], ASKED)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []

    outcomes = await engine_of(entry).request("asked", Selection(latest=True))
    assert outcomes[BackupId(made.backup_id)].remote
    assert len(archives(dropbox_server)) == 1


async def test_what_somebody_else_deleted_is_uploaded_again(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    [path] = archives(dropbox_server)
    dropbox_server.account.files.delete(path)
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == [path]


async def test_a_check_comes_after_the_interval(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_CHECK_INTERVAL: 6})
    last = state_of(entry).last_check
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(hours=5, minutes=59))
    await asyncio.sleep(0.1)
    assert engine_of(entry).idle
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(hours=6, minutes=1))
    await wait_until(lambda: state_of(entry).last_check != last)
    await wait_until_idle(hass, entry)


@pytest.mark.parametrize("job", ["backup_manager_full_backup", "backup_manager_partial_backup"])
async def test_a_backup_job_of_the_supervisor_starts_a_check(
    hass: HomeAssistant, dropbox_server: DropboxServer, job: str
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    event = {"event": "job", "data": {"name": job, "done": False, "reference": "1a2b3c4d"}}
    async_dispatcher_send(hass, "supervisor_event", event)
    assert engine_of(entry).idle
    event["data"]["done"] = True  # type: ignore[index]  # JSON
    async_dispatcher_send(hass, "supervisor_event", event)
    assert not engine_of(entry).idle
    await wait_until_idle(hass, entry)


async def test_an_archive_without_its_end_is_not_uploaded_and_does_not_stop_others(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    broken = await make_backup(hass, "Broken", size=2 * MIB)
    path = local_path(hass, broken)
    path.write_bytes(path.read_bytes()[:MIB])
    hass.config_entries.async_update_entry(entry, options={})
    await hass.async_block_till_done()
    await make_backup(hass, "Good")
    await wait_until_idle(hass, entry)
    assert [one.backup.name for one in state_of(entry).backups] == ["Good"]
    [refused] = state_of(entry).refused
    assert refused.local.backup == broken
    assert "end" in told(refused.reason)
    assert state_of(entry).status is Status.NEEDS_ATTENTION


async def test_a_full_dropbox_is_said_and_goes_on_when_there_is_room(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.account.quota = MIB
    await make_backup(hass, size=2 * MIB)
    await wait_until_idle(hass, entry)
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.FULL
    assert [one.backup.name for one in state_of(entry).waiting] == ["Nightly"]

    dropbox_server.account.quota = 100 * MIB
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert state_of(entry).problem is None


async def test_a_folder_that_vanished_is_made_again_and_filled(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    dropbox_server.account.files.delete(DEFAULT_FOLDER)
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).folder_was_missing


async def test_a_plain_backup_is_encrypted_when_the_location_wants_it(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, "correct horse")
    await make_backup(hass, size=MIB)  # made without a password
    await wait_until_idle(hass, entry)
    [remote] = state_of(entry).backups
    assert remote.backup.protected
    archive = the_archive(dropbox_server)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        inner = tar.extractfile("homeassistant.tar.gz")
        assert inner is not None
        assert inner.read(9) == b"SecureTar"
    assert remote.backup.size == len(archive)


async def test_the_user_can_switch_encryption_off_for_the_location(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    manager = async_get_manager(hass)
    agent_id = next(one for one in manager.backup_agents if one.startswith("dropbox_backup."))
    manager.config.update(
        create_backup={"password": "correct horse"},
        agents={agent_id: AgentParametersDict(protected=False, retention=None)},
    )
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert not state_of(entry).backups[0].backup.protected


async def test_unloading_during_an_upload_is_quick_and_loses_nothing(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    stall = Fault(FaultKind.STALL, route="files/upload_session/append_v2", seconds=60, skip=1)
    dropbox_server.faults.add(stall)
    await make_backup(hass, size=20 * MIB)
    await wait_until(lambda: stall.applied)
    async with asyncio.timeout(30):  # half of what the request stands still
        await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    dropbox_server.faults.clear()
    await start_again(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).backups[0].verified


async def test_what_others_do_in_the_folder_is_seen_within_moments(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_waits(monkeypatch, after_change=0.1)  # the local Dropbox shows it at once
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    put_backup(dropbox_server, "From the neighbours", instance_id="other")
    await wait_until(lambda: len(state_of(entry).backups) == 2)

    [ours] = [path for path in archives(dropbox_server) if made.backup_id in path]
    dropbox_server.account.files.delete(ours)
    await wait_until(lambda: len(state_of(entry).backups) == 1)
    await wait_until(lambda: ours in archives(dropbox_server))  # and it is uploaded again
    await wait_until_idle(hass, entry)


async def test_watching_the_folder_costs_one_request_while_nothing_happens(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    await asyncio.sleep(0.5)
    dropbox_server.log.clear()
    await asyncio.sleep(1)
    assert sum(dropbox_server.log.counters.values()) == 0


async def test_watching_the_folder_rests_when_dropbox_asks_for_it(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    dropbox_server.rules = Rules(longpoll_scale=1e-4, longpoll_backoff=1)
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    dropbox_server.log.clear()
    await asyncio.sleep(1.5)
    assert 1 <= dropbox_server.log.count("files/list_folder/longpoll") <= 2


async def test_watching_the_folder_rests_when_it_is_answered_at_once_that_nothing_happened(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    dropbox_server.rules = Rules(longpoll_scale=0)
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    await asyncio.sleep(1)
    assert dropbox_server.log.count("files/list_folder/longpoll") <= 2


@pytest.mark.parametrize("remembered", [True, False])
async def test_a_dropbox_that_is_away_when_home_assistant_starts_is_shown_and_comes_back(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    remembered: bool,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    await hass.config_entries.async_unload(entry.entry_id)
    if not remembered:
        del hass_storage[f"{storage_key(entry)}.listing"]
    await start_again(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(entry).status is Status.RETRYING
    assert state_of(entry).alarm is None, "an hour has not passed"
    count = entity(hass, entry, "sensor", "backups_in_dropbox")
    assert count.state == ("1" if remembered else "unknown"), "not to know is not to have none"
    backups, errors = await async_get_manager(hass).async_get_backups()
    told = [agent_id for agent_id in errors if agent_id.startswith("dropbox_backup.")]
    assert bool(told) != remembered
    assert len(backups[made.backup_id].agents) == 1 + remembered, "the page opens in any case"

    dropbox_server.faults.clear()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=6))
    await wait_until(lambda: state_of(entry).status is Status.UP_TO_DATE)
    assert [one.backup.backup_id for one in state_of(entry).backups] == [made.backup_id]
    _, errors = await async_get_manager(hass).async_get_backups()
    assert errors == {}


async def test_an_upload_writes_nothing_into_a_storage_that_is_being_packed(
    hass: HomeAssistant, dropbox_server: DropboxServer, hass_storage: dict[str, Any]
) -> None:
    """Home Assistant gives a backup up when a file vanishes that it has just seen."""
    entry = await set_up_entry(hass, dropbox_server)
    journal = journal_of(entry)
    written = storage_key(entry)
    await journal.save()  # else its first writing may begin together with the packing
    await async_get_manager(hass).async_pre_backup_actions()
    journal.notes.dismissed.add(BackupId("x"))
    journal.changed()
    await journal.save()
    assert hass_storage[written]["data"]["dismissed"] == []
    await async_get_manager(hass).async_post_backup_actions()
    assert hass_storage[written]["data"]["dismissed"] == ["x"]

    await make_backup(hass, size=9 * MIB)  # and after a real one it writes as well
    await wait_until_idle(hass, entry)
    assert len(hass_storage[written]["data"]["uploaded"]) == 1


async def test_the_session_of_an_upload_is_opened_while_home_assistant_packs_the_backup(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.log.clear()
    manager = async_get_manager(hass)
    await manager.async_pre_backup_actions()
    await wait_until(
        lambda: [one.status for one in dropbox_server.log.of(START)] == [HTTPStatus.OK]
    )
    await manager.async_post_backup_actions()

    await make_backup(hass, size=9 * MIB)
    await wait_until_idle(hass, entry)
    sent = dropbox_server.log.of("files/upload_session/append_v2")
    assert len(sent) == 3
    earlier = [one for one in dropbox_server.log.of(START) if one.time < sent[0].time]
    assert len(earlier) == 1, "the one that was opened ahead is used"


async def test_no_session_is_opened_ahead_while_uploads_are_paused(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    engine_of(entry).pause_uploads()
    dropbox_server.log.clear()
    await async_get_manager(hass).async_pre_backup_actions()
    await asyncio.sleep(0.5)
    assert dropbox_server.log.of(START) == []


async def fill_and_keep(
    hass: HomeAssistant, server: DropboxServer, keep: int
) -> DropboxBackupConfigEntry:
    """Have six backups in Dropbox, no room for the seventh, and choose to keep fewer."""
    entry = await set_up_entry(hass, server)
    for number in range(6):
        await make_backup(hass, f"Old {number}", size=MIB)
        await wait_until_idle(hass, entry)
    server.account.quota = server.account.used + MIB // 2
    await make_backup(hass, "New", size=MIB)
    await wait_until_idle(hass, entry)
    assert state_of(entry).problem is not None
    assert len(archives(server)) == 6

    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: keep})
    await hass.async_block_till_done()
    await wait_until_idle(hass, entry)
    return entry


async def test_keeping_fewer_makes_room_in_a_full_dropbox(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await fill_and_keep(hass, dropbox_server, 4)

    assert [one.backup.name for one in state_of(entry).backups] == [
        *("New", "Old 5", "Old 4", "Old 3")
    ]
    assert state_of(entry).problem is None
    assert state_of(entry).status is Status.UP_TO_DATE


async def test_a_full_dropbox_does_not_delete_many_without_consent(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await fill_and_keep(hass, dropbox_server, 2)
    assert len(archives(dropbox_server)) == 6
    assert len(state_of(entry).unconfirmed) == 4
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.FULL

    engine_of(entry).confirm_retention()
    await wait_until_idle(hass, entry)
    assert [one.backup.name for one in state_of(entry).backups] == ["New", "Old 5"]
    assert state_of(entry).problem is None


async def test_a_full_dropbox_deletes_nothing_that_is_to_be_kept(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await fill_and_keep(hass, dropbox_server, 6)
    assert len(archives(dropbox_server)) == 6
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.FULL
