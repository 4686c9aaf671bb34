"""The binary sensor `problem` is on while something keeps backups from being safe in Dropbox."""

from datetime import timedelta
from pathlib import Path

from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import instance_id
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dropbox_backup.const import CONF_KEEP, DEFAULT_FOLDER
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from tests.support.account import (
    MIB,
    engine_of,
    entity,
    let_it_have_failed_for_an_hour,
    make_backup,
    notes_of,
    put_backup,
    set_up_entry,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.dropbox_server.line import Line
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")


def problem(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> State:
    return entity(hass, entry, "binary_sensor", "problem")


def damage_backups(folder: Path) -> None:
    """Cut the backups off, as a failed backup or a full disk leaves them."""
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:5000])


async def test_there_is_no_problem_when_everything_is_in_dropbox(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "off"
    assert problem(hass, entry).attributes["kind"] is None
    assert problem(hass, entry).attributes["detail"] is None


async def test_a_full_dropbox_is_a_problem_until_there_is_room(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    quota = dropbox_server.account.quota
    dropbox_server.account.quota = dropbox_server.account.used + 1000
    await make_backup(hass, size=MIB)
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "on"
    assert problem(hass, entry).attributes["kind"] == "dropbox_full"
    assert "no room" in problem(hass, entry).attributes["detail"]

    dropbox_server.account.quota = quota
    engine_of(entry).request("there is room again")
    await wait_until_idle(hass, entry)
    assert problem(hass, entry).state == "off"


async def test_a_folder_that_may_not_be_written_is_a_problem(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    refused = {".tag": "path", "reason": {".tag": "no_write_permission"}, "upload_session_id": ""}
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, "files/upload", status=409, error=refused, times=None)
    )
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "on"
    assert problem(hass, entry).attributes["kind"] == "folder_not_writable"


async def test_a_revoked_sign_in_is_a_problem_and_asks_to_sign_in_again(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.tokens.revoke_all()
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "on"
    assert problem(hass, entry).attributes["kind"] == "sign_in"
    (flow,) = hass.config_entries.flow.async_progress()
    assert flow["context"]["source"] == "reauth"


async def test_a_dropbox_that_is_away_is_a_problem_until_it_is_back(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, times=None))
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "off", "for a while that is everyday life"
    assert entity(hass, entry, "sensor", "status").state == "retrying"

    let_it_have_failed_for_an_hour(entry)
    assert problem(hass, entry).state == "on"
    assert problem(hass, entry).attributes["kind"] == "unreachable"

    dropbox_server.faults.clear()
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    assert problem(hass, entry).state == "off"


async def test_a_damaged_local_backup_is_a_problem_but_stops_no_other(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "Damaged")
    await wait_until_idle(hass, entry)
    await hass.async_add_executor_job(damage_backups, Path(hass.config.path("backups")))
    dropbox_server.account.files.delete(DEFAULT_FOLDER)
    await make_backup(hass, "Good")
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "on"
    assert problem(hass, entry).attributes["kind"] == "backup_refused"
    assert entity(hass, entry, "sensor", "last_backup").state == "Good"


async def test_deletions_that_wait_for_confirmation_are_a_problem(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    ours = await instance_id.async_get(hass)
    for number in range(5):
        put_backup(dropbox_server, f"Old {number}", instance_id=ours)
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert problem(hass, entry).state == "on"
    assert problem(hass, entry).attributes["kind"] == "confirm_retention"
    assert "5 backups" in problem(hass, entry).attributes["detail"]
    assert len(dropbox_server.account.files.list(DEFAULT_FOLDER)) == 7  # and the catalog


async def test_an_upload_that_moves_and_never_ends_is_a_problem_in_the_end(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.line = Line(upload_total=4 * MIB * 8 * 2)  # two chunks a second
    await make_backup(hass, size=24 * MIB)
    results = notes_of(entry).results
    await wait_until(lambda: results.last_moved)
    results.watching_since = dt_util.utcnow() - timedelta(days=30)
    engine_of(entry).publish()
    assert problem(hass, entry).state == "off", "it has just begun"

    assert results.moving_since is not None
    results.moving_since -= timedelta(days=3)
    engine_of(entry).publish()
    assert problem(hass, entry).attributes["kind"] == "upload_overdue"
    assert problem(hass, entry).attributes["detail"].endswith("under way, but takes too long")

    dropbox_server.line = Line()
    await wait_until_idle(hass, entry)
    assert problem(hass, entry).state == "off"
