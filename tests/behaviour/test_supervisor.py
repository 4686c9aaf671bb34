"""Backups of a Supervisor, whoever had it make them, under Home Assistant's real `hassio`."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from homeassistant.components.backup import CreateBackupEvent, async_get_manager
from homeassistant.components.backup.manager import (
    BackupManagerState,
    CreateBackupState,
    IdleEvent,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id, issue_registry as ir
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.const import (
    CONF_CHUNKS_AT_ONCE,
    CONF_KEEP,
    DEFAULT_FOLDER,
    DOMAIN,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.decide.models import BackupId
from custom_components.dropbox_backup.sync.local import backups
from custom_components.dropbox_backup.sync.local.supervisor import has_made_backups
from custom_components.dropbox_backup.sync.local.supervisor_files import SupervisorFile
from custom_components.dropbox_backup.sync.report.state import ProblemKind, Status
from custom_components.dropbox_backup.sync.requests import Selection
from tests.support.account import (
    APPEND,
    ASKED,
    MIB,
    archives,
    engine_of,
    let_it_have_failed_for_an_hour,
    notes_of,
    problem_of,
    put_backup,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    use_key,
    wait_for_an_archive,
    wait_until,
    wait_until_idle,
)
from tests.support.backup_page import OpenPage, last_result, own_agents
from tests.support.dropbox_server import DropboxServer, Fault as DropboxFault, FaultKind, Line
from tests.support.english import ENGLISH
from tests.support.supervisor import CLOUD, LOCAL, Contents, Fault, StoredBackup, Supervisor, parts
from tests.support.waits import set_waits

pytestmark = pytest.mark.usefixtures("quick_worker")

SUPERVISOR_AGENT = "hassio.local"


def is_in_dropbox(server: DropboxServer, backup: StoredBackup) -> bool:
    """Tell whether Dropbox holds the one archive, byte for byte."""
    files = server.account.files
    return [files.read(path) for path in archives(server)] == [backup.path().read_bytes()]


async def test_a_backup_that_home_assistant_has_supervisor_make_arrives_byte_for_byte(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()

    events = await page.make(SUPERVISOR_AGENT)
    # Supervisor's job may end a moment later.
    await wait_for_an_archive(hass, entry, dropbox_server)

    assert last_result(events) == ("completed", None)
    (backup,) = supervisor.store.backups.values()
    assert is_in_dropbox(dropbox_server, backup)
    assert set((await page.the_backup())["agents"]) == {SUPERVISOR_AGENT, *own_agents(hass)}


@pytest.mark.parametrize(
    ("service", "data"), [("backup_full", {}), ("backup_partial", {"homeassistant": True})]
)
async def test_a_backup_that_an_automation_makes_through_supervisor_arrives(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    service: str,
    data: dict[str, Any],
) -> None:
    entry = await set_up_entry(hass, dropbox_server)

    answer = await hass.services.async_call(
        "hassio",
        service,
        {"name": "From an automation", **data},
        blocking=True,
        return_response=True,
    )
    await wait_until_idle(hass, entry)

    assert answer is not None
    assert is_in_dropbox(dropbox_server, supervisor.store.get(str(answer["backup"])))


async def test_the_backup_before_the_update_of_an_app_arrives(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()

    await page.ask("hassio/update/addon", addon="core_mosquitto", backup=True)
    await wait_until_idle(hass, entry)

    (backup,) = supervisor.store.backups.values()
    assert is_in_dropbox(dropbox_server, backup)
    (remote,) = state_of(entry).backups
    assert remote.backup.extra_metadata["supervisor.addon_update"] == "core_mosquitto"
    assert not remote.backup.homeassistant_included


async def test_a_backup_of_supervisors_command_line_arrives_with_all_that_is_known_of_it(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)

    backup = await supervisor.make_backup(
        Contents(addons=("core_ssh",), folders=("addons/local", "ssl"), filling=2 * MIB)
    )
    await wait_until_idle(hass, entry)

    assert backup.path().stat().st_size > 8 * MIB
    assert is_in_dropbox(dropbox_server, backup)
    (remote,) = state_of(entry).backups
    assert remote.verified
    assert [addon.slug for addon in remote.backup.addons] == ["core_ssh"]
    assert [folder.value for folder in remote.backup.folders] == ["addons/local", "ssl"]


async def test_a_backup_that_supervisor_has_encrypted_arrives_as_it_is(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, "another one")

    backup = await supervisor.make_backup(Contents(password="correct horse"))
    await wait_until_idle(hass, entry)

    assert is_in_dropbox(dropbox_server, backup)
    assert state_of(entry).backups[0].backup.protected


async def test_a_plain_backup_of_supervisor_is_encrypted_on_its_way_and_can_be_read_again(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    use_key(hass, "correct horse")

    backup = await supervisor.make_backup(Contents(addons=("core_ssh",), filling=MIB))
    await wait_until_idle(hass, entry)

    (remote,) = state_of(entry).backups
    assert remote.backup.protected
    (agent_id,) = own_agents(hass)
    _, data = await page.download(backup.slug, agent_id, "correct horse")
    assert parts(data) == parts(backup.path().read_bytes())


async def test_what_is_encrypted_on_its_way_from_supervisor_goes_on_after_a_restart(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    use_key(hass, "correct horse")
    stall = dropbox_server.faults.add(DropboxFault(FaultKind.STALL, APPEND, skip=4, seconds=1))
    backup = await supervisor.make_backup(
        Contents(addons=("core_ssh", "core_samba"), filling=9 * MIB)
    )
    await wait_until(lambda: stall.applied)
    await asyncio.sleep(0.5)  # the chunks beside the stalled one arrive
    await shut_down(hass, entry)
    dropbox_server.log.clear()

    await start_again(hass, entry)
    assert [one.verified is not None for one in state_of(entry).backups] == [True]
    chunks = -(-state_of(entry).backups[0].file.size // (4 * MIB))
    assert dropbox_server.log.count(APPEND) <= chunks - 4
    (agent_id,) = own_agents(hass)
    _, data = await page.download(backup.slug, agent_id, "correct horse")
    assert parts(data) == parts(backup.path().read_bytes())


async def stopped_in_the_middle(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> tuple[DropboxBackupConfigEntry, StoredBackup]:
    """Begin to upload a backup, and stop as if Home Assistant were killed; most of it arrived."""
    entry = await set_up_entry(hass, dropbox_server, options={CONF_CHUNKS_AT_ONCE: 1})
    dropbox_server.faults.add(DropboxFault(FaultKind.STALL, APPEND, skip=4, seconds=60, times=None))
    backup = await supervisor.make_backup(
        Contents(addons=("core_ssh", "core_samba"), filling=9 * MIB)
    )
    sessions = notes_of(entry).sessions
    await wait_until(lambda: [one.arrived for one in sessions.values()] == [4])
    await shut_down(hass, entry)
    dropbox_server.faults.clear()
    dropbox_server.log.clear()
    supervisor.read_from.clear()
    return entry, backup


async def test_of_a_backup_of_supervisor_only_what_has_not_arrived_is_read_after_a_restart(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry, backup = await stopped_in_the_middle(hass, dropbox_server, supervisor)

    await start_again(hass, entry)

    assert is_in_dropbox(dropbox_server, backup)
    assert [one.verified is not None for one in state_of(entry).backups] == [True]
    [start] = supervisor.read_from
    assert start >= 4 * 4 * MIB
    chunks = -(-state_of(entry).backups[0].file.size // (4 * MIB))
    assert dropbox_server.log.count(APPEND) <= chunks - 4


@pytest.mark.parametrize("when", ["meanwhile", "right before it is read on"])
async def test_an_archive_of_supervisor_that_was_replaced_is_not_mixed_with_what_was_sent(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    """By one of the same size, which says the same of itself."""
    entry, backup = await stopped_in_the_middle(hass, dropbox_server, supervisor)

    def replace() -> None:
        data = bytearray(backup.path().read_bytes())
        data[5 * MIB] ^= 1  # in what has arrived
        backup.path().write_bytes(data)

    if when == "meanwhile":
        replace()
    else:
        look = SupervisorFile.look

        async def looked(self: SupervisorFile) -> str:
            etag = await look(self)
            monkeypatch.setattr(SupervisorFile, "look", look)
            replace()
            return etag

        monkeypatch.setattr(SupervisorFile, "look", looked)

    await start_again(hass, entry)
    if when != "meanwhile":
        assert archives(dropbox_server) == []
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
        await wait_for_an_archive(hass, entry, dropbox_server)

    assert is_in_dropbox(dropbox_server, backup)
    assert [one.verified is not None for one in state_of(entry).backups] == [True]
    assert 0 in supervisor.read_from


async def test_a_backup_in_two_locations_is_fetched_and_uploaded_once(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    supervisor.add_mount("nas")
    entry = await set_up_entry(hass, dropbox_server)
    assert "hassio.nas" in async_get_manager(hass).backup_agents

    backup = await supervisor.make_backup(Contents(), LOCAL, "nas")
    await wait_until_idle(hass, entry)

    assert is_in_dropbox(dropbox_server, backup)
    assert supervisor.downloads(backup.slug) == 1


async def test_a_backup_that_lies_only_on_a_network_share_arrives(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    supervisor.add_mount("nas")
    entry = await set_up_entry(hass, dropbox_server)

    backup = await supervisor.make_backup(Contents(), "nas")
    await wait_until_idle(hass, entry)

    assert is_in_dropbox(dropbox_server, backup)


@pytest.fixture
def unhurried_worker(quick_worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Home Assistant ask for Supervisor's locations while the worker waits, for a second in
    real life.
    """
    set_waits(monkeypatch, debounce=0.3)


@pytest.mark.usefixtures("unhurried_worker")
async def test_backups_on_a_network_share_that_is_connected_later_arrive(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    supervisor.store.add_location("nas")
    backup = await supervisor.make_backup(Contents(), "nas")
    await wait_until_idle(hass, entry)
    assert not archives(dropbox_server)

    supervisor.add_mount("nas")
    await wait_until_idle(hass, entry)

    assert is_in_dropbox(dropbox_server, backup)


async def test_a_backup_that_ends_while_supervisor_is_asked_about_it_arrives(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    asked, answers = asyncio.Event(), asyncio.Event()

    async def answer_slowly(hass: HomeAssistant) -> bool:
        asked.set()
        await answers.wait()
        return await has_made_backups(hass)

    monkeypatch.setattr(backups, "has_made_backups", answer_slowly)
    manager = async_get_manager(hass)
    manager.async_on_backup_event(
        CreateBackupEvent(reason=None, stage=None, state=CreateBackupState.IN_PROGRESS)
    )
    engine_of(entry).request("in the middle of a backup")
    await asked.wait()
    backup = await supervisor.make_backup(Contents())
    manager.async_on_backup_event(IdleEvent())
    answers.set()
    await wait_until(lambda: is_in_dropbox(dropbox_server, backup))
    await wait_until_idle(hass, entry)


@pytest.mark.parametrize("heard", [True, False])
async def test_a_supervisor_that_starts_after_home_assistant_is_asked_for_its_locations_by_us(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    late_supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    heard: bool,
) -> None:
    set_waits(monkeypatch, between_questions=0.2)
    first = await asyncio.to_thread(late_supervisor.store.make, Contents(), [LOCAL])
    entry = await set_up_entry(hass, dropbox_server)
    problem = problem_of(entry)
    assert ENGLISH.of(*problem.reasons).endswith("Supervisor (it does not answer)")
    assert state_of(entry).status is Status.RETRYING
    if not heard:
        monkeypatch.setattr(late_supervisor, "on_event", lambda _event: None)

    await late_supervisor.start()
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert SUPERVISOR_AGENT not in async_get_manager(hass).backup_agents, "it never asks again"
    assert is_in_dropbox(dropbox_server, first)
    assert state_of(entry).status is Status.UP_TO_DATE
    assert state_of(entry).problem is None

    second = await late_supervisor.make_backup(Contents(name="Second"))
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    assert [one.verified is not None for one in state_of(entry).backups] == [True, True]
    assert {one.backup.backup_id for one in state_of(entry).backups} == {first.slug, second.slug}

    if not heard:
        return
    # Once Home Assistant has asked for itself, it is asked no more by us.
    late_supervisor.add_mount("nas")
    await hass.async_block_till_done()
    asked = late_supervisor.requests.count("GET mounts")
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    assert SUPERVISOR_AGENT in async_get_manager(hass).backup_agents
    assert late_supervisor.requests.count("GET mounts") == asked


async def test_a_supervisor_that_is_still_starting_is_away(
    hass: HomeAssistant, dropbox_server: DropboxServer, late_supervisor: Supervisor
) -> None:
    await late_supervisor.start(ready=False)
    backup = await asyncio.to_thread(late_supervisor.store.make, Contents(), [LOCAL])
    entry = await set_up_entry(hass, dropbox_server)
    problem = problem_of(entry)
    assert "it is just starting or stopping" in ENGLISH.of(*problem.reasons)
    assert state_of(entry).alarm is None

    late_supervisor.ready()
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert is_in_dropbox(dropbox_server, backup)


@pytest.mark.parametrize("password", [None, "correct horse"])
@pytest.mark.parametrize("how", ["in order", "at once"])
@pytest.mark.usefixtures("supervisor_breaks_off")
async def test_a_restart_of_supervisor_in_mid_upload_is_no_alarm_and_the_upload_goes_on(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    caplog: pytest.LogCaptureFixture,
    how: str,
    password: str | None,
) -> None:
    # Little is under way at once: most of the archive is still to be read.
    entry = await set_up_entry(hass, dropbox_server, options={CONF_CHUNKS_AT_ONCE: 2})
    use_key(hass, password)
    told: list[str] = []
    engine_of(entry).subscribe(lambda event: told.append(event.kind))
    dropbox_server.line = Line(upload_total=4 * MIB * 8)  # a chunk a second
    making = asyncio.create_task(supervisor.make_backup(Contents(filling=16 * MIB)))
    await wait_until(lambda: dropbox_server.log.count(APPEND) > 1)
    await making
    await (supervisor.stop() if how == "in order" else supervisor.kill())
    await wait_until_idle(hass, entry)

    assert not archives(dropbox_server)
    assert state_of(entry).status is Status.RETRYING
    assert state_of(entry).alarm is None
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.LOCATION_UNREACHABLE
    assert "This system" in ENGLISH.of(*problem.reasons)
    for raw in ("payload", "ContentLength", "ServerDisconnected", "400"):
        assert raw not in ENGLISH.of(*problem.reasons)
    assert told == []

    dropbox_server.line = Line()
    await supervisor.start()
    await wait_for_an_archive(hass, entry, dropbox_server)
    [remote] = state_of(entry).backups
    assert remote.verified
    assert remote.backup.protected == bool(password)
    assert state_of(entry).status is Status.UP_TO_DATE
    assert told == ["uploaded"]
    assert "Unexpected error while checking" not in caplog.text


@pytest.mark.parametrize("status", [None, 500, 503])
async def test_a_supervisor_that_is_away_is_no_error_and_its_backups_arrive_when_it_is_back(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    caplog: pytest.LogCaptureFixture,
    status: int | None,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    away = Fault("backups*", status=status or 0, times=None)
    if status is None:
        # Made while nobody listens, like one that somebody copies to where the backups lie.
        backup = await asyncio.to_thread(supervisor.store.make, Contents(), [LOCAL])
        await supervisor.stop()
        engine_of(entry).request("time for a check")
    else:
        supervisor.faults.append(away)
        backup = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    assert not archives(dropbox_server)
    assert "Unexpected error while checking" not in caplog.text

    if status is None:
        await supervisor.start()
    supervisor.faults.clear()
    engine_of(entry).request("Supervisor is back")
    await wait_until_idle(hass, entry)
    assert is_in_dropbox(dropbox_server, backup)


async def test_backups_arrive_although_home_assistant_waits_for_one_that_died_with_supervisor(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    await set_up_entry(hass, dropbox_server)
    page = await open_page()
    supervisor.packing.clear()
    await page.ask(
        "backup/generate",
        agent_ids=[SUPERVISOR_AGENT],
        include_homeassistant=True,
        include_database=False,
        include_folders=[],
        include_all_addons=False,
        include_addons=[],
        name="Never made",
    )
    await wait_until(lambda: supervisor.state == "freeze")
    await supervisor.kill()
    supervisor.packing.set()
    backup = await asyncio.to_thread(supervisor.store.make, Contents(), [LOCAL])

    await supervisor.start()
    await wait_until(lambda: archives(dropbox_server))
    assert is_in_dropbox(dropbox_server, backup)
    manager = async_get_manager(hass)
    assert manager.state is BackupManagerState.CREATE_BACKUP, "it waits for ever"
    assert manager._backup_finish_task is not None
    manager._backup_finish_task.cancel()  # as when Home Assistant stops
    with suppress(asyncio.CancelledError):
        await manager._backup_finish_task


@pytest.mark.parametrize("status", [400, 500, 502, 503])
async def test_a_location_that_refuses_a_backup_for_a_moment_is_away_and_asked_again(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor, status: int
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    refusing = Fault("backups/*/download", status=status, times=None)
    supervisor.faults.append(refusing)
    backup = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.LOCATION_UNREACHABLE
    assert "on purpose" not in ENGLISH.of(*problem.reasons)
    assert state_of(entry).status is Status.RETRYING
    assert state_of(entry).alarm is None

    let_it_have_failed_for_an_hour(entry)
    assert state_of(entry).alarm == problem, "what lasts is told"

    refusing.times = refusing.applied
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    assert is_in_dropbox(dropbox_server, backup)
    assert state_of(entry).alarm is None


async def test_a_backup_whose_file_has_vanished_is_no_problem(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    gone = await supervisor.make_backup(Contents())
    # Supervisor lists what it knows, and notices only when it is fetched.
    await asyncio.to_thread(gone.path().unlink)
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    assert state_of(entry).problem is None
    assert state_of(entry).waiting == ()
    assert not supervisor.store.backups


@pytest.mark.parametrize("password", [None, "correct horse"])
@pytest.mark.usefixtures("supervisor_breaks_off")
async def test_a_transfer_from_supervisor_that_breaks_off_leaves_nothing_half_and_is_repeated(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    caplog: pytest.LogCaptureFixture,
    password: str | None,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, password)
    supervisor.faults.append(Fault("backups/*/download", cut_after=5 * MIB))

    broken = await supervisor.make_backup(Contents(name="Broken", filling=4 * MIB))
    await wait_until_idle(hass, entry)

    assert not archives(dropbox_server)
    problem = problem_of(entry)
    assert problem.kind is ProblemKind.LOCATION_UNREACHABLE
    assert state_of(entry).alarm is None
    assert [one.backup.name for one in state_of(entry).waiting] == ["Broken"]
    assert "Unexpected error while checking" not in caplog.text

    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert password or is_in_dropbox(dropbox_server, broken)
    [remote] = state_of(entry).backups
    assert remote.verified
    assert remote.backup.protected == bool(password)
    assert state_of(entry).problem is None


async def test_a_backup_that_supervisor_deletes_before_it_is_fetched_does_not_stop_others(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    gone = await supervisor.make_backup(Contents(name="Gone", date="2026-11-06T04:45:00+00:00"))
    supervisor.faults.append(Fault(f"backups/{gone.slug}/download", status=404))
    other = await supervisor.make_backup(Contents(name="Other"))

    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)

    assert is_in_dropbox(dropbox_server, other)
    assert state_of(entry).status is Status.UP_TO_DATE
    assert state_of(entry).waiting == ()


async def test_home_assistant_uploads_a_backup_that_goes_only_to_dropbox(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()

    events = await page.make(*own_agents(hass))
    await wait_until_idle(hass, entry)

    assert last_result(events) == ("completed", None)
    assert len(archives(dropbox_server)) == 1
    assert not supervisor.store.backups, "what Supervisor kept for the upload is gone"
    assert list((await page.the_backup())["agents"]) == own_agents(hass)


async def test_a_backup_is_restored_from_dropbox_through_supervisor(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    backup = await supervisor.make_backup(Contents(filling=3 * MIB))
    await wait_until_idle(hass, entry)
    archive = backup.path().read_bytes()
    supervisor.store.remove(backup.slug)

    (agent_id,) = own_agents(hass)
    await page.ask(
        "backup/restore", backup_id=backup.slug, agent_id=agent_id, restore_database=False
    )

    assert [one["slug"] for one in supervisor.restored] == [backup.slug]
    assert supervisor.store.get(backup.slug).path(CLOUD).read_bytes() == archive
    await wait_until_idle(hass, entry)


async def test_a_damaged_backup_never_gets_into_supervisor(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    backup = await supervisor.make_backup(Contents(filling=3 * MIB))
    await wait_until_idle(hass, entry)
    supervisor.store.remove(backup.slug)
    dropbox_server.faults.add(
        DropboxFault(FaultKind.CORRUPT_DOWNLOAD, "files/download", after_bytes=1000)
    )

    (agent_id,) = own_agents(hass)
    answer = await page.send(
        "backup/restore", backup_id=backup.slug, agent_id=agent_id, restore_database=False
    )

    assert not answer["success"]
    assert not supervisor.restored
    assert not supervisor.store.backups
    assert async_get_manager(hass).state is BackupManagerState.IDLE
    await wait_until_idle(hass, entry)


async def test_what_we_uploaded_for_supervisor_is_ours_also_when_the_catalog_is_lost(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    old = await supervisor.make_backup(Contents(name="Old"))
    await wait_until_idle(hass, entry)
    foreign = put_backup(dropbox_server, "Nobody knows whose")
    dropbox_server.account.files.delete(f"{DEFAULT_FOLDER}/{CATALOG_NAME}")
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    us = await instance_id.async_get(hass)
    owners = {one.backup.backup_id: one.owner for one in state_of(entry).backups}
    assert owners == {old.slug: us, foreign: None}

    new = await supervisor.make_backup(Contents(name="New", date="2026-11-06T04:45:00+00:00"))
    await wait_until_idle(hass, entry)

    left = {one.backup.backup_id for one in state_of(entry).backups}
    assert left == {new.slug, foreign}, "retention takes ours and leaves what may be anybody's"


async def test_events_of_supervisor_about_other_things_start_no_check(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    for event in (
        {},
        {"event": "job"},
        {"event": "job", "data": None},
        {"event": "job", "data": {"name": None, "done": True}},
        {"event": "job", "data": {"name": "addon_update", "done": True}},
        {"event": "job", "data": {"name": "backup_manager_full_backup", "done": False}},
        {"event": "supervisor_update", "data": {}},
    ):
        async_dispatcher_send(hass, "supervisor_event", event)
    assert engine_of(entry).idle

    ended = {"event": "job", "data": {"name": "backup_manager_full_backup", "done": True}}
    async_dispatcher_send(hass, "supervisor_event", ended)
    assert not engine_of(entry).idle, "the one that is about a backup does"
    await wait_until_idle(hass, entry)


async def test_what_the_user_deleted_from_dropbox_stays_deleted_when_supervisor_was_away(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    await engine_of(entry).delete([BackupId(backup.slug)], ASKED)

    away = Fault("backups")
    supervisor.faults.append(away)
    for reason in ("Supervisor is away", "Supervisor is back"):
        engine_of(entry).request(reason)
        await wait_until_idle(hass, entry)

    assert away.applied
    assert archives(dropbox_server) == []


async def test_a_supervisor_that_is_away_is_asked_again_within_minutes(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    supervisor.faults.append(Fault("backups"))
    backup = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    assert state_of(entry).status is Status.RETRYING

    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert is_in_dropbox(dropbox_server, backup)
    assert state_of(entry).status is Status.UP_TO_DATE


async def test_what_is_asked_for_outlives_a_supervisor_that_falls_silent_during_an_upload(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    wanted = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    await engine_of(entry).delete([BackupId(wanted.slug)], ASKED)

    upload = dropbox_server.faults.add(
        DropboxFault(FaultKind.STALL, "files/upload", seconds=60, times=1)
    )
    await supervisor.make_backup(Contents(name="Another"))
    await wait_until(lambda: upload.applied)
    supervisor.faults.append(Fault("backups", times=None))
    selection = Selection(ids=frozenset({BackupId(wanted.slug)}))
    asked = engine_of(entry).request("asked for", selection)
    upload.take_out()
    await wait_until_idle(hass, entry)
    [outcome] = (await asked).values()
    assert outcome.error
    assert "This system" in ENGLISH.of(outcome.error)
    assert state_of(entry).status is Status.RETRYING
    assert len(archives(dropbox_server)) == 1

    supervisor.faults.clear()
    engine_of(entry).request("Supervisor is back")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 2


async def test_a_silent_location_is_named_as_what_it_is_and_alarms_after_an_hour(
    hass: HomeAssistant, dropbox_server: DropboxServer, supervisor: Supervisor
) -> None:
    await async_setup_component(hass, "repairs", {})
    entry = await set_up_entry(hass, dropbox_server)
    supervisor.faults.append(Fault("backups", times=None))
    engine_of(entry).request("Supervisor is away")
    await wait_until_idle(hass, entry)
    problem = problem_of(entry)
    assert problem.kind.value == "location_unreachable"
    assert "This system" in ENGLISH.of(*problem.reasons)
    assert "Dropbox" not in ENGLISH.of(*problem.reasons)
    assert state_of(entry).alarm is None, "for a while that is everyday life"

    let_it_have_failed_for_an_hour(entry)
    assert state_of(entry).alarm == problem
    issue_id = f"location_unreachable_{entry.entry_id}"
    assert (DOMAIN, issue_id) in ir.async_get(hass).issues

    supervisor.faults.clear()
    engine_of(entry).request("Supervisor is back")
    await wait_until_idle(hass, entry)
    assert state_of(entry).problem is None
    assert (DOMAIN, issue_id) not in ir.async_get(hass).issues
