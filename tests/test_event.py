"""The event entity tells what happened to backups."""

from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.dropbox_backup.const import CONF_KEEP, DOMAIN, EVENT_BACKUP
from custom_components.dropbox_backup.logbook import Describe, async_describe_events
from custom_components.dropbox_backup.sync.decide.models import BackupId
from tests.support.account import (
    ASKED,
    engine_of,
    entity_id,
    make_backup,
    notes_of,
    set_up_entry,
    state_of,
    tell,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.english import ENGLISH

MIB = 1 << 20


pytestmark = pytest.mark.usefixtures("quick_worker")


def listen(hass: HomeAssistant, event_entity: str) -> list[dict[str, Any]]:
    """Note the attributes of every event."""
    seen: list[dict[str, Any]] = []

    @callback
    def changed(event: Event[EventStateChangedData]) -> None:
        if (state := event.data["new_state"]) is not None:
            seen.append(dict(state.attributes))

    async_track_state_change_event(hass, event_entity, changed)
    return seen


async def test_uploads_and_deletions_are_events(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    seen = listen(hass, entity_id(hass, entry, "event", "backup"))
    first = await make_backup(hass, "First")
    await wait_until_idle(hass, entry)
    second = await make_backup(hass, "Second")
    await wait_until_idle(hass, entry)
    await engine_of(entry).delete([BackupId(second.backup_id)], ASKED)
    await hass.async_block_till_done()

    told = [(one["event_type"], one["name"], one["reason"]) for one in seen]
    assert told == [
        ("uploaded", "First", None),
        ("uploaded", "Second", None),
        ("deleted", "First", "older than the newest 1"),
        ("deleted", "Second", "by an action"),
    ]
    assert seen[0]["backup_id"] == first.backup_id
    assert seen[0]["size"] == first.size


async def test_a_deletion_says_where_it_was_asked_for(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    for name in ("First", "Second"):
        await make_backup(hass, name)
        await wait_until_idle(hass, entry)
    seen = listen(hass, entity_id(hass, entry, "event", "backup"))
    await tell(hass, "delete", backup_ids=["First"])
    (left,) = state_of(entry).backups
    manager = async_get_manager(hass)
    await manager.async_delete_backup(left.backup.backup_id)
    await hass.async_block_till_done()
    assert [(one["name"], one["reason"]) for one in seen] == [
        ("First", "by an action"),
        ("Second", "on Home Assistant's backup page, or by its own retention"),
    ]


async def test_a_failed_upload_is_an_event_with_its_reason(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    seen = listen(hass, entity_id(hass, entry, "event", "backup"))
    dropbox_server.account.quota = 1
    await make_backup(hass, "Too large", size=MIB)
    await wait_until_idle(hass, entry)
    assert [one["event_type"] for one in seen] == ["upload_failed"]
    assert "are needed" in seen[0]["reason"]


async def test_a_line_that_damages_what_is_sent_is_a_failed_verification(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    seen = listen(hass, entity_id(hass, entry, "event", "backup"))
    damage = Fault(FaultKind.CORRUPT_UPLOAD, route="files/upload_session/append_v2", times=None)
    dropbox_server.faults.add(damage)
    await make_backup(hass, "Damaged", size=5 * MIB)
    await wait_until_idle(hass, entry)
    assert [one["event_type"] for one in seen] == ["verification_failed"]


async def test_a_backup_that_was_already_there_is_verified(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    """As after a power cut between the upload and everything that is written about it."""
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass, "Nightly")
    await wait_until_idle(hass, entry)
    [remote] = state_of(entry).backups
    path = engine_of(entry).path_of(remote.file.name)
    catalog = engine_of(entry).path_of("dropbox_backup_catalog.json")
    dropbox_server.account.files.delete(catalog)
    notes_of(entry).uploaded.clear()
    seen = listen(hass, entity_id(hass, entry, "event", "backup"))
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)

    assert dropbox_server.account.files.exists(path)
    assert "verified" in {one.get("event_type") for one in seen}
    [remote] = state_of(entry).backups
    assert remote.verified
    assert remote.backup.backup_id == made.backup_id


async def test_the_activity_says_which_backup_it_was(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    described: dict[str, Describe] = {}

    def take(domain: str, event_type: str, describe: Describe) -> None:
        assert domain == DOMAIN
        described[event_type] = describe

    async_describe_events(hass, take)
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    events = async_capture_events(hass, EVENT_BACKUP)
    for name in ("First {name}", "Second"):
        await make_backup(hass, name, size=MIB)
        await wait_until_idle(hass, entry)

    (device,) = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert {event.data["device_id"] for event in events} == {device.id}
    lines = [described[event.event_type](event) for event in events]
    assert {one["entity_id"] for one in lines} == {entity_id(hass, entry, "event", "backup")}
    first, second = (ENGLISH.size(event.data["size"]) for event in events[:2])
    assert [one["message"] for one in lines] == [
        f"uploaded to Dropbox: First {{name}}, {first}",
        f"uploaded to Dropbox: Second, {second}",
        f"deleted from Dropbox: First {{name}}, {first} (older than the newest 1)",
    ]
