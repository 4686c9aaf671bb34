"""The switch pauses uploads gently, keeps them paused, and lets them go on where they stopped."""

import asyncio
from functools import partial
from pathlib import Path
import random
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.dropbox_backup.const import (
    CONF_CHUNKS_AT_ONCE,
    CONF_KEEP,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.file_names import file_name
from tests.support.account import (
    APPEND,
    CHUNK,
    MANUAL,
    MIB,
    SLOW,
    archives,
    ask,
    engine_of,
    entity,
    entity_id,
    local_path,
    make_backup,
    set_up_entry,
    start_again,
    state_of,
    status,
    storage_key,
    tell,
    wait_until,
    wait_until_idle,
)
from tests.support.backup_page import OpenPage, last_result, own_agents
from tests.support.dropbox_server import DropboxServer, Line

pytestmark = pytest.mark.usefixtures("quick_worker")

TWO_AT_ONCE = {CONF_CHUNKS_AT_ONCE: 2}


async def turn(hass: HomeAssistant, entry: DropboxBackupConfigEntry, to: str) -> None:
    data = {"entity_id": entity_id(hass, entry, "switch", "uploads")}
    await hass.services.async_call("switch", f"turn_{to}", data, blocking=True)
    await hass.async_block_till_done()
    assert entity(hass, entry, "switch", "uploads").state == to


def arrived(server: DropboxServer) -> int:
    return sum(record.processed for record in server.log.of(APPEND))


def has_sent(server: DropboxServer, chunks: int) -> bool:
    return arrived(server) >= chunks


async def test_off_during_an_upload_stops_it_after_the_chunks_in_flight_and_on_goes_on_there(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=TWO_AT_ONCE)
    dropbox_server.line = SLOW
    made = await make_backup(hass, size=8 * CHUNK)
    await wait_until(lambda: arrived(dropbox_server))

    before = arrived(dropbox_server)
    await turn(hass, entry, "off")
    await wait_until_idle(hass, entry)

    begun = len(dropbox_server.log.of(APPEND))
    assert begun == arrived(dropbox_server), "those in flight have arrived"
    assert begun - before <= 2, "and none was begun since"
    assert archives(dropbox_server) == []
    assert status(hass, entry) == "paused"
    assert entity(hass, entry, "sensor", "waiting").state == "1"
    assert state_of(entry).problem is None
    assert state_of(entry).progress is None

    dropbox_server.line = Line()
    await turn(hass, entry, "on")
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).backups[0].verified
    assert status(hass, entry) == "up_to_date"
    assert dropbox_server.log.bytes_received(APPEND) == made.size, "nothing was sent again"


async def test_while_it_is_off_nothing_is_uploaded_but_the_rest_goes_on(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    old = await make_backup(hass, "Old")
    await wait_until_idle(hass, entry)
    await turn(hass, entry, "off")

    changes = async_capture_events(hass, "state_changed")
    new = await make_backup(hass, "New")
    await wait_until_idle(hass, entry)
    assert "uploading" not in {event.data["new_state"].state for event in changes}
    assert [one.backup.backup_id for one in state_of(entry).backups] == [old.backup_id]
    assert status(hass, entry) == "paused"

    # Somebody brings it there by hand: it is seen, verified, and takes the old one's place.
    copy = local_path(hass, new).read_bytes()
    # Under our name: a copy under another one is that person's own.
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/{file_name(new)}", copy)
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    (remote,) = state_of(entry).backups
    assert remote.backup.backup_id == new.backup_id
    assert remote.verified
    assert state_of(entry).waiting == ()
    assert status(hass, entry) == "paused"


async def test_a_pause_hides_no_problem_that_only_an_upload_can_solve(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.account.quota = dropbox_server.account.used + 1000
    await make_backup(hass, size=MIB)
    await wait_until_idle(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").attributes["kind"] == "dropbox_full"

    await turn(hass, entry, "off")
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").attributes["kind"] == "dropbox_full"
    assert status(hass, entry) == "needs_attention"

    dropbox_server.account.quota = 100 * MIB
    await turn(hass, entry, "on")
    await wait_until_idle(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"
    assert status(hass, entry) == "up_to_date"


async def test_it_stays_off_over_restarts_before_anything_is_uploaded(
    hass: HomeAssistant, hass_storage: dict[str, Any], dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await turn(hass, entry, "off")
    await hass.config_entries.async_unload(entry.entry_id)
    assert hass_storage[storage_key(entry)]["data"]["paused"] is True
    await make_backup(hass)
    dropbox_server.log.clear()

    await start_again(hass, entry)

    assert entity(hass, entry, "switch", "uploads").state == "off"
    assert archives(dropbox_server) == []
    await turn(hass, entry, "on")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1


async def test_what_home_assistant_uploads_itself_goes_also_while_it_is_off(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
) -> None:
    """It may delete the only copy of what does not get to Dropbox."""
    await async_setup_component(hass, "backup", {})
    entry = await set_up_entry(hass, dropbox_server, options=TWO_AT_ONCE)
    page = await open_page()
    Path(hass.config.path("filling.bin")).write_bytes(random.Random(1).randbytes(8 * CHUNK))
    dropbox_server.line = SLOW

    making = asyncio.create_task(page.make(*own_agents(hass)))
    await wait_until(lambda: arrived(dropbox_server))
    data = {"entity_id": entity_id(hass, entry, "switch", "uploads")}
    await hass.services.async_call("switch", "turn_off", data, blocking=True)
    assert archives(dropbox_server) == [], "it is not over yet"

    assert last_result(await making) == ("completed", None)
    assert len(archives(dropbox_server)) == 1

    dropbox_server.line = Line()
    assert last_result(await page.make(*own_agents(hass), name="Next")) == ("completed", None)
    assert len(archives(dropbox_server)) == 2, "nor is one held back that begins then"


async def test_asking_for_an_upload_while_it_is_off_says_what_to_do(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await turn(hass, entry, "off")
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    with pytest.raises(ServiceValidationError, match=r"are paused\. Turn on the switch Uploads"):
        await tell(hass, "upload")
    press = {"entity_id": entity_id(hass, entry, "button", "upload_now")}
    with pytest.raises(ServiceValidationError, match=r"are paused\. Turn on the switch Uploads"):
        await hass.services.async_call("button", "press", press, blocking=True)
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []


async def test_an_upload_that_somebody_waits_for_says_that_it_was_paused(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=TWO_AT_ONCE)
    await turn(hass, entry, "off")
    made = await make_backup(hass, size=8 * CHUNK)
    await wait_until_idle(hass, entry)
    dropbox_server.line = SLOW
    await turn(hass, entry, "on")
    asking = asyncio.create_task(ask(hass, "upload", backup_ids=[made.backup_id]))
    await wait_until(lambda: arrived(dropbox_server))
    await turn(hass, entry, "off")

    assert await asking == {
        "backups": [
            {
                "backup_id": made.backup_id,
                "name": made.name,
                "error": "uploads are paused",
                "error_code": "held_back",
            }
        ],
        "in_dropbox": 0,
    }


async def test_it_is_on_and_stands_beside_the_buttons(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    shown = entity(hass, entry, "switch", "uploads")
    assert shown.state == "on"
    assert shown.attributes["friendly_name"].endswith("Uploads")
    registered = er.async_get(hass).async_get(shown.entity_id)
    assert registered
    assert registered.entity_category is None


async def test_what_was_begun_goes_first_so_that_backups_arrive_though_none_fits_between_pauses(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    """As with hours in which less can be sent than one backup, and a new one every day."""
    entry = await set_up_entry(hass, dropbox_server, options=TWO_AT_ONCE)
    dropbox_server.line = Line(upload_total=CHUNK * 8 * 16)
    made = []
    for night in range(4):
        await turn(hass, entry, "off")
        made.append((await make_backup(hass, f"Night {night}", size=8 * CHUNK)).backup_id)
        await wait_until_idle(hass, entry)
        before = arrived(dropbox_server)
        await turn(hass, entry, "on")
        await wait_until(partial(has_sent, dropbox_server, before + 5))
    await turn(hass, entry, "off")
    await wait_until_idle(hass, entry)
    assert {one.backup.backup_id for one in state_of(entry).backups} >= {*made[:2]}


async def test_back_up_now_while_it_is_off_goes_when_it_is_on_also_without_automatic_uploads(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await turn(hass, entry, "off")
    press = {"entity_id": entity_id(hass, entry, "button", "back_up_now")}
    await hass.services.async_call("button", "press", press, blocking=True)
    await wait_until_idle(hass, entry)
    await make_backup(hass, "Nobody asked for this one")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []
    assert entity(hass, entry, "sensor", "waiting").state == "1"

    await turn(hass, entry, "on")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert "Nobody" not in state_of(entry).backups[0].backup.name
    assert status(hass, entry) == "up_to_date"


async def test_an_upload_that_was_asked_for_and_paused_goes_on_without_automatic_uploads(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=TWO_AT_ONCE | MANUAL)
    dropbox_server.line = SLOW
    made = await make_backup(hass, size=8 * CHUNK)
    press = {"entity_id": entity_id(hass, entry, "button", "upload_now")}
    await hass.services.async_call("button", "press", press, blocking=True)
    await wait_until(lambda: arrived(dropbox_server))
    await turn(hass, entry, "off")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []

    dropbox_server.line = Line()
    await turn(hass, entry, "on")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert dropbox_server.log.bytes_received(APPEND) == made.size
