"""Options hold as soon as they are saved, for what is under way as well; nothing begins anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import instance_id, issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.dropbox_backup.const import (
    CONF_ALARM_AFTER,
    CONF_CHECK_INTERVAL,
    CONF_CHUNKS_AT_ONCE,
    CONF_HOURS_FROM,
    CONF_HOURS_TO,
    CONF_KEEP,
    CONF_SPEED_LIMIT,
    CONF_UPLOAD_AUTOMATICALLY,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from tests.support.account import (
    APPEND,
    CHUNK,
    SLOW,
    archives,
    engine_of,
    entity,
    make_backup,
    put_backup,
    set_up_entry,
    start_again,
    state_of,
    status,
    wait_for_an_archive,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Line
from tests.support.hours import arrived, in_hours

pytestmark = pytest.mark.usefixtures("quick_worker")

# So many chunks are in memory, and may have left us.
IN_FLIGHT = 4
_IN_SECTION = {CONF_SPEED_LIMIT, CONF_HOURS_FROM, CONF_HOURS_TO, CONF_CHUNKS_AT_ONCE}


async def choose(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, options: dict[str, Any]
) -> None:
    """Save the options' page with these values, all others as they are by default."""
    flows = hass.config_entries.options
    form = await flows.async_init(entry.entry_id)
    section = {key: value for key, value in options.items() if key in _IN_SECTION}
    page = {key: value for key, value in options.items() if key not in _IN_SECTION}
    done = await flows.async_configure(form["flow_id"], {**page, "speed_and_hours": section})
    assert done["type"] is FlowResultType.CREATE_ENTRY


@contextmanager
def nothing_becomes_unavailable(hass: HomeAssistant) -> Iterator[None]:
    """Watch all entities."""
    events: list[Event[EventStateChangedData]] = async_capture_events(hass, "state_changed")
    yield
    gone = [one.data["new_state"] for one in events]
    assert not [one for one in gone if one is None or one.state == "unavailable"]


async def test_options_saved_during_an_upload_hold_for_it_and_send_nothing_again(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    few = {CONF_CHUNKS_AT_ONCE: IN_FLIGHT}
    entry = await set_up_entry(hass, dropbox_server, options=few)
    dropbox_server.line = SLOW
    before = entry.runtime_data
    with nothing_becomes_unavailable(hass):
        made = await make_backup(hass, size=12 * CHUNK)
        await wait_until(lambda: arrived(dropbox_server))
        await choose(
            hass, entry, few | {CONF_SPEED_LIMIT: 160, CONF_KEEP: 4, CONF_CHECK_INTERVAL: 6}
        )
        begun, there = hass.loop.time(), arrived(dropbox_server)
        assert status(hass, entry) == "uploading"
        dropbox_server.line = Line()
        await wait_until(lambda: archives(dropbox_server))
        took = hass.loop.time() - begun
        await wait_until_idle(hass, entry)

    seconds = (made.size - (there + IN_FLIGHT) * CHUNK) / 20e6
    assert took > 0.8 * seconds, "160 Mbit/s are 20 MB each second, on a line without any limit"
    assert entry.runtime_data is before
    sent = dropbox_server.log.bytes_received(APPEND)
    assert made.size <= sent <= made.size + 4096
    assert status(hass, entry) == "up_to_date"


async def test_what_to_keep_holds_for_the_upload_that_is_under_way(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 4})
    for name in ("1", "2"):
        await make_backup(hass, name)
        await wait_until_idle(hass, entry)
    dropbox_server.line = SLOW
    with nothing_becomes_unavailable(hass):
        await make_backup(hass, "3", size=6 * CHUNK)
        await wait_until(lambda: arrived(dropbox_server))
        await choose(hass, entry, {CONF_KEEP: 1})
        dropbox_server.line = Line()
        await wait_until_idle(hass, entry)

    assert [one.backup.name for one in state_of(entry).backups] == ["3"]
    assert dropbox_server.log.count("files/upload_session/finish") == 1, "it was not begun anew"


async def test_a_limit_that_is_taken_away_lets_the_upload_go_at_once(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    # By itself it would take more than an hour.
    entry = await set_up_entry(hass, dropbox_server, options={CONF_SPEED_LIMIT: 0.1})
    made = await make_backup(hass, size=10 * CHUNK)
    await wait_until(lambda: status(hass, entry) == "uploading")
    await choose(hass, entry, {})
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert dropbox_server.log.bytes_received(APPEND) <= made.size + 4096


async def test_hours_that_are_chosen_hold_the_upload_under_way_back(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    few = {CONF_CHUNKS_AT_ONCE: IN_FLIGHT}
    entry = await set_up_entry(hass, dropbox_server, options=few)
    dropbox_server.line = SLOW
    begin = in_hours(3)
    with nothing_becomes_unavailable(hass):
        made = await make_backup(hass, size=12 * CHUNK)
        await wait_until(lambda: arrived(dropbox_server))
        hours = {CONF_HOURS_FROM: f"{begin:%H:%M:00}", CONF_HOURS_TO: f"{in_hours(5):%H:%M:00}"}
        await choose(hass, entry, few | hours)
        await wait_until_idle(hass, entry)
        assert status(hass, entry) == "waiting_for_hours"
        assert entity(hass, entry, "sensor", "status").attributes["until"] == begin
        assert archives(dropbox_server) == []

        # The clock is looked at although there were no hours when the account was set up.
        later = in_hours(4)
        await choose(hass, entry, few | hours | {CONF_HOURS_FROM: f"{later:%H:%M:00}"})
        await wait_until_idle(hass, entry)
        assert entity(hass, entry, "sensor", "status").attributes["until"] == later
        dropbox_server.line = Line()
        async_fire_time_changed(hass, later + timedelta(seconds=1))
        await wait_for_an_archive(hass, entry, dropbox_server)
    # For the connections hours have passed at once: what was on them may have been lost.
    assert dropbox_server.log.bytes_received(APPEND) <= made.size + IN_FLIGHT * CHUNK


async def test_hours_that_are_taken_away_let_uploads_go(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    hours = {CONF_HOURS_FROM: f"{in_hours(3):%H:%M:00}", CONF_HOURS_TO: f"{in_hours(5):%H:%M:00}"}
    entry = await set_up_entry(hass, dropbox_server, options=hours)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []
    await choose(hass, entry, {})
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert status(hass, entry) == "up_to_date"


async def test_fewer_chunks_at_once_hold_for_the_next_ones(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_CHUNKS_AT_ONCE: IN_FLIGHT})
    dropbox_server.line = SLOW
    made = await make_backup(hass, size=12 * CHUNK)
    await wait_until(lambda: arrived(dropbox_server))
    await choose(hass, entry, {CONF_CHUNKS_AT_ONCE: 1})
    began = {id(record) for record in dropbox_server.log.of(APPEND)}
    await wait_for_an_archive(hass, entry, dropbox_server)

    later = [record for record in dropbox_server.log.of(APPEND) if id(record) not in began]
    # Those whose bytes had left, or that had their turn, when it was chosen, are not called back.
    later = sorted(later, key=lambda one: one.time)[IN_FLIGHT:]
    overlaps = [
        (one, other) for one, other in pairwise(later) if other.time < one.time + one.duration
    ]
    assert not overlaps
    assert dropbox_server.log.bytes_received(APPEND) <= made.size + 4096


async def test_a_check_interval_alarm_and_automatic_uploads_hold_at_once(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    with nothing_becomes_unavailable(hass):
        options = {
            CONF_CHECK_INTERVAL: 2,
            CONF_ALARM_AFTER: 0,
            CONF_UPLOAD_AUTOMATICALLY: False,
        }
        await choose(hass, entry, options)
        await wait_until_idle(hass, entry)
        due = state_of(entry).next_check
        assert due is not None
        assert timedelta(hours=1) < due - dt_util.utcnow() <= timedelta(hours=2)
        await make_backup(hass)
        await wait_until_idle(hass, entry)
        assert archives(dropbox_server) == []

        await choose(hass, entry, {CONF_UPLOAD_AUTOMATICALLY: True})
        await wait_until_idle(hass, entry)
        assert len(archives(dropbox_server)) == 1


async def test_a_lower_number_to_keep_deletes_at_once_but_asks_when_that_is_much(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    ours = await instance_id.async_get(hass)
    for number in range(9):
        date = f"2026-01-{number + 1:02}T00:00:00Z"
        put_backup(dropbox_server, f"Old {number}", date=date, instance_id=ours)
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "New 0")
    await make_backup(hass, "New 1")
    await make_backup(hass, "New 2")
    await wait_until_idle(hass, entry)
    there = len(archives(dropbox_server))

    with nothing_becomes_unavailable(hass):
        await choose(hass, entry, {CONF_KEEP: 1})
        await wait_until_idle(hass, entry)
        assert len(archives(dropbox_server)) == there
        assert state_of(entry).unconfirmed
        shown = engine_of(entry).unconfirmed

        # The question goes with the rule that it was about, also if Dropbox is away meanwhile.
        engine_of(entry).pause_uploads()
        await choose(hass, entry, {CONF_KEEP: 3})
        assert not state_of(entry).unconfirmed
        assert not [one for one in ir.async_get(hass).issues if one[1].startswith("confirm_")]
        assert not engine_of(entry).confirm_retention(shown), "it was about another rule"
        await wait_until_idle(hass, entry)
        assert len(archives(dropbox_server)) == there
        assert len(state_of(entry).unconfirmed) == there - 3

        await choose(hass, entry, {CONF_KEEP: 10})
        await wait_until_idle(hass, entry)
    assert not state_of(entry).unconfirmed


async def test_a_renewed_token_is_no_change_of_options(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    requests = dropbox_server.log.counters.total()
    token = entry.data["token"] | {"expires_in": 14_399}
    hass.config_entries.async_update_entry(entry, data={**entry.data, "token": token})
    await hass.async_block_till_done()
    assert engine_of(entry).idle
    assert dropbox_server.log.counters.total() == requests


async def test_options_that_are_saved_while_the_account_is_not_loaded_hold_later(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    await choose(hass, entry, {CONF_CHECK_INTERVAL: 2})
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.NOT_LOADED
    await start_again(hass, entry)
    assert engine_of(entry).policy.check_interval == timedelta(hours=2)
