"""The sensors tell what is in Dropbox, what the worker does, and what it waits for."""

from datetime import timedelta

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.loader import async_get_integration
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sensor import SENSORS
from custom_components.dropbox_backup.sync.report.throughput import Throughput
from tests.support.account import (
    MANUAL,
    MIB,
    SLOW,
    engine_of,
    entity,
    entity_id,
    make_backup,
    notes_of,
    put_backup,
    set_up_entry,
    tell,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind, Line

pytestmark = pytest.mark.usefixtures("quick_worker")

MB = 10**6
GB = 10**9


def value(hass: HomeAssistant, entry: DropboxBackupConfigEntry, key: str) -> str:
    return entity(hass, entry, "sensor", key).state


def listen(hass: HomeAssistant, shown: str) -> list[str]:
    """Note every state of an entity."""
    seen: list[str] = []

    @callback
    def changed(event: Event[EventStateChangedData]) -> None:
        if (state := event.data["new_state"]) is not None:
            seen.append(state.state)

    async_track_state_change_event(hass, shown, changed)
    return seen


async def test_a_new_account_has_nothing_and_is_not_called_up_to_date(
    hass: HomeAssistant, dropbox_server: DropboxServer, all_entities_enabled: None
) -> None:
    entry = await set_up_entry(hass, dropbox_server)

    assert value(hass, entry, "status") == "no_backups"
    assert value(hass, entry, "newest_backup") == STATE_UNKNOWN
    assert value(hass, entry, "last_upload") == STATE_UNKNOWN
    assert value(hass, entry, "last_backup") == STATE_UNKNOWN
    assert value(hass, entry, "backups_in_dropbox") == "0"
    assert float(value(hass, entry, "backups_size")) == 0
    assert value(hass, entry, "waiting") == "0"
    assert value(hass, entry, "upload_progress") == "0"
    attempted = dt_util.parse_datetime(value(hass, entry, "last_attempt"), raise_on_error=True)
    checked = dt_util.parse_datetime(value(hass, entry, "next_check"), raise_on_error=True)
    assert timedelta(hours=23) < checked - attempted < timedelta(hours=25)
    status = entity(hass, entry, "sensor", "status")
    assert abs(status.attributes["next_check"] - checked) < timedelta(seconds=1)
    assert status.attributes["until"] is None


async def test_after_an_upload_the_sensors_describe_the_backup(
    hass: HomeAssistant, dropbox_server: DropboxServer, all_entities_enabled: None
) -> None:
    entry = await set_up_entry(hass, dropbox_server)

    began = dt_util.utcnow().replace(microsecond=0)
    backup = await make_backup(hass, "Before the storm", size=MIB)
    await wait_until_idle(hass, entry)

    (file,) = [one for one in dropbox_server.account.files.list() if one.path.endswith(".tar")]
    assert value(hass, entry, "status") == "up_to_date"
    assert value(hass, entry, "backups_in_dropbox") == "1"
    assert float(value(hass, entry, "backups_size")) == pytest.approx(file.size / MB)
    uploaded = dt_util.parse_datetime(value(hass, entry, "last_upload"), raise_on_error=True)
    assert began <= uploaded <= dt_util.utcnow()

    made = dt_util.parse_datetime(value(hass, entry, "newest_backup"), raise_on_error=True)
    assert made == dt_util.parse_datetime(backup.date, raise_on_error=True).replace(microsecond=0)
    newest = entity(hass, entry, "sensor", "last_backup")
    assert newest.state == "Before the storm"
    assert newest.attributes["backup_id"] == backup.backup_id
    assert newest.attributes["size"] == file.size == backup.size
    assert newest.attributes["verified"] is True
    assert newest.attributes["encrypted"] == "not_encrypted"
    assert newest.attributes["file"] == file.path.rpartition("/")[2]
    assert newest.attributes["date"] == dt_util.parse_datetime(backup.date)
    (listed,) = entity(hass, entry, "sensor", "backups_in_dropbox").attributes["backups"]
    assert listed["name"] == "Before the storm"

    used, free = (float(value(hass, entry, f"space_{kind}")) for kind in ("used", "free"))
    assert used + free == pytest.approx(dropbox_server.account.quota / GB)
    assert used * GB >= file.size


async def test_while_uploading_the_sensors_follow_the_progress(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    held = Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=1.0, skip=1, times=None)
    dropbox_server.faults.add(held)

    await make_backup(hass, "Large", size=13 * MIB)
    await wait_until(lambda: float(value(hass, entry, "upload_progress")) > 0)

    assert value(hass, entry, "status") == "uploading"
    assert value(hass, entry, "waiting") == "1"
    assert entity(hass, entry, "sensor", "waiting").attributes["waiting"] == ["Large"]
    progress = entity(hass, entry, "sensor", "upload_progress")
    assert progress.attributes["uploading"] == ["Large"]
    assert 0 < progress.attributes["sent"] <= progress.attributes["size"]
    assert progress.attributes["size"] > 13 * MIB

    dropbox_server.faults.clear()
    await wait_until_idle(hass, entry)

    progress = entity(hass, entry, "sensor", "upload_progress")
    assert progress.state == "0"
    assert progress.attributes["uploading"] == []
    assert value(hass, entry, "waiting") == "0"
    assert value(hass, entry, "backups_in_dropbox") == "1"


async def test_a_pause_keeps_the_percent_reached_and_says_while_parts_are_let_finish(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    seen = listen(hass, entity_id(hass, entry, "sensor", "status"))
    dropbox_server.line = SLOW
    await make_backup(hass, "Large", size=33 * MIB)
    await wait_until(lambda: float(value(hass, entry, "upload_progress")) > 20)
    switch = entity_id(hass, entry, "switch", "uploads")
    await hass.services.async_call("switch", "turn_off", {"entity_id": switch}, blocking=True)
    await wait_until(lambda: value(hass, entry, "status") == "paused")

    assert list(dict.fromkeys(seen))[-3:] == ["uploading", "pausing", "paused"]
    progress = entity(hass, entry, "sensor", "upload_progress")
    assert float(progress.state) >= 20
    assert progress.attributes["uploading"] == []
    assert progress.attributes["sent"] < progress.attributes["size"]
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    assert value(hass, entry, "upload_progress") == progress.state, "also over a restart"

    dropbox_server.line = Line()
    await hass.services.async_call("switch", "turn_on", {"entity_id": switch}, blocking=True)
    await wait_until(lambda: value(hass, entry, "status") == "up_to_date")
    assert value(hass, entry, "upload_progress") == "0"


async def test_an_upload_tells_its_speed_and_the_time_that_is_left(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.line = SLOW
    await make_backup(hass, "Large", size=65 * MIB)
    await wait_until(
        lambda: entity(hass, entry, "sensor", "upload_progress").attributes["bytes_per_second"]
    )
    told = entity(hass, entry, "sensor", "upload_progress").attributes
    left = told["size"] - told["sent"]
    assert told["seconds_left"] == pytest.approx(left / told["bytes_per_second"], abs=1)
    dropbox_server.line = Line()
    await wait_until_idle(hass, entry)


def test_the_speed_is_that_of_the_last_seconds() -> None:
    throughput = Throughput()
    assert throughput.speed(0) is None
    for second in range(31):
        throughput.add(second, 100 if second <= 15 else 300)
    assert throughput.speed(30) == pytest.approx(300)
    assert throughput.speed(60) == pytest.approx(100), "it stands still"
    throughput.reset()
    throughput.add(61, 10**9)
    assert throughput.speed(61.5) is None, "the burst at the beginning says nothing"


async def test_home_assistants_own_upload_is_shown_as_one(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    seen = listen(hass, entity_id(hass, entry, "sensor", "status"))
    await make_backup(hass, "Large", size=9 * MIB, agent_id=agent_id_of(entry))
    await wait_until_idle(hass, entry)
    assert "uploading" in seen
    assert value(hass, entry, "status") == "up_to_date"


async def test_backups_that_arrive_together_are_one_change_of_the_last_backup(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass, "First")
    await tell(hass, "upload")
    for number in range(4):
        await make_backup(hass, f"Night {number}")
    seen = listen(hass, entity_id(hass, entry, "sensor", "last_backup"))
    await tell(hass, "upload")
    await wait_until_idle(hass, entry)
    assert list(dict.fromkeys(seen)) in ([*("First", "Night 3")], ["Night 3"])


async def test_a_full_dropbox_leaves_backups_waiting(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.account.quota = dropbox_server.account.used + 1000

    await make_backup(hass, "One too many", size=MIB)
    await wait_until_idle(hass, entry)

    assert value(hass, entry, "status") == "needs_attention"
    assert value(hass, entry, "waiting") == "1"
    assert value(hass, entry, "backups_in_dropbox") == "0"
    checked = entity(hass, entry, "sensor", "status").attributes["next_check"]
    assert checked < dt_util.utcnow() + timedelta(minutes=2)
    assert float(value(hass, entry, "space_free")) * GB < 1001


async def test_backups_of_another_home_assistant_are_not_the_last_backup(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    put_backup(dropbox_server, "Theirs", date="2030-01-01T00:00:00+00:00", instance_id="another")
    await make_backup(hass, "Ours")
    await wait_until_idle(hass, entry)

    assert value(hass, entry, "backups_in_dropbox") == "2"
    assert value(hass, entry, "last_backup") == "Ours"


async def test_a_very_long_name_is_cut_to_what_a_state_may_have(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put_backup(dropbox_server, "long " * 100)
    entry = await set_up_entry(hass, dropbox_server)

    assert value(hass, entry, "last_backup").startswith("long long")
    assert len(value(hass, entry, "last_backup")) == 255


async def test_without_automatic_uploads_nothing_waits(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)

    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert value(hass, entry, "status") == "no_backups"
    assert value(hass, entry, "waiting") == "0"
    assert value(hass, entry, "backups_in_dropbox") == "0"


async def test_all_entities_belong_to_one_service_without_personal_data(
    hass: HomeAssistant, dropbox_server: DropboxServer, all_entities_enabled: None
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    (device,) = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert device.entry_type is dr.DeviceEntryType.SERVICE
    assert device.name == "Dropbox Ada Example"
    assert device.configuration_url == "https://www.dropbox.com/home"
    manifest = await async_get_integration(hass, DOMAIN)
    assert (device.manufacturer, device.sw_version) == ("Dropbox", str(manifest.version))
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert len(entities) == len(SENSORS) + 5
    assert {one.device_id for one in entities} == {device.id}
    assert {one.unique_id for one in entities} >= {f"{entry.entry_id}_{x.key}" for x in SENSORS}

    shown = str([state.as_dict() for state in hass.states.async_all()])
    for secret in (
        entry.data["token"]["access_token"],
        entry.data["token"]["refresh_token"],
        dropbox_server.account.account_id,
        dropbox_server.account.email,
    ):
        assert secret not in shown


async def test_little_used_sensors_are_disabled_at_first(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)

    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    disabled = {one.unique_id.partition("_")[2] for one in entities if one.disabled_by is not None}
    assert disabled == {"last_attempt", "next_check", "space_used"}


async def test_what_is_long_or_changes_every_second_is_not_recorded(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    info = entity(hass, entry, "sensor", "status").state_info
    assert info
    unrecorded = info["unrecorded_attributes"]
    assert {"backups", "waiting", "sent", "bytes_per_second", "seconds_left"} <= unrecorded


async def test_unloading_makes_the_sensors_unavailable(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)

    await hass.config_entries.async_unload(entry.entry_id)

    assert value(hass, entry, "status") == STATE_UNAVAILABLE


async def test_the_status_is_never_up_to_date_beside_a_problem(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    notes = notes_of(entry)
    notes.results.watching_since = dt_util.utcnow() - timedelta(days=4)
    engine_of(entry).publish()

    problem = entity(hass, entry, "binary_sensor", "problem")
    assert problem.attributes["kind"] == "no_recent_backup"
    assert value(hass, entry, "status") == "needs_attention"
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"
    assert value(hass, entry, "status") == "up_to_date"


async def test_backups_that_nobody_asked_to_upload_are_not_said_to_be_missing(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    notes = notes_of(entry)
    notes.results.watching_since = dt_util.utcnow() - timedelta(days=4)
    engine_of(entry).publish()

    problem = entity(hass, entry, "binary_sensor", "problem")
    assert problem.attributes["kind"] == "automatic_upload_off"
    assert problem.attributes["detail"] == (
        "Nothing has been uploaded for 4 days. 1 newer backup was made, but nobody asked to upload "
        "it, and Upload every backup is off"
    )
