"""Dropbox as a location of Home Assistant's own backups, seen from its page of backups."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from copy import deepcopy
from datetime import timedelta
from http import HTTPStatus
import io
import json
from pathlib import Path
import random
import tarfile
from typing import Any

import aiohttp
from homeassistant.components.backup import (
    AgentBackup,
    BackupAgent,
    BackupAgentError,
    BackupNotFound,
    async_get_manager,
)
from homeassistant.components.backup.config import AgentParametersDict
from homeassistant.components.backup.manager import BackupManagerState
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import MAJOR_VERSION, MINOR_VERSION
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    async_fire_time_changed,
    async_mock_service,
)

from custom_components.dropbox_backup.const import (
    DEFAULT_FOLDER,
    DOMAIN,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.archive.metadata import backup_from_json
from custom_components.dropbox_backup.sync.requests import Selection
from custom_components.dropbox_backup.sync.storage.notes import Notes
from custom_components.dropbox_backup.sync.storage.notes_format import write_notes
from tests.support.account import (
    LOCAL_AGENT,
    MANUAL,
    MIB,
    archives,
    engine_of,
    entity,
    local_backups,
    local_path,
    make_backup,
    notes_of,
    put_backup,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    storage_key,
    tell,
    the_archive,
    use_key,
    wait_until,
    wait_until_idle,
)
from tests.support.backup_page import BackupPage, OpenPage, last_result, own_agents
from tests.support.core_archives import archive, tar_of
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")

PASSWORD = "correct horse"


@pytest.fixture
def expected_lingering_timers() -> bool:
    """Home Assistant 2026.10 forgets a timer of its own when an upload fails."""
    return (MAJOR_VERSION, MINOR_VERSION) < (2026, 11)


@pytest.fixture
async def entry(hass: HomeAssistant, dropbox_server: DropboxServer) -> DropboxBackupConfigEntry:
    """Sign in, and leave all uploads to Home Assistant."""
    return await set_up_entry(hass, dropbox_server, options=MANUAL)


@pytest.fixture
async def page(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    open_page: OpenPage,
) -> BackupPage:
    """Open the page of backups."""
    return await open_page()


@pytest.fixture
def dropbox(page: BackupPage, hass: HomeAssistant) -> str:
    """Return the id of our location."""
    (agent_id,) = own_agents(hass)
    return agent_id


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try nothing twice: an upload through Home Assistant tries for an hour."""
    try_once(monkeypatch)


def fill(hass: HomeAssistant, size: int) -> None:
    """Make the next backups that large: no compression makes noise smaller."""
    Path(hass.config.path("filling.bin")).write_bytes(random.Random(size).randbytes(size))


def inner(archive: bytes, size: int = -1) -> bytes:
    """Return the archive of Home Assistant within a backup."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:
        name = next(one for one in outer.getnames() if "homeassistant.tar" in one)
        file = outer.extractfile(name)
        assert file is not None
        return file.read(size)


# The location


async def test_every_account_is_a_location_named_after_it_as_long_as_it_is_loaded(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    page: BackupPage,
) -> None:
    bob = dropbox_server.add_account(DropboxAccount("bob@example.com", "Bob"))
    second = await set_up_entry(hass, dropbox_server, account=bob)

    async def names() -> set[str]:
        agents = (await page.ask("backup/agents/info"))["agents"]
        return {one["name"] for one in agents if one["agent_id"].startswith(f"{DOMAIN}.")}

    assert await names() == {"Ada Example", "Bob"}
    await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    assert await names() == {"Bob"}
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert await names() == {"Ada Example", "Bob"}
    await hass.config_entries.async_remove(second.entry_id)
    await hass.async_block_till_done()
    assert await names() == {"Ada Example"}


async def test_the_id_of_the_location_tells_nothing_of_the_account_and_outlives_the_entry(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    before = own_agents(hass)
    account_id = dropbox_server.account.account_id
    assert account_id.removeprefix("dbid:")[:8] not in before[0]

    await hass.config_entries.async_remove(entry.entry_id)
    await set_up_entry(hass, dropbox_server)

    assert own_agents(hass) == before


# Making backups


async def test_a_backup_only_for_dropbox_arrives_with_its_metadata_and_can_be_downloaded(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    fill(hass, 5 * MIB)

    events = await page.make(dropbox)

    assert last_result(events) == ("completed", None)
    assert await local_backups(hass) == []
    backup = await page.the_backup()
    assert backup["name"] == "Nightly"
    assert backup["failed_agent_ids"] == []
    archive = the_archive(dropbox_server)
    assert backup["agents"] == {dropbox: {"protected": False, "size": len(archive)}}
    details = await page.ask("backup/details", backup_id=backup["backup_id"])
    assert details["backup"] == backup
    assert await page.download(backup["backup_id"], dropbox) == (HTTPStatus.OK, archive)


async def test_a_backup_for_both_locations_is_the_same_in_both(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    events = await page.make(LOCAL_AGENT, dropbox)

    assert last_result(events) == ("completed", None)
    backup = await page.the_backup()
    assert set(backup["agents"]) == {LOCAL_AGENT, dropbox}
    local = async_get_manager(hass).local_backup_agents[LOCAL_AGENT]
    assert the_archive(dropbox_server) == local.get_backup_path(backup["backup_id"]).read_bytes()


async def test_the_progress_of_an_upload_is_shown_up_to_the_last_byte(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    fill(hass, 9 * MIB)
    # Home Assistant tells at most one step a second.
    dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=1.2, skip=1)
    )

    events = await page.make(dropbox)

    steps = [one for one in events if one.get("agent_id") == dropbox]
    sent = [one["uploaded_bytes"] for one in steps]
    assert {one["total_bytes"] for one in steps} == {len(the_archive(dropbox_server))}
    assert sent == sorted(sent)
    assert sent[-1] == steps[-1]["total_bytes"]
    assert any(0 < one < sent[-1] for one in sent)


async def test_a_backup_with_a_password_is_encrypted_in_dropbox_and_decrypted_for_a_download(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    fill(hass, MIB)

    events = await page.make(LOCAL_AGENT, dropbox, password=PASSWORD)

    assert last_result(events) == ("completed", None)
    backup = await page.the_backup()
    assert backup["agents"][dropbox]["protected"]
    assert inner(the_archive(dropbox_server), 9) == b"SecureTar"
    status, data = await page.download(backup["backup_id"], dropbox, PASSWORD)
    assert status == HTTPStatus.OK
    assert inner(data, 2) == b"\x1f\x8b", "gzip"
    with tarfile.open(fileobj=io.BytesIO(inner(data))) as archive:
        filling = archive.extractfile("data/filling.bin")
        assert filling is not None
        assert filling.read() == Path(hass.config.path("filling.bin")).read_bytes()


async def test_encryption_can_be_switched_off_for_dropbox_alone(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    async_get_manager(hass).config.update(
        agents={dropbox: AgentParametersDict(protected=False, retention=None)}
    )

    await page.make(LOCAL_AGENT, dropbox, password=PASSWORD)

    backup = await page.the_backup()
    protected = {name: one["protected"] for name, one in backup["agents"].items()}
    assert protected == {LOCAL_AGENT: True, dropbox: False}
    assert inner(the_archive(dropbox_server), 2) == b"\x1f\x8b", "gzip"


async def test_an_archive_that_a_person_uploads_arrives_as_it_is(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    await page.make(LOCAL_AGENT, name="Elsewhere")
    (made,) = await local_backups(hass)
    archive = local_path(hass, made).read_bytes()

    assert await page.upload(archive, dropbox) == made.backup_id

    assert the_archive(dropbox_server) == archive
    assert dropbox in (await page.the_backup())["agents"]


@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_the_same_backup_is_sent_once_when_home_assistant_and_the_worker_both_want_it(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
    password: str | None,
) -> None:
    hass.config_entries.async_update_entry(entry, options={})  # upload automatically
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    use_key(hass, password)
    dropbox_server.log.clear()

    await page.make(LOCAL_AGENT, dropbox, password=password)
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 1
    uploads = [str(one.argument) for one in dropbox_server.log.of("files/upload")]
    assert len([one for one in uploads if ".tar" in one]) == 1, uploads


async def test_two_uploads_of_one_backup_at_once_are_one(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    entry: DropboxBackupConfigEntry,
) -> None:
    made = await make_backup(hass, size=5 * MIB)
    path = local_path(hass, made)
    dropbox_server.log.clear()

    async def upload() -> None:
        async def stream() -> AsyncBytes:
            return AsyncBytes(path.read_bytes())

        await engine_of(entry).upload_for_home_assistant(made, stream, lambda _: None)

    await asyncio.gather(upload(), upload())

    assert the_archive(dropbox_server) == path.read_bytes()
    assert dropbox_server.log.count("files/upload_session/finish") == 1


class AsyncBytes:
    """Bytes as Home Assistant hands them out."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> AsyncBytes:
        return self

    async def __anext__(self) -> bytes:
        if not self._data:
            raise StopAsyncIteration
        piece, self._data = self._data[:MIB], self._data[MIB:]
        return piece


# What can go wrong


type Trouble = Callable[[DropboxServer], None]


def fill_up(server: DropboxServer) -> None:
    server.account.quota = server.account.used


def refuse_sign_in(server: DropboxServer) -> None:
    server.tokens.revoke_all()


def go_away(server: DropboxServer) -> None:
    server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, "*", times=None))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("trouble", "key"),
    [(fill_up, "dropbox_full"), (refuse_sign_in, "sign_in_needed"), (go_away, "dropbox_error")],
)
async def test_an_upload_that_fails_is_said_and_leaves_the_local_backup_whole(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    caplog: pytest.LogCaptureFixture,
    trouble: Trouble,
    key: str,
) -> None:
    trouble(dropbox_server)

    events = await page.make(LOCAL_AGENT, dropbox)

    assert last_result(events) == ("failed", "upload_failed")
    backup = await page.the_backup()
    assert backup["failed_agent_ids"] == [dropbox]
    assert list(backup["agents"]) == [LOCAL_AGENT]
    status, data = await page.download(backup["backup_id"], LOCAL_AGENT)
    assert status == HTTPStatus.OK
    assert inner(data)
    assert archives(dropbox_server) == []
    assert f"Upload failed for {dropbox}: " in caplog.text
    assert "Unexpected error" not in caplog.text
    flows = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    wanted = [SOURCE_REAUTH] if key == "sign_in_needed" else []
    assert [one["context"]["source"] for one in flows] == wanted


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("trouble", "key"),
    [(refuse_sign_in, "sign_in_needed"), (go_away, "dropbox_error")],
)
async def test_a_backup_that_can_not_be_deleted_is_said_to_and_stays(
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    trouble: Trouble,
    key: str,
) -> None:
    await page.make(dropbox)
    backup = await page.the_backup()
    trouble(dropbox_server)

    result = await page.ask("backup/delete", backup_id=backup["backup_id"])

    assert dropbox in result["agent_errors"]
    if translations := result.get("agent_error_translations"):  # since Home Assistant 2026.11
        assert translations[dropbox]["translation_key"] == key
        assert translations[dropbox]["translation_domain"] == DOMAIN
    dropbox_server.faults.clear()
    assert len(archives(dropbox_server)) == 1
    assert list(await page.backups()) == [backup["backup_id"]]


async def test_a_deleted_backup_is_gone_from_dropbox_and_from_the_page(
    dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    await page.make(dropbox)
    backup = await page.the_backup()

    result = await page.ask("backup/delete", backup_id=backup["backup_id"])

    assert result["agent_errors"] == {}
    assert archives(dropbox_server) == []
    assert await page.backups() == {}


async def test_home_assistant_deletes_nobodys_own_copy_but_its_action_does(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    """Its own retention asks as the page does: no one can tell the two apart."""
    await page.make(dropbox)
    backup = await page.the_backup()
    files = dropbox_server.account.files
    copy = f"{DEFAULT_FOLDER}/KEEP ME (before the renovation).tar"
    files.move(archives(dropbox_server)[0], copy)
    [entry] = hass.config_entries.async_loaded_entries(DOMAIN)
    engine_of(entry).request("test")
    await wait_until(
        lambda: [one.file.name for one in state_of(entry).backups] == [Path(copy).name]
    )
    await wait_until_idle(hass, entry)

    result = await page.ask("backup/delete", backup_id=backup["backup_id"])

    assert dropbox in result["agent_errors"]
    assert archives(dropbox_server) == [copy]
    await hass.services.async_call(
        DOMAIN, "delete", {"backup_ids": [backup["backup_id"]]}, blocking=True
    )
    assert archives(dropbox_server) == []


async def test_a_backup_that_somebody_else_deleted_can_be_deleted(
    dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    await page.make(dropbox)
    backup = await page.the_backup()
    dropbox_server.account.files.delete(archives(dropbox_server)[0])

    result = await page.ask("backup/delete", backup_id=backup["backup_id"])

    assert result["agent_errors"] == {}
    assert await page.backups() == {}


async def test_a_backup_that_home_assistant_stops_sending_is_said_so(
    hass: HomeAssistant, dropbox: str
) -> None:
    backup = await make_backup(hass)

    async def broken() -> AsyncGenerator[bytes]:
        yield b"beginning"
        raise TimeoutError

    async def open_stream() -> AsyncIterator[bytes]:
        return broken()

    agent = async_get_manager(hass).backup_agents[dropbox]
    with pytest.raises(BackupAgentError) as refused:
        await agent.async_upload_backup(
            open_stream=open_stream, backup=backup, on_progress=lambda **_: None
        )
    assert refused.value.translation_key == "backup_unreadable"


async def test_a_backup_that_is_not_there_is_not_found(
    hass: HomeAssistant, page: BackupPage, dropbox: str
) -> None:
    agent = async_get_manager(hass).backup_agents[dropbox]
    calls: list[Callable[[str], Awaitable[object]]] = [
        agent.async_get_backup,
        agent.async_download_backup,
        agent.async_delete_backup,
    ]
    for call in calls:
        with pytest.raises(BackupNotFound) as refused:
            await call("0badc0de")
        assert refused.value.translation_key == "backup_not_found"

    assert (await page.ask("backup/details", backup_id="0badc0de"))["backup"] is None
    assert (await page.download("0badc0de", dropbox))[0] == HTTPStatus.NOT_FOUND
    assert (await page.ask("backup/delete", backup_id="0badc0de"))["agent_errors"] == {}


async def test_the_page_opens_from_memory_while_dropbox_is_away(
    dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    await page.make(dropbox)
    go_away(dropbox_server)
    dropbox_server.log.clear()

    info = await page.ask("backup/info")

    assert info["agent_errors"] == {}
    assert [one["name"] for one in info["backups"]] == ["Nightly"]
    assert not dropbox_server.log.records


async def test_the_page_opens_whatever_else_lies_in_the_folder(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    open_page: OpenPage,
) -> None:
    files = dropbox_server.account.files
    good = put_backup(dropbox_server, "Good")
    put_backup(dropbox_server, "No date", date="the day before yesterday")
    whole = files.read(f"{DEFAULT_FOLDER}/{good}.tar")
    for name, content in {
        "empty.tar": b"",
        "noise.tar": bytes(range(256)) * 40,
        "half.tar": whole[:700],
        "other.tar": tar_of({"readme.txt": b"hello"}),
        "nonsense.tar": tar_of({"./backup.json": b"[[[["}),
        "list.tar": tar_of({"./backup.json": b"[1, 2]"}),
        "null.tar": tar_of({"./backup.json": b'{"slug": null, "name": 3}'}),
        "photo.jpg": b"\xff\xd8\xff",
        "half.metadata.json": b'{"backup_id": 1}',
    }.items():
        files.put(f"{DEFAULT_FOLDER}/{name}", content)
    files.create_folder(f"{DEFAULT_FOLDER}/folder.tar")

    await set_up_entry(hass, dropbox_server)
    page = await open_page()

    info = await page.ask("backup/info")
    assert info["agent_errors"] == {}
    assert {one["name"] for one in info["backups"]} == {"Good", "No date"}


# Interrupted


async def test_an_upload_that_is_cancelled_leaves_nothing_half_and_can_be_made_again(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
) -> None:
    fill(hass, 9 * MIB)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=0.5)
    )
    await page.ask(
        "backup/generate", agent_ids=[LOCAL_AGENT, dropbox], include_database=False, name="Nightly"
    )
    await wait_until(lambda: stall.applied)
    task = async_get_manager(hass)._backup_finish_task
    assert task is not None
    task.cancel()
    await wait_until(lambda: async_get_manager(hass).state is BackupManagerState.IDLE)
    dropbox_server.faults.clear()

    assert archives(dropbox_server) == []
    assert state_of(entry).progress is None
    (made,) = await local_backups(hass)
    outcomes = await engine_of(entry).request("once more", Selection(latest=True))
    assert [one.remote is not None for one in outcomes.values()] == [True]
    assert list((await page.the_backup())["agents"]) == [LOCAL_AGENT, dropbox]
    assert (await page.the_backup())["backup_id"] == made.backup_id


async def test_an_upload_through_home_assistant_outlives_a_reload_of_the_account(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    fill(hass, 9 * MIB)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=0.5)
    )
    making = asyncio.create_task(page.make(dropbox))
    await wait_until(lambda: stall.applied)

    await hass.config_entries.async_reload(entry.entry_id)

    assert last_result(await making) == ("completed", None)
    await wait_until_idle(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    made = await page.the_backup()
    assert list(made["agents"]) == [dropbox]
    # And what it learned is not lost.
    assert state_of(entry).last_upload
    await hass.config_entries.async_unload(entry.entry_id)
    written = hass_storage[storage_key(entry)]["data"]
    assert written["last_upload"]
    assert [backup_id for backup_id, _ in written["uploaded"]] == [made["backup_id"]]


async def test_an_upload_through_home_assistant_outlives_the_account_and_is_noted(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
) -> None:
    fill(hass, 9 * MIB)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60)
    )
    making = asyncio.create_task(page.make(dropbox))
    await wait_until(lambda: stall.applied)

    await hass.config_entries.async_remove(entry.entry_id)
    dropbox_server.faults.clear()

    assert last_result(await making) == ("completed", None)
    assert len(archives(dropbox_server)) == 1
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=1))
    await hass.async_block_till_done()
    (uploaded,) = hass_storage[storage_key(entry)]["data"]["uploaded"]
    assert uploaded[0] in archives(dropbox_server)[0], "known if the account is added again"


@pytest.mark.parametrize("how", ["killed", "given up"])
async def test_what_home_assistant_does_not_upload_to_its_end_is_told(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
    hass_storage: dict[str, Any],
    how: str,
) -> None:
    """Dropbox is the only location: there is no other copy, and nobody else would say it."""
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60)
    )
    uploading = asyncio.create_task(upload_lost(hass, dropbox))
    await wait_until(lambda: stall.applied)
    await hass.config_entries.async_reload(entry.entry_id)
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    assert state_of(entry).alarm is None, "it goes on"
    on_disk = deepcopy(hass_storage[storage_key(entry)])

    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)
    dropbox_server.faults.clear()
    if how == "killed":
        await shut_down(hass, entry)
        hass_storage[storage_key(entry)] = on_disk
        await start_again(hass, entry)
    else:
        engine_of(entry).request("a look")
        await wait_until_idle(hass, entry)

    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", "upload_failed")
    assert "Lost was made for Dropbox" in problem.attributes["detail"]
    await make_backup(hass, "Next")
    await engine_of(entry).request("a newer one", Selection(latest=True))
    await wait_until_idle(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def test_what_lies_here_as_well_is_uploaded_from_here_and_no_problem(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
) -> None:
    made = await make_backup(hass, size=9 * MIB)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60)
    )
    uploading = asyncio.create_task(upload_lost(hass, dropbox, made))
    await wait_until(lambda: stall.applied)
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)
    dropbox_server.faults.clear()
    await engine_of(entry).request("once more", Selection(latest=True))
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 1
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def test_what_lies_here_and_nobody_uploads_from_here_is_told_until_it_is_in_dropbox(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
) -> None:
    """All uploads are left to Home Assistant, which does not come back to this one."""
    made = await make_backup(hass, "Lost", size=9 * MIB)
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60)
    )
    uploading = asyncio.create_task(upload_lost(hass, dropbox, made))
    await wait_until(lambda: stall.applied)
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)
    dropbox_server.faults.clear()
    engine_of(entry).request("a look")
    await wait_until_idle(hass, entry)
    assert not archives(dropbox_server)
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", "upload_failed")
    assert "Lost was made for Dropbox" in problem.attributes["detail"]

    await engine_of(entry).request("somebody wants it", Selection(latest=True))
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def test_what_somebody_deleted_right_before_home_assistant_was_killed_is_not_told_as_lost(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    stall = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=60)
    )
    uploading = asyncio.create_task(upload_lost(hass, dropbox))
    await wait_until(lambda: stall.applied)
    before = notes_of(entry).handed_out.copy()
    await tell(hass, "delete", backup_ids=list(before))
    await asyncio.gather(uploading, return_exceptions=True)
    dropbox_server.faults.clear()
    await shut_down(hass, entry)
    # What was written when the deletion was asked for is the last that was.
    written = hass_storage[storage_key(entry)]["data"]
    assert written["dismissed"] == list(before)
    written["handed_out"] = write_notes(Notes(handed_out=before))["handed_out"]
    await start_again(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def upload_lost(hass: HomeAssistant, dropbox: str, made: AgentBackup | None = None) -> None:
    """Have Home Assistant hand out a backup that lies nowhere else."""
    content = archive(9 * MIB, slug="1057", name="Lost", date="2026-11-05T04:45:00+00:00")
    if made is not None:
        content = local_path(hass, made).read_bytes()
    backup = made or backup_from_json(
        json.dumps({"slug": "1057", "name": "Lost", "date": "2026-11-05T04:45:00+00:00"}).encode(),
        len(content),
    )

    async def stream() -> AsyncGenerator[bytes]:
        for start in range(0, len(content), MIB):
            yield content[start : start + MIB]

    async def open_stream() -> AsyncIterator[bytes]:
        return stream()

    await (
        async_get_manager(hass)
        .backup_agents[dropbox]
        .async_upload_backup(open_stream=open_stream, backup=backup, on_progress=lambda **_: None)
    )


# Downloading and restoring


async def backup_in_dropbox(hass: HomeAssistant, page: BackupPage, dropbox: str) -> str:
    fill(hass, 3 * MIB)
    await page.make(dropbox)
    return str((await page.the_backup())["backup_id"])


@pytest.mark.parametrize("kind", [FaultKind.RESET_IN_RESPONSE, FaultKind.TRUNCATE_DOWNLOAD])
async def test_a_download_that_breaks_off_goes_on_where_it_broke(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    kind: FaultKind,
) -> None:
    backup_id = await backup_in_dropbox(hass, page, dropbox)
    archive = the_archive(dropbox_server)
    dropbox_server.log.clear()
    dropbox_server.faults.add(Fault(kind, "files/download", after_bytes=len(archive) // 3, times=2))

    assert await page.download(backup_id, dropbox) == (HTTPStatus.OK, archive)
    assert dropbox_server.log.count("files/download") == 3
    assert dropbox_server.log.bytes_sent("files/download") < 1.5 * len(archive)


async def test_a_damaged_download_breaks_off_at_its_end(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    backup_id = await backup_in_dropbox(hass, page, dropbox)
    dropbox_server.faults.add(Fault(FaultKind.CORRUPT_DOWNLOAD, "files/download", after_bytes=9999))

    with pytest.raises(aiohttp.ClientPayloadError):
        await page.download(backup_id, dropbox)


async def test_what_somebody_else_deleted_can_be_downloaded_until_dropbox_forgets_it(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    backup_id = await backup_in_dropbox(hass, page, dropbox)
    archive = the_archive(dropbox_server)
    dropbox_server.account.files.delete(archives(dropbox_server)[0])
    assert await page.download(backup_id, dropbox) == (HTTPStatus.OK, archive)

    dropbox_server.account.files.purge()
    assert (await page.download(backup_id, dropbox))[0] == HTTPStatus.NOT_FOUND


async def test_a_download_without_a_valid_sign_in_asks_to_sign_in_again(
    hass: HomeAssistant, dropbox_server: DropboxServer, page: BackupPage, dropbox: str
) -> None:
    backup_id = await backup_in_dropbox(hass, page, dropbox)
    refuse_sign_in(dropbox_server)

    assert (await page.download(backup_id, dropbox))[0] == HTTPStatus.INTERNAL_SERVER_ERROR
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_REAUTH


async def test_a_download_that_is_given_up_lets_go_of_dropbox(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    entry: DropboxBackupConfigEntry,
) -> None:
    backup_id = await backup_in_dropbox(hass, page, dropbox)
    await wait_until_idle(hass, entry)
    agent: BackupAgent = async_get_manager(hass).backup_agents[dropbox]
    stream = await agent.async_download_backup(backup_id)
    assert len(await anext(aiter(stream))) < len(the_archive(dropbox_server))
    connections = async_get_clientsession(hass).connector
    assert connections is not None
    assert connections._acquired

    await stream.aclose()  # type: ignore[attr-defined]  # Home Assistant closes what can be closed

    assert not connections._acquired


@pytest.fixture
def restarts(hass: HomeAssistant, page: BackupPage) -> list[ServiceCall]:
    """Note restarts instead of having them."""
    calls: list[ServiceCall] = async_mock_service(hass, "homeassistant", "restart")
    return calls


@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_a_backup_is_restored_from_dropbox(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    restarts: list[ServiceCall],
    password: str | None,
) -> None:
    await page.make(dropbox, password=password)
    backup_id = (await page.the_backup())["backup_id"]

    await page.ask(
        "backup/restore",
        backup_id=backup_id,
        agent_id=dropbox,
        restore_database=False,
        **({"password": password} if password else {}),
    )

    assert len(restarts) == 1
    restored = Path(hass.config.path("tmp_backups", f"{backup_id}.tar"))
    assert restored.read_bytes() == the_archive(dropbox_server)
    assert str(restored) in Path(hass.config.path(".HA_RESTORE")).read_text(encoding="utf-8")


async def test_a_wrong_password_is_said_before_anything_is_restored(
    hass: HomeAssistant, page: BackupPage, dropbox: str, restarts: list[ServiceCall]
) -> None:
    await page.make(dropbox, password=PASSWORD)
    backup_id = (await page.the_backup())["backup_id"]

    answer = await page.send(
        "backup/restore",
        backup_id=backup_id,
        agent_id=dropbox,
        restore_database=False,
        password="wrong",
    )

    assert answer["error"]["code"] == "password_incorrect"
    assert not restarts


async def test_a_damaged_backup_is_not_restored(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    page: BackupPage,
    dropbox: str,
    restarts: list[ServiceCall],
) -> None:
    backup_id = await backup_in_dropbox(hass, page, dropbox)
    dropbox_server.faults.add(Fault(FaultKind.CORRUPT_DOWNLOAD, "files/download", after_bytes=9999))

    answer = await page.send(
        "backup/restore", backup_id=backup_id, agent_id=dropbox, restore_database=False
    )

    assert not answer["success"]
    assert not restarts
    assert not Path(hass.config.path(".HA_RESTORE")).exists()
    assert async_get_manager(hass).state is BackupManagerState.IDLE
