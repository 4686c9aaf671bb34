"""Answers that nobody would send on purpose: what the user sees of them, and that it goes on."""

from dataclasses import replace
from datetime import timedelta
import logging
import time

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.sync.report.state import ProblemKind, Status
from custom_components.dropbox_backup.sync.schedule import Schedule
from tests.support.account import (
    archives,
    engine_of,
    make_backup,
    problem_of,
    put_backup,
    set_up_entry,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.waits import set_waits

pytestmark = pytest.mark.usefixtures("quick_worker")

NEVER = {"Retry-After": "1e12"}


@pytest.fixture
async def entry(hass: HomeAssistant, dropbox_server: DropboxServer) -> DropboxBackupConfigEntry:
    """Sign in."""
    return await set_up_entry(hass, dropbox_server)


async def test_a_full_account_is_called_full_also_in_two_pieces(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    full = {".tag": "path", "path": {".tag": "insufficient_space"}}
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, "files/upload", times=None, status=409, error=full),
        Fault(FaultKind.SPLIT_RESPONSE, times=None, after_bytes=30, seconds=0.1),
    )
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.FULL


async def test_a_wait_for_ever_is_one_of_minutes_and_shown(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=429, headers=NEVER))
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    state = state_of(entry)
    assert state.status is Status.RETRYING
    assert state.next_check
    assert state.next_check - dt_util.utcnow() < timedelta(minutes=20)

    dropbox_server.log.clear()
    engine_of(entry).request("a person is impatient")
    await wait_until_idle(hass, entry)
    assert state_of(entry).status is Status.RETRYING
    assert not dropbox_server.log.records, "Dropbox has asked to wait"


@pytest.mark.parametrize("route", ["files/list_folder/continue", "files/upload", "users/*"])
async def test_the_worker_goes_on_after_any_wait(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    set_waits(monkeypatch, longest_rest=0.5)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, route, status=429, headers=NEVER))
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).problem is None


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watch look at once, also after trouble."""
    set_waits(monkeypatch, after_change=0.05, after_trouble=0.2)


@pytest.mark.parametrize("route", ["files/list_folder/continue", "files/list_folder/longpoll"])
async def test_a_dead_cursor_is_a_new_listing_at_once_and_no_missing_folder(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    set_waits(monkeypatch, after_change=0.05)
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until(lambda: dropbox_server.log.of("files/list_folder/longpoll"))
    dropbox_server.faults.add(Fault(FaultKind.RESET_CURSOR, route, times=1))
    put_backup(dropbox_server, "From the neighbours", instance_id="other")
    dropbox_server.account.files.expire_cursors()
    await wait_until(lambda: len(state_of(entry).backups) == 1)
    await wait_until_idle(hass, entry)
    assert not state_of(entry).folder_was_missing
    assert state_of(entry).problem is None


async def test_cursors_that_die_between_two_pages_are_no_missing_folder(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)
    dropbox_server.rules = replace(dropbox_server.rules, largest_page=1)
    for number in range(3):
        put_backup(dropbox_server, f"Old {number}", instance_id="other")
    dropbox_server.account.files.expire_cursors()
    fault = dropbox_server.faults.add(
        Fault(FaultKind.RESET_CURSOR, "files/list_folder/continue", skip=2, times=2)
    )
    await hass.config_entries.async_setup(entry.entry_id)
    assert fault.applied == 2
    assert "can't be reached" not in caplog.text
    assert "Backups can't be uploaded" not in caplog.text
    await wait_until_idle(hass, entry)
    await wait_until(lambda: len(state_of(entry).backups) == 3)
    assert not state_of(entry).folder_was_missing
    assert state_of(entry).problem is None


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.GARBAGE),
        Fault(FaultKind.STATUS, status=200, body="[]", content_type="application/json"),
        Fault(FaultKind.STATUS, status=200, body="<html>"),
        Fault(FaultKind.STATUS, status=502, body='{"error": 7}', content_type="application/json"),
        Fault(
            FaultKind.STATUS,
            status=200,
            body='{"access_token": ["x"], "expires_in": 9}',
            content_type="application/json",
        ),
    ],
    ids=["garbage", "list", "html", "502", "odd token"],
)
async def test_the_watch_outlives_any_answer_of_the_token_endpoint(
    hass: HomeAssistant, dropbox_server: DropboxServer, fault: Fault
) -> None:
    fault.route = "oauth2/token"
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until(lambda: dropbox_server.log.of("files/list_folder/longpoll"))
    dropbox_server.faults.add(fault)
    dropbox_server.tokens.expire_access_tokens()
    put_backup(dropbox_server, "From the neighbours", instance_id="other")
    await wait_until(lambda: dropbox_server.log.of("oauth2/token"))
    await wait_until(lambda: len(state_of(entry).backups) == 1)
    await wait_until_idle(hass, entry)
    put_backup(dropbox_server, "And one more", instance_id="other")
    await wait_until(lambda: len(state_of(entry).backups) == 2)
    await wait_until_idle(hass, entry)


async def test_the_worker_outlives_a_bug_says_so_once_and_goes_on(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_waits(monkeypatch, after_bug=0.05)
    checked, failures = Schedule.checked, [1, 2, 3]

    def fail(self: Schedule, *args: object) -> None:
        if failures:
            failures.pop()
            raise LookupError("a bug")
        checked(self, *args)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Schedule, "checked", fail)
    await make_backup(hass)
    await wait_until(lambda: not failures)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    told = [one for one in caplog.records if one.levelno == logging.ERROR and one.exc_info]
    assert len(told) == 1
    caplog.clear()


@pytest.mark.parametrize(
    "route",
    ["oauth2/token", "files/list_folder/continue", "files/list_folder,*/continue", "*"],
)
async def test_a_dropbox_that_stalls_holds_up_the_start_no_longer_than_promised(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.START, 1.0)
    await hass.config_entries.async_unload(entry.entry_id)
    if route == "oauth2/token":
        dropbox_server.tokens.expire_access_tokens()
    dropbox_server.faults.add(Fault(FaultKind.STALL, route, seconds=20, times=None))
    begun = time.monotonic()
    await hass.config_entries.async_setup(entry.entry_id)
    assert time.monotonic() - begun < 5
    assert entry.state is ConfigEntryState.LOADED
    dropbox_server.faults.clear()
    await wait_until_idle(hass, entry)
    assert state_of(entry).problem is None


async def test_a_proxy_that_strips_ranges_keeps_no_backup_from_dropbox(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.IGNORE_RANGE, "files/download", times=None))
    put_backup(dropbox_server, "From the neighbours", instance_id="other")
    await make_backup(hass)
    await wait_until(lambda: len(state_of(entry).backups) == 2)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 2
    assert state_of(entry).problem is None
