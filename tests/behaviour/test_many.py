"""Catching up with many small backups after an outage: together, and without a rate limit."""

import logging

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.const import (
    CONF_KEEP,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from tests.support.account import (
    FINISH,
    MANUAL,
    MIB,
    archives,
    local_backups,
    make_backup,
    problem_of,
    set_up_entry,
    state_of,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind, Line, Rules
from tests.support.waits import try_once

UPLOAD = "files/upload"
START = "files/upload_session/start"
BATCH = "files/upload_session/finish_batch_v2"
LATENCY, SERVER_TIME, WRITE = 0.05, 0.2, 0.1


async def offline(
    hass: HomeAssistant, server: DropboxServer, count: int, size: int = 0
) -> DropboxBackupConfigEntry:
    """Let so many backups be made while nothing is uploaded."""
    entry = await set_up_entry(hass, server, options=MANUAL)
    for number in range(count):
        await make_backup(hass, f"Night {number}", size=size)
    await wait_until_idle(hass, entry)
    server.log.clear()
    return entry


async def catch_up(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Let uploads begin, and wait for their end."""
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 0})
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)


async def test_fifty_backups_take_a_third_of_the_time_of_one_after_the_other(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await offline(hass, dropbox_server, 50, size=2 * MIB)
    dropbox_server.line = Line(latency=LATENCY, server_time=SERVER_TIME)
    dropbox_server.rules = Rules(write_lock=True, write_duration=WRITE)
    await catch_up(hass, entry)
    log = dropbox_server.log
    assert len(archives(dropbox_server)) == len(state_of(entry).backups) == 50
    assert all(one.verified for one in state_of(entry).backups)
    writes = [one for one in log.records if one.route in {UPLOAD, START, FINISH, BATCH}]
    took = max(one.time + one.duration for one in writes) - min(one.time for one in writes)
    # One after the other: each backup, and after it the catalog.
    assert took <= 50 * 2 * (LATENCY + SERVER_TIME + WRITE) / 3
    assert len(writes) <= 50 * 1.5
    assert not any("too_many" in one.error for one in log.records)
    assert {one.status for one in writes} == {200}


async def test_one_whose_place_is_taken_keeps_no_other_back(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await offline(hass, dropbox_server, 6)
    dropbox_server.line = Line(server_time=0.05)
    refused = next(one for one in await local_backups(hass) if one.name == "Night 3")
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/{file_name(refused)}", b"something else")
    await catch_up(hass, entry)
    names = {one.backup.name for one in state_of(entry).backups}
    assert names == {f"Night {number}" for number in range(6)}
    assert len(archives(dropbox_server)) == 7
    assert state_of(entry).problem is None


async def test_what_stops_all_is_told_once(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await offline(hass, dropbox_server, 6)
    dropbox_server.line = Line(server_time=0.05)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, f"{UPLOAD},{START}", status=503, times=None))
    with caplog.at_level(logging.INFO):
        await catch_up(hass, entry)
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.UNREACHABLE
    assert archives(dropbox_server) == []
    assert caplog.text.count("was not uploaded: ") == 1
