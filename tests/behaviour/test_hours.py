"""Uploads keep to the allowed hours: they begin when these do, and stop gently when they end."""

import asyncio
from datetime import datetime, timedelta

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import (
    CONF_CHUNKS_AT_ONCE,
    CONF_HOURS_FROM,
    CONF_HOURS_TO,
    CONF_SPEED_LIMIT,
)
from custom_components.dropbox_backup.sync.decide.upload_window import Origin
from custom_components.dropbox_backup.sync.upload.gate import Gate
from tests.support.account import (
    APPEND,
    CHUNK,
    MIB,
    SLOW,
    archives,
    engine_of,
    entity,
    entity_id,
    journal_of,
    make_backup,
    set_up_entry,
    state_of,
    status,
    tell,
    wait_for_an_archive,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Line
from tests.support.hours import arrived, in_hours

pytestmark = pytest.mark.usefixtures("quick_worker")

IN_FLIGHT = 2


def options(begin: datetime, end: datetime) -> dict[str, object]:
    """Return options that allow uploads between two times of day."""
    return {
        CONF_HOURS_FROM: f"{begin:%H:%M:00}",
        CONF_HOURS_TO: f"{end:%H:%M:00}",
        CONF_CHUNKS_AT_ONCE: IN_FLIGHT,
    }


async def test_a_backup_waits_for_the_hours_and_goes_when_they_begin(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    begin = in_hours(3)
    entry = await set_up_entry(hass, dropbox_server, options=options(begin, in_hours(5)))
    assert status(hass, entry) == "no_backups", "nothing waits: that is normal life"
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []
    assert status(hass, entry) == "waiting_for_hours"
    assert entity(hass, entry, "sensor", "waiting").state == "1"
    assert entity(hass, entry, "sensor", "status").attributes["until"] == begin
    assert state_of(entry).alarm is None

    async_fire_time_changed(hass, begin - timedelta(seconds=30))
    await asyncio.sleep(0.1)
    assert engine_of(entry).idle
    async_fire_time_changed(hass, begin + timedelta(seconds=1))
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert status(hass, entry) == "up_to_date"


async def test_an_upload_stops_gently_when_the_hours_end_and_goes_on_in_the_next_ones(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    begin, end = in_hours(-1), in_hours(2)
    entry = await set_up_entry(hass, dropbox_server, options=options(begin, end))
    dropbox_server.line = SLOW
    made = await make_backup(hass, size=8 * CHUNK)
    await wait_until(lambda: arrived(dropbox_server))

    before = arrived(dropbox_server)
    async_fire_time_changed(hass, end + timedelta(seconds=1))
    await wait_until_idle(hass, entry)
    assert arrived(dropbox_server) - before <= IN_FLIGHT
    assert archives(dropbox_server) == []
    assert status(hass, entry) == "waiting_for_hours"
    assert state_of(entry).problem is None

    dropbox_server.line = Line()
    async_fire_time_changed(hass, begin + timedelta(days=1, seconds=1))
    await wait_for_an_archive(hass, entry, dropbox_server)
    # For the connections hours have passed at once: what was on them may have been lost.
    assert dropbox_server.log.bytes_received(APPEND) <= made.size + IN_FLIGHT * CHUNK


async def test_what_somebody_asks_for_does_not_wait_for_the_hours(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=options(in_hours(3), in_hours(5)))
    first = await make_backup(hass, "First")
    second = await make_backup(hass, "Second")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []

    await tell(hass, "upload", backup_ids=[first.backup_id])
    await wait_until_idle(hass, entry)
    assert [one.backup.backup_id for one in state_of(entry).backups] == [first.backup_id]
    assert status(hass, entry) == "waiting_for_hours", "the other one was not asked for"

    press = {"entity_id": entity_id(hass, entry, "button", "upload_now")}
    await hass.services.async_call("button", "press", press, blocking=True)
    await wait_until_idle(hass, entry)
    assert second.backup_id in {one.backup.backup_id for one in state_of(entry).backups}
    assert status(hass, entry) == "up_to_date"


async def test_what_somebody_asked_for_goes_on_when_the_hours_end(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    end = in_hours(2)
    entry = await set_up_entry(hass, dropbox_server, options=options(in_hours(-1), end))
    await hass.services.async_call(
        "switch",
        "turn_off",
        {"entity_id": entity_id(hass, entry, "switch", "uploads")},
        blocking=True,
    )
    await make_backup(hass, size=8 * CHUNK)
    await wait_until_idle(hass, entry)
    dropbox_server.line = SLOW
    engine_of(entry).resume_uploads()
    press = {"entity_id": entity_id(hass, entry, "button", "upload_now")}
    await hass.services.async_call("button", "press", press, blocking=True)
    await wait_until(lambda: arrived(dropbox_server))

    async_fire_time_changed(hass, end + timedelta(seconds=1))
    await wait_for_an_archive(hass, entry, dropbox_server)


async def test_a_pause_is_stronger_than_the_hours(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    begin = in_hours(3)
    entry = await set_up_entry(hass, dropbox_server, options=options(begin, in_hours(5)))
    engine_of(entry).pause_uploads()
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    async_fire_time_changed(hass, begin + timedelta(seconds=1))
    await wait_until_idle(hass, entry)
    assert status(hass, entry) == "paused"
    assert archives(dropbox_server) == []

    engine_of(entry).resume_uploads()
    await wait_until_idle(hass, entry)
    assert status(hass, entry) == "waiting_for_hours", "by the real clock it is not yet time"


async def test_a_speed_limit_holds_for_all_uploads_together_and_after_a_change_of_options(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_SPEED_LIMIT: 32})
    policy = engine_of(entry).policy
    gate = Gate(hass, journal_of(entry), policy, agent_id_of(entry), lambda _: None)
    speed = gate.lane_of(Origin.WORKER).pool.speed
    assert all(gate.lane_of(origin).pool.speed is speed for origin in Origin)
    assert all(
        gate.lane_of(origin).pool.slots is gate.lane_of(Origin.WORKER).pool.slots
        for origin in Origin
    )
    begun = hass.loop.time()
    await make_backup(hass, size=8 * MIB)
    await wait_until_idle(hass, entry)
    assert hass.loop.time() - begun > 1.8, "8 MiB take two seconds at 32 Mbit/s"

    # An upload of Home Assistant's own goes on over a change of options, and heeds it.
    hass.config_entries.async_update_entry(entry, options={CONF_SPEED_LIMIT: 0.5})
    await hass.async_block_till_done()
    await wait_until_idle(hass, entry)
    assert speed.bytes_per_second == 62_500
    assert gate.lane_of(Origin.HOME_ASSISTANT).pool.speed is speed
