"""What the worker does first, what it does not wait for, and that whoever asks gets an answer."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

from homeassistant.components.backup import AgentBackup, async_get_manager
from homeassistant.components.backup.manager import BackupManagerState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import CONF_KEEP
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.sync.report.state import ProblemKind, Status
from tests.support.account import (
    APPEND,
    LOCAL_AGENT,
    MANUAL,
    MIB,
    SLOW,
    archives,
    ask,
    engine_of,
    make_backup,
    notes_of,
    problem_of,
    set_up_entry,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.waits import set_waits

pytestmark = pytest.mark.usefixtures("quick_worker")

LARGE = 9 * MIB
SPACE = "users/get_space_usage"


def in_dropbox(entry: DropboxBackupConfigEntry) -> set[str]:
    """Return the names of the backups there."""
    return {one.backup.name for one in state_of(entry).backups}


def by_arrival(entry: DropboxBackupConfigEntry) -> list[str]:
    """Return the names of the backups in Dropbox in the order in which they arrived."""
    backups = sorted(state_of(entry).backups, key=lambda one: one.verified or dt_util.utcnow())
    return [one.backup.name for one in backups]


async def with_a_backlog(
    hass: HomeAssistant, server: DropboxServer, *names: str
) -> DropboxBackupConfigEntry:
    """Have large backups lie here of which the first is on its way."""
    entry = await set_up_entry(hass, server, options=MANUAL)
    for name in reversed(names):
        await make_backup(hass, name, size=LARGE)
    await wait_until_idle(hass, entry)
    server.line = SLOW
    await ask(hass, "upload", wait=False)
    await wait_until(lambda: server.log.count(APPEND))
    return entry


async def paused_with_a_backlog(
    hass: HomeAssistant, server: DropboxServer, here: list[str], there: list[str]
) -> DropboxBackupConfigEntry:
    """Have large backups wait here, all of which are to be kept, and as many older ones there."""
    entry = await set_up_entry(hass, server, options={CONF_KEEP: len(here)})
    for name in there:
        await make_backup(hass, name, size=LARGE)
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {*there}
    engine_of(entry).pause_uploads()
    for name in here:
        await make_backup(hass, name, size=0 if "small" in name else LARGE)
    await wait_until_idle(hass, entry)
    return entry


def refuse_deletions(server: DropboxServer) -> None:
    """Have Dropbox refuse to delete anything."""
    error = {".tag": "path_write", "path_write": {".tag": "no_write_permission"}}
    server.faults.add(
        Fault(FaultKind.STATUS, "files/delete_v2", status=409, error=error, times=None)
    )


# What is only informative


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, SPACE, status=500, times=None),
        Fault(FaultKind.GARBAGE, SPACE, times=None),
        Fault(FaultKind.STALL, SPACE, seconds=1, times=None),
    ],
    ids=["500", "garbage", "stalled"],
)
async def test_backups_arrive_while_dropbox_does_not_say_how_much_room_there_is(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.UPLOAD, 0.2)
    dropbox_server.faults.add(fault)
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "By the worker")
    await wait_until_idle(hass, entry)
    manager = async_get_manager(hass)
    await manager.async_create_backup(
        agent_ids=[agent_id_of(entry)],
        include_addons=None,
        include_all_addons=False,
        include_database=False,
        include_folders=None,
        include_homeassistant=True,
        name="By Home Assistant",
        password=None,
    )
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"By the worker", "By Home Assistant"}
    assert state_of(entry).problem is None
    assert state_of(entry).status is Status.UP_TO_DATE


# What does not fit


async def test_a_backup_that_does_not_fit_keeps_no_smaller_one_away(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    for name, size in (("Small", 0), ("Large", 5 * MIB), ("Smaller", 0), ("Larger", 6 * MIB)):
        await make_backup(hass, name, size=size)
    dropbox_server.account.quota = dropbox_server.account.used + 2 * MIB

    response = await ask(hass, "upload")

    assert in_dropbox(entry) == {"Small", "Smaller"}
    errors = {one["name"]: one.get("error") for one in response["backups"]}
    assert errors["Small"] is None
    assert errors["Smaller"] is None
    assert "MB are needed" in errors["Large"]
    assert "MB are needed" in errors["Larger"]
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.FULL
    assert {one.backup.name for one in state_of(entry).waiting} == {"Large", "Larger"}

    dropbox_server.account.quota = 100 * MIB
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await wait_until(lambda: len(in_dropbox(entry)) == 4)
    await wait_until_idle(hass, entry)
    assert state_of(entry).problem is None


async def test_a_dropbox_that_has_no_room_where_it_said_it_had_is_not_asked_for_ever(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    for number in range(8):
        await make_backup(hass, f"Night {number}", size=5 * MIB + number * MIB // 2)
    full = Fault(
        FaultKind.STATUS,
        "files/upload_session/finish",
        status=409,
        error={".tag": "path", "path": {".tag": "insufficient_space"}},
        times=None,
    )
    dropbox_server.faults.add(full)
    response = await ask(hass, "upload")
    assert full.applied == 3
    assert all("MB are needed" in one["error"] for one in response["backups"])
    assert len(state_of(entry).waiting) == 8
    dropbox_server.faults.clear()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await wait_until(lambda: len(in_dropbox(entry)) == 8)


async def test_a_smaller_one_arrives_though_no_room_can_be_made_for_a_larger_one(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await paused_with_a_backlog(
        hass, dropbox_server, here=["4 (small)", "5", "6"], there=["1", "2", "3"]
    )
    dropbox_server.account.quota = dropbox_server.account.used + LARGE + 2 * MIB
    refuse_deletions(dropbox_server)
    engine_of(entry).resume_uploads()
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"1", "2", "3", "4 (small)", "6"}


async def test_room_is_made_for_one_backup_after_the_other(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await paused_with_a_backlog(
        hass, dropbox_server, here=["4", "5", "6"], there=["1", "2", "3"]
    )
    dropbox_server.account.quota = dropbox_server.account.used + LARGE + 2 * MIB
    engine_of(entry).resume_uploads()
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"4", "5", "6"}
    assert state_of(entry).problem is None


# What comes first


async def test_what_a_person_asks_for_comes_after_the_upload_that_is_under_way(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await with_a_backlog(hass, dropbox_server, "1", "2", "3", "4")
    wanted = next(one.backup for one in state_of(entry).waiting if one.backup.name == "4")

    response = await ask(hass, "upload", backup_ids=[wanted.backup_id])

    assert [one["name"] for one in response["backups"]] == ["4"]
    assert in_dropbox(entry) == {"1", "4"}, "and the answer does not wait for the others"
    dropbox_server.line = type(SLOW)()
    await wait_until(lambda: len(in_dropbox(entry)) == 4)
    assert by_arrival(entry) == ["1", "4", "2", "3"]


async def test_a_new_backup_comes_after_the_upload_that_is_under_way(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.STALL, APPEND, seconds=60))
    entry = await with_a_backlog(hass, dropbox_server, "1", "2", "3")
    await make_backup(hass, "New", size=LARGE)
    dropbox_server.faults.clear()
    await wait_until(lambda: len(in_dropbox(entry)) == 2)
    assert in_dropbox(entry) == {"1", "New"}
    dropbox_server.line = type(SLOW)()
    await wait_until(lambda: len(in_dropbox(entry)) == 4)


async def a_new_one_is_made_while_another_is_uploaded(
    hass: HomeAssistant, server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    stalled = server.faults.add(Fault(FaultKind.STALL, APPEND, seconds=60))
    server.log.clear()
    engine_of(entry).resume_uploads()
    await wait_until(lambda: server.log.count(APPEND))
    await make_backup(hass, "New", size=LARGE)
    server.faults.remove(stalled.id)
    server.line = SLOW


async def test_old_ones_are_deleted_though_there_is_always_more_to_upload(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await paused_with_a_backlog(
        hass, dropbox_server, here=["3", "4"], there=["1 (oldest)", "2"]
    )
    await a_new_one_is_made_while_another_is_uploaded(hass, dropbox_server, entry)
    await wait_until(lambda: "1 (oldest)" not in in_dropbox(entry))
    assert in_dropbox(entry) == {"2", "4"}, "the new one is still to come"
    dropbox_server.line = type(SLOW)()
    await wait_until(lambda: in_dropbox(entry) == {"4", "New"})
    await wait_until_idle(hass, entry)
    assert state_of(entry).problem is None


async def test_uploads_go_on_though_old_ones_can_not_be_deleted(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await paused_with_a_backlog(
        hass, dropbox_server, here=["3", "4"], there=["1 (oldest)", "2"]
    )
    refuse_deletions(dropbox_server)
    await a_new_one_is_made_while_another_is_uploaded(hass, dropbox_server, entry)
    await wait_until(lambda: dropbox_server.log.count("files/delete_v2"))
    assert "New" not in in_dropbox(entry)
    dropbox_server.line = type(SLOW)()
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"1 (oldest)", "2", "4", "New"}
    problem = state_of(entry).problem
    assert problem is not None, "and it is told in the end"
    assert problem.kind is ProblemKind.NOT_WRITABLE


# Whoever asks gets an answer


def slow_to_list(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have Home Assistant's own location answer only when the event is set, as one on a network
    share may. There is no such share here.
    """
    agent = async_get_manager(hass).local_backup_agents[LOCAL_AGENT]
    listing, answers = agent.async_list_backups, asyncio.Event()

    async def list_backups(**kwargs: Any) -> list[AgentBackup]:
        await answers.wait()
        return await listing(**kwargs)

    monkeypatch.setattr(agent, "async_list_backups", list_backups)
    return answers


@pytest.mark.parametrize("end", ["reload", "unload"])
async def test_an_upload_is_answered_if_the_entry_goes_while_backups_are_listed(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    answers = slow_to_list(hass, monkeypatch)
    asked = hass.async_create_task(ask(hass, "upload", backup_ids=[backup.backup_id]))
    await asyncio.sleep(0.1)
    if end == "reload":
        await hass.config_entries.async_reload(entry.entry_id)
    else:
        await hass.config_entries.async_unload(entry.entry_id)
    answers.set()
    with pytest.raises(HomeAssistantError) as raised:
        async with asyncio.timeout(10):
            await asked
    assert raised.value.translation_key == "upload_interrupted"
    if end == "unload":
        await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: in_dropbox(entry) == {"Nightly"})  # as the answer promises


@pytest.mark.parametrize("selection", [{}, {"latest": True}])
async def test_what_was_asked_for_survives_a_reload_in_the_middle(
    hass: HomeAssistant, dropbox_server: DropboxServer, selection: dict[str, Any]
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass, "Wanted", size=LARGE)
    await wait_until_idle(hass, entry)
    dropbox_server.line = SLOW
    await ask(hass, "upload", wait=False, **selection)
    await wait_until(lambda: dropbox_server.log.count(APPEND))
    await hass.config_entries.async_reload(entry.entry_id)
    dropbox_server.line = type(SLOW)()
    await wait_until(lambda: in_dropbox(entry) == {"Wanted"})
    await wait_until_idle(hass, entry)
    notes = notes_of(entry)
    assert notes.wanted == set()
    assert not notes.everything_wanted

    await make_backup(hass, "Made later")
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"Wanted"}, "nobody asked for this one"


async def test_what_was_asked_for_and_then_deleted_does_not_come_back(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL | {CONF_KEEP: 0})
    backup = await make_backup(hass)
    await ask(hass, "upload", latest=True)
    await ask(hass, "delete", backup_ids=[backup.backup_id])
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == []


async def test_back_up_now_outlives_a_reload_before_the_worker_looks(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await wait_until_idle(hass, entry)
    with monkeypatch.context() as slow:
        set_waits(slow, debounce=60)
        await engine_of(entry).back_up()
        await wait_until(lambda: async_get_manager(hass).state is BackupManagerState.IDLE)
        await hass.async_block_till_done()
        await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: in_dropbox(entry))
    await wait_until_idle(hass, entry)
    await make_backup(hass, "Later")
    await wait_until_idle(hass, entry)
    assert len(in_dropbox(entry)) == 1, "nobody asked for this one"


# Whoever asks again and again


async def ask_again_and_again(entry: DropboxBackupConfigEntry) -> None:
    """Have a check asked for all the time, as an automation that goes wrong may."""
    while True:
        engine_of(entry).request("once more")
        await asyncio.sleep(0.02)


@pytest.fixture
async def impatient(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[DropboxBackupConfigEntry]:
    """Return an account whose worker is asked to look again more often than it can."""
    monkeypatch.setitem(RETRY_FOR, Waiter.UPLOAD, 0.2)
    dropbox_server.faults.add(Fault(FaultKind.STALL, SPACE, seconds=60, times=None))
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    asking = asyncio.create_task(ask_again_and_again(entry))
    yield entry
    asking.cancel()
    dropbox_server.faults.clear()


@pytest.mark.parametrize("size", [0, LARGE], ids=["small", "large"])
async def test_a_backup_arrives_though_somebody_asks_for_a_check_all_the_time(
    hass: HomeAssistant, impatient: DropboxBackupConfigEntry, size: int
) -> None:
    await make_backup(hass, size=size)
    await wait_until(lambda: in_dropbox(impatient) == {"Nightly"})


async def test_a_check_ends_though_somebody_asks_for_another_all_the_time(
    impatient: DropboxBackupConfigEntry,
) -> None:
    last = state_of(impatient).last_check
    await wait_until(lambda: state_of(impatient).last_check != last)
