"""What Home Assistant uploads itself arrives whole, and unreadable if a key is set."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
import io
import json
from pathlib import Path
import tarfile
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.config import AgentParametersDict
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.dropbox_backup.const import CONF_CHUNKS_AT_ONCE, DEFAULT_FOLDER, DOMAIN
from custom_components.dropbox_backup.sync.archive.contents import examine
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.decide.models import Protection
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from tests.support.account import (
    APPEND,
    MANUAL,
    MIB,
    archives,
    entity,
    local_backups,
    make_backup,
    put_local,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    storage_key,
    the_archive,
    use_key,
    wait_for_an_archive,
    wait_until,
    wait_until_idle,
)
from tests.support.backup_page import OpenPage, last_result, own_agents
from tests.support.dropbox_server import DropboxServer, Fault as DropboxFault, FaultKind, Line
from tests.support.english import ENGLISH
from tests.support.repairs import choose, fix
from tests.support.supervisor import CLOUD, Contents, Fault, Supervisor, archives as making, parts
from tests.support.waits import set_waits

pytestmark = pytest.mark.usefixtures("quick_worker")

PASSWORD = "correct horse battery staple"
SUPERVISOR_AGENT = "hassio.local"


def protection(archive: bytes) -> Protection:
    return examine(io.BytesIO(archive)).protection


def made(
    path: Path, *, password: str | None = None, flagged: bool = False, filling: int = 70_000
) -> bytes:
    """Return an archive, readable or not, that may say of itself that it is encrypted."""
    folders = ("addons/local", "ssl")
    making.write(path, Contents(folders=folders, filling=filling, password=password))
    if not flagged:
        return path.read_bytes()
    file = io.BytesIO()
    with tarfile.open(path) as source, tarfile.open(fileobj=file, mode="w") as target:
        for member in source:
            data = source.extractfile(member)
            assert data is not None
            if member.name == "./backup.json":
                text = json.dumps({**json.load(data), "protected": True}).encode()
                member.size, data = len(text), io.BytesIO(text)
            target.addfile(member, data)
    return file.getvalue()


async def test_a_backup_that_supervisor_keeps_readable_arrives_whole_and_encrypted(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
) -> None:
    """Home Assistant's own encryption leaves out the folder of local apps."""
    entry = await set_up_entry(hass, dropbox_server)
    async_get_manager(hass).config.update(
        create_backup={"password": PASSWORD},
        agents={SUPERVISOR_AGENT: AgentParametersDict(protected=False, retention=None)},
    )
    page = await open_page()

    events = await page.make(
        SUPERVISOR_AGENT,
        *own_agents(hass),
        password=PASSWORD,
        include_folders=["addons/local", "share"],
    )

    assert last_result(events) == ("completed", None)
    [kept] = supervisor.store.backups.values()
    sent = the_archive(dropbox_server)
    assert protection(kept.path().read_bytes()) is Protection.NOT_ENCRYPTED
    assert protection(sent) is Protection.ENCRYPTED
    assert "addons_local.tar.gz" in parts(sent, PASSWORD)
    assert parts(sent, PASSWORD) == parts(kept.path().read_bytes())
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1


async def test_what_supervisor_keeps_only_to_hand_it_out_arrives_whole_and_encrypted(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    tmp_path: Path,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, PASSWORD)
    page = await open_page()
    archive = made(tmp_path / "made.tar")

    backup_id = await page.upload(archive, *own_agents(hass))

    assert protection(the_archive(dropbox_server)) is Protection.ENCRYPTED
    assert parts(the_archive(dropbox_server), PASSWORD) == parts(archive)
    location = f"GET backups/{backup_id}/download"
    assert supervisor.requests.count(location) == 2, "read twice, not from the stream"
    assert CLOUD in supervisor.store.locations
    await wait_until_idle(hass, entry)


@pytest.mark.parametrize("flagged", [True, False])
async def test_nothing_readable_passes_when_a_key_is_set(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    tmp_path: Path,
    flagged: bool,
) -> None:
    """Whatever the backup says of itself, and though there is no other copy of it."""
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, PASSWORD)
    page = await open_page()
    archive = made(tmp_path / "made.tar", flagged=flagged)

    await page.upload(archive, *own_agents(hass))
    await wait_until_idle(hass, entry)

    assert protection(the_archive(dropbox_server)) is Protection.ENCRYPTED
    assert parts(the_archive(dropbox_server), PASSWORD) == parts(archive)
    [status] = (await page.the_backup())["agents"].values()
    assert status["protected"]


async def test_what_is_encrypted_passes_as_it_is(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    tmp_path: Path,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, PASSWORD)
    page = await open_page()
    archive = made(tmp_path / "made.tar", password="an older one")

    await page.upload(archive, *own_agents(hass))
    await wait_until_idle(hass, entry)

    assert the_archive(dropbox_server) == archive


def broken_in_the_middle(archive: bytes) -> bytes:
    """Return what begins like an archive, goes on like none, and holds the archive once more."""
    return archive.rstrip(b"\0").ljust(-(-len(archive.rstrip(b"\0")) // 512) * 512, b"\0") + (
        b"no header".ljust(512, b"!") + archive
    )


async def test_what_can_not_be_examined_arrives_and_is_told_until_the_user_knows(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    tmp_path: Path,
) -> None:
    """There may be no other copy. But what follows may be readable, and a key is set."""
    await async_setup_component(hass, "repairs", {})
    entry = await set_up_entry(hass, dropbox_server)
    use_key(hass, PASSWORD)
    page = await open_page()
    archive = broken_in_the_middle(made(tmp_path / "made.tar", password=PASSWORD))

    await page.upload(archive, *own_agents(hass))
    await wait_until_idle(hass, entry)

    assert the_archive(dropbox_server) == archive
    assert entity(hass, entry, "sensor", "last_backup").attributes["encrypted"] == "unknown"
    await shut_down(hass, entry)
    await start_again(hass, entry)
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", ProblemKind.NOT_ENCRYPTED)
    assert "Nightly" in problem.attributes["detail"]
    assert entity(hass, entry, "sensor", "status").state == "needs_attention"
    issue_id = f"{ProblemKind.NOT_ENCRYPTED}_{entry.entry_id}"
    issue = ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    assert issue is not None
    assert issue.translation_key == "unexamined"
    menu = await fix(hass_client, issue_id)
    assert "Nightly" in menu["description_placeholders"]["backups"]
    assert (await choose(hass_client, menu, "leave_readable"))["type"] == "create_entry"
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"
    await shut_down(hass, entry)
    await start_again(hass, entry)
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def test_what_can_not_be_examined_is_not_sent_if_a_good_copy_lies_here(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    tmp_path: Path,
) -> None:
    assert await async_setup_component(hass, "backup", {})
    await hass.async_block_till_done()
    archive = made(tmp_path / "made.tar", password=PASSWORD)
    put_local(hass, archive)
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    use_key(hass, PASSWORD)
    agent = async_get_manager(hass).backup_agents[own_agents(hass)[0]]
    [backup] = await local_backups(hass)
    handed_out = broken_in_the_middle(archive)
    backup = replace(backup, size=len(handed_out))

    async def stream() -> AsyncIterator[bytes]:
        yield handed_out

    async def open_stream() -> AsyncIterator[bytes]:
        return stream()

    await agent.async_upload_backup(
        open_stream=open_stream, backup=backup, on_progress=lambda **_: None
    )
    await wait_until_idle(hass, entry)
    assert the_archive(dropbox_server) == archive
    assert entity(hass, entry, "sensor", "last_backup").attributes["encrypted"] == "encrypted"
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


# Home Assistant 2026.10 leaves the timer with which it tells progress behind when an upload fails.
@pytest.mark.parametrize("expected_lingering_timers", [True])
@pytest.mark.parametrize("key", [None, PASSWORD])
@pytest.mark.parametrize("how", ["the stream breaks", "Supervisor dies"])
@pytest.mark.usefixtures("supervisor_breaks_off")
async def test_what_breaks_while_home_assistant_hands_it_out_is_told_also_after_a_restart(
    hass: HomeAssistant,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    how: str,
    key: str | None,
) -> None:
    """There is no other copy: nobody else would say it."""
    entry = await set_up_entry(hass, dropbox_server, options={CONF_CHUNKS_AT_ONCE: 2})
    use_key(hass, key)
    page = await open_page()
    archive = made(tmp_path / "made.tar", password=key, filling=5 * MIB)
    if how == "the stream breaks":
        supervisor.faults.append(Fault("backups/*/download", cut_after=9 * MIB, times=None))
    else:
        dropbox_server.line = Line(upload_total=4 * MIB * 8)  # a chunk a second

    uploading = asyncio.create_task(page.upload(archive, *own_agents(hass)))
    if how == "Supervisor dies":
        await wait_until(lambda: dropbox_server.log.count(APPEND) > 1)
        await supervisor.kill()
        dropbox_server.line = Line()
    await asyncio.gather(uploading, return_exceptions=True)

    assert archives(dropbox_server) == []
    alarm = state_of(entry).alarm
    assert alarm is not None
    assert alarm.kind is ProblemKind.UPLOAD_FAILED
    assert "Nightly was made for Dropbox and did not get there" in ENGLISH.of(*alarm.reasons)
    for raw in ("payload", "ContentLength", "ServerDisconnected"):
        assert raw not in ENGLISH.of(*alarm.reasons)
    assert f"Unexpected error for {own_agents(hass)[0]}" not in caplog.text
    issue_id = f"{ProblemKind.UPLOAD_FAILED}_{entry.entry_id}"
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id)

    # As after a restart.
    if how == "Supervisor dies":
        await supervisor.start()
    await shut_down(hass, entry)
    await start_again(hass, entry)
    assert state_of(entry).alarm == alarm
    supervisor.faults.clear()
    await supervisor.make_backup(Contents(name="Next", date="2026-11-06T04:45:00.000000+00:00"))
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert state_of(entry).alarm is None


@pytest.mark.parametrize(
    "about",
    [{}, {"needed": {"bytes": 5}}, {"needed": {"list": []}, "free": "?"}],
    ids=["nothing", "less", "an empty list"],
)
async def test_a_reason_that_another_version_wrote_in_another_way_stops_nothing(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    about: dict[str, Any],
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await shut_down(hass, entry)
    hass_storage[storage_key(entry)]["data"]["missed"] = {
        "name": "Lost",
        "made": dt_util.utcnow().isoformat(),
        "reason": {"code": "too_little_room", "about": about},
    }
    await start_again(hass, entry)
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", ProblemKind.UPLOAD_FAILED)
    assert "Lost was made for Dropbox and did not get there" in problem.attributes["detail"]
    await make_backup(hass, "Next")
    await wait_for_an_archive(hass, entry, dropbox_server)
    assert state_of(entry).alarm is None


async def test_what_arrived_right_before_home_assistant_was_killed_is_not_told_as_lost(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also while nobody could read yet which backup it is."""
    set_waits(monkeypatch, for_archives=0.1, first_rereading=0.1)
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    [own] = own_agents(hass)
    await async_get_manager(hass).async_initiate_backup(
        agent_ids=[own],
        include_addons=[],
        include_all_addons=False,
        include_database=True,
        include_folders=[],
        include_homeassistant=True,
        name="Nightly",
        password=None,
    )
    await wait_for_an_archive(hass, entry, dropbox_server)
    [backup] = state_of(entry).backups
    await shut_down(hass, entry)
    # It became a file, and nothing came after that.
    notes = hass_storage[storage_key(entry)]["data"]
    now = dt_util.utcnow().isoformat()
    reason = {"code": "stopped_meanwhile", "about": {}}
    notes["handed_out"] = [[backup.backup_id, {"name": "Nightly", "made": now, "reason": reason}]]
    del hass_storage[f"{storage_key(entry)}.listing"]
    files = dropbox_server.account.files
    files.delete(f"{DEFAULT_FOLDER}/{CATALOG_NAME}")
    unread = dropbox_server.faults.add(DropboxFault(FaultKind.STATUS, "files/download", times=None))
    await start_again(hass, entry)
    assert unread.applied
    assert state_of(entry).alarm is None
    dropbox_server.faults.clear()
    await wait_until(lambda: state_of(entry).backups)
    await wait_until_idle(hass, entry)
    assert entity(hass, entry, "sensor", "backups_in_dropbox").state == "1", "and it is ours"
    assert state_of(entry).backups[0].verified
    assert state_of(entry).alarm is None
