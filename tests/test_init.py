"""An account in Home Assistant from its setup to its removal."""

import asyncio
from datetime import timedelta
import json
import logging
import os
from pathlib import Path
from typing import Any

from homeassistant.components import persistent_notification
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import CONF_TOKEN
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import instance_id
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.const import (
    CONF_KEEP,
    DEFAULT_FOLDER,
    DOMAIN,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.report.state import Status
from custom_components.dropbox_backup.sync.storage.account_notes import notes_name
from custom_components.dropbox_backup.sync.storage.journal import JOURNALS
from tests.support.account import (
    MANUAL,
    MIB,
    archives,
    entity,
    make_backup,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    storage_key,
    tell,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try nothing twice: a setup asks Dropbox for ten seconds."""
    try_once(monkeypatch)


def asks_to_sign_in(hass: HomeAssistant) -> bool:
    """Tell whether the user is asked to sign in again, once."""
    flows = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    return [one["context"]["source"] for one in flows] == [SOURCE_REAUTH]


def change_token(hass: HomeAssistant, entry: DropboxBackupConfigEntry, **changes: object) -> None:
    token = {**entry.data[CONF_TOKEN], **changes}
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_TOKEN: token})


async def test_the_folder_is_made_at_the_first_setup(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, folder="/Somewhere/Else")

    assert entry.state is ConfigEntryState.LOADED
    assert dropbox_server.account.files.exists("/Somewhere/Else")
    assert state_of(entry).status is Status.NO_BACKUPS
    assert not state_of(entry).folder_was_missing


async def test_unloading_leaves_nothing_behind_and_setting_up_again_goes_on(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    last_upload = state_of(entry).last_upload
    shown = entity(hass, entry, "sensor", "status")

    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.NOT_LOADED
    unloaded = hass.states.get(shown.entity_id)
    assert unloaded is not None
    assert unloaded.state == "unavailable"
    dropbox_server.log.clear()
    await make_backup(hass, "Made meanwhile")
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(days=2))
    await hass.async_block_till_done()
    assert not dropbox_server.log.records, "nobody watches and no timer runs"

    await start_again(hass, entry)
    assert state_of(entry).last_upload != last_upload
    assert len(archives(dropbox_server)) == 2
    assert entity(hass, entry, "sensor", "status").state == "up_to_date"


async def test_reloading_again_and_again_uploads_once_and_doubles_no_listener(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    for _ in range(3):
        await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    dropbox_server.log.clear()

    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 1
    assert dropbox_server.log.count("files/upload") == 2, "the backup and the catalog"


@pytest.mark.parametrize("scope", ["account_info.read", "", None])
async def test_a_sign_in_without_all_permissions_asks_to_sign_in_again(
    hass: HomeAssistant, dropbox_server: DropboxServer, scope: str | None
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    change_token(hass, entry, scope=scope)
    dropbox_server.log.clear()

    assert not await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "missing_scopes"
    assert asks_to_sign_in(hass)
    assert not dropbox_server.log.records


async def test_a_sign_in_with_more_permissions_than_are_needed_goes_on(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    granted = entry.data[CONF_TOKEN]["scope"]
    assert "files.metadata.write" not in granted
    change_token(hass, entry, scope=f"files.metadata.write {granted}")

    assert await hass.config_entries.async_setup(entry.entry_id)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET_BEFORE_BODY, times=None),
        Fault(FaultKind.STATUS, status=503, times=None),
        Fault(FaultKind.STATUS, status=429, times=None),
        Fault(FaultKind.GARBAGE, times=None),
    ],
    ids=lambda fault: f"{fault.kind.value} {fault.status}",
)
async def test_a_dropbox_that_is_away_at_the_setup_is_asked_again_later(
    hass: HomeAssistant, dropbox_server: DropboxServer, fault: Fault
) -> None:
    dropbox_server.faults.add(fault)

    entry = await set_up_entry(hass, dropbox_server)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "cannot_connect"

    dropbox_server.faults.clear()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=5))
    await wait_until(lambda: entry.state is ConfigEntryState.LOADED)
    await wait_until_idle(hass, entry)
    assert not hass.config_entries.flow.async_progress_by_handler(DOMAIN)


async def test_an_expired_access_token_is_renewed_without_anybody_noticing(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    old = entry.data[CONF_TOKEN]
    change_token(hass, entry, expires_at=0)

    await start_again(hass, entry)

    assert entry.state is ConfigEntryState.LOADED
    assert dropbox_server.log.count("oauth2/token") == 1
    new = entry.data[CONF_TOKEN]
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] == old["refresh_token"], "Dropbox sends it only once"
    assert new["scope"] == old["scope"]


async def test_a_sign_in_that_was_revoked_asks_to_sign_in_again(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    dropbox_server.tokens.revoke_all()

    assert not await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "sign_in_needed"
    assert asks_to_sign_in(hass)


async def test_an_app_whose_key_was_removed_asks_to_sign_in_again(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, "auth_implementation": "gone"}
    )

    assert not await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert asks_to_sign_in(hass)


async def test_each_of_two_accounts_gets_every_backup_and_keeps_its_own_number(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    bob = dropbox_server.add_account(DropboxAccount("bob@example.com", "Bob"))
    first = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    second = await set_up_entry(hass, dropbox_server, account=bob)

    for name in ("One", "Two"):
        await make_backup(hass, name)
        await wait_until_idle(hass, first)
        await wait_until_idle(hass, second)

    assert [one.backup.name for one in state_of(first).backups] == ["Two"]
    assert [one.backup.name for one in state_of(second).backups] == ["Two", "One"]
    assert len(archives(dropbox_server)) == 1
    assert len([one for one in bob.files.list(DEFAULT_FOLDER) if one.path.endswith(".tar")]) == 2

    await hass.config_entries.async_remove(first.entry_id)
    await make_backup(hass, "Three")
    await wait_until_idle(hass, second)
    assert len(state_of(second).backups) == 3
    assert len(archives(dropbox_server)) == 1


async def test_removing_the_account_deletes_nothing_in_dropbox_and_says_so(
    hass: HomeAssistant, hass_storage: dict[str, Any], dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    files = [file.path for file in dropbox_server.account.files.list()]
    await hass.config_entries.async_reload(entry.entry_id)  # writes the journal
    await wait_until_idle(hass, entry)
    told: list[str] = []
    persistent_notification.async_register_callback(
        hass, lambda _, changed: told.extend(one["message"] for one in changed.values())
    )
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=1))
    await hass.async_block_till_done()

    assert [file.path for file in dropbox_server.account.files.list()] == files
    (message,) = told
    assert DEFAULT_FOLDER in message
    assert "stay" in message
    written = {key: value for key, value in hass_storage.items() if key.startswith(f"{DOMAIN}.")}
    assert written.keys() == {storage_key(entry), f"{storage_key(entry)}.listing"}
    assert dropbox_server.account.account_id not in json.dumps(written)


async def test_removing_the_account_during_an_upload_leaves_nothing_behind(
    hass: HomeAssistant, hass_storage: dict[str, Any], dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60, skip=1)
    )
    await make_backup(hass, size=9 * MIB)
    await wait_until(lambda: stall.applied)

    await hass.config_entries.async_remove(entry.entry_id)
    dropbox_server.faults.clear()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=1))
    await hass.async_block_till_done()

    assert archives(dropbox_server) == []
    written = json.dumps(hass_storage[storage_key(entry)])
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await hass.async_block_till_done()
    assert json.dumps(hass_storage[storage_key(entry)]) == written, "nobody writes any more"


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_account_that_is_added_again_knows_what_was_deleted_on_purpose(
    hass: HomeAssistant, dropbox_server: DropboxServer, *, restarted: bool
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass, "Not wanted there")
    await wait_until_idle(hass, entry)
    await tell(hass, "delete", backup_ids=[made.backup_id])
    await hass.services.async_call(
        "switch",
        "turn_off",
        {"entity_id": entity(hass, entry, "switch", "uploads").entity_id},
        blocking=True,
    )
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    if restarted:
        hass.data[JOURNALS].clear()

    again = await set_up_entry(hass, dropbox_server)
    assert archives(dropbox_server) == []
    await make_backup(hass, "Wanted")
    await wait_until_idle(hass, again)
    assert [one.backup.name for one in state_of(again).backups] == ["Wanted"], "nor is it paused"


async def test_an_account_that_is_added_again_goes_on_with_the_upload(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=1, skip=2)
    )
    await make_backup(hass, size=40 * MIB)
    await wait_until(lambda: stall.applied)
    await asyncio.sleep(0.3)  # the chunks beside the stalled one arrive
    await hass.config_entries.async_remove(entry.entry_id)
    await asyncio.sleep(1)  # the local Dropbox is still busy with the stalled request

    again = await set_up_entry(hass, dropbox_server)
    await wait_until(lambda: archives(dropbox_server))
    await wait_until_idle(hass, again)
    assert len(archives(dropbox_server)) == 1
    appends = dropbox_server.log.of("files/upload_session/append_v2")
    sessions = {json.loads(str(one.argument))["cursor"]["session_id"] for one in appends}
    assert len(sessions) == 1


async def test_another_account_knows_nothing_of_it(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    await tell(hass, "delete", backup_ids=[made.backup_id])
    await hass.config_entries.async_remove(entry.entry_id)
    bob = dropbox_server.add_account(DropboxAccount("bob@example.com", "Bob"))
    other = await set_up_entry(hass, dropbox_server, account=bob)
    assert len(state_of(other).backups) == 1


@pytest.mark.parametrize("removed", [False, True])
async def test_what_an_earlier_version_kept_under_the_entry_is_the_account_s(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    *,
    removed: bool,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    await tell(hass, "delete", backup_ids=[made.backup_id])
    await shut_down(hass, entry)
    for end in ("", ".listing"):
        content = hass_storage.pop(f"{storage_key(entry)}{end}")
        key = f"{DOMAIN}.{entry.entry_id}{end}"
        hass_storage[key] = {**content, "key": key}

    if removed:
        await hass.config_entries.async_remove(entry.entry_id)
        entry = await set_up_entry(hass, dropbox_server)
    else:
        await start_again(hass, entry)
    assert archives(dropbox_server) == []
    assert not [key for key in hass_storage if key.startswith(f"{DOMAIN}.{entry.entry_id}")]
    assert made.backup_id in hass_storage[storage_key(entry)]["data"]["dismissed"]


async def test_notes_of_a_removed_account_are_kept_for_thirty_days(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    storage = Path(hass.config.path(".storage"))
    storage.mkdir(exist_ok=True)

    def write(name: str, days: float, folder: Path = storage) -> Path:
        file = folder / name
        file.write_text("{}")
        then = dt_util.utcnow().timestamp() - timedelta(days=days).total_seconds()
        os.utime(file, (then, then))
        return file

    other = f"{DOMAIN}.{notes_name('dbid:removed')}"
    kept = [
        write(other, 29),
        write(storage_key(entry), 90),
        write(f"{storage_key(entry)}.listing", 90),
        write(f"{DOMAIN}.{entry.entry_id}", 90),
        write(f"{DOMAIN}_something_else", 90),
        write("core.config", 90),
        write(f"{storage_key(entry)}.log", 90, storage.parent),
        write("home-assistant.log", 90, storage.parent),
    ]
    old = [
        write(f"{other}.listing", 31),
        write(f"{DOMAIN}.{notes_name('dbid:other')}", 31),
        write(f"{other}.log", 31, storage.parent),
        write(f"{other}.log.new", 31, storage.parent),
    ]
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(days=1, minutes=1))
    await wait_until(lambda: not any(file.exists() for file in old))
    assert all(file.exists() for file in kept)


async def test_home_assistant_stops_cleanly_during_an_upload_and_goes_on_after_it(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60, skip=2)
    )
    made = await make_backup(hass, size=20 * MIB)
    await wait_until(lambda: stall.applied)
    await asyncio.sleep(0.3)  # the chunks beside the stalled one arrive

    async with asyncio.timeout(30):  # half of what the request stands still
        await hass.async_stop(force=True)

    assert hass.state is CoreState.stopped
    assert archives(dropbox_server) == []
    (session,) = hass_storage[storage_key(entry)]["data"]["sessions"]
    assert session["backup_id"] == made.backup_id
    assert "Unexpected error" not in caplog.text


async def test_nothing_secret_and_nobodys_address_is_written_or_logged(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "custom_components.dropbox_backup")
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    token = entry.data[CONF_TOKEN]
    dropbox_server.tokens.revoke_all()
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()

    ours = {key: one for key, one in hass_storage.items() if key.startswith(f"{DOMAIN}.")}
    assert storage_key(entry) in ours
    written = caplog.text + json.dumps(ours)
    for secret in (
        token["access_token"],
        token["refresh_token"],
        dropbox_server.account.email,
        dropbox_server.account.account_id,
    ):
        assert secret not in written


async def test_a_damaged_journal_does_not_keep_the_account_from_working(
    hass: HomeAssistant, hass_storage: dict[str, Any], dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await shut_down(hass, entry)
    key = storage_key(entry)
    hass_storage[key] = {
        "version": 1,
        "minor_version": 1,
        "key": key,
        "data": {"sessions": [{"backup_id": 1}, None], "uploaded": 7, "last_check": "soon"},
    }
    hass.config_entries.async_update_entry(entry, options={})

    await hass.config_entries.async_setup(entry.entry_id)
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert state_of(entry).backups[0].owner == await instance_id.async_get(hass)
