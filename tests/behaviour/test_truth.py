"""What is in Dropbox is what we say, also when somebody acts between any two of our requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
import os
from typing import Any

from homeassistant.components.backup import (
    AgentBackup,
    BackupAgent,
    BackupAgentError,
    async_get_manager,
)
from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.const import (
    CONF_CHUNKS_AT_ONCE,
    CONF_KEEP,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.decide.models import WhyNot
from custom_components.dropbox_backup.sync.report.state import Status
from custom_components.dropbox_backup.sync.upload import transfers
from tests.support.account import (
    APPEND,
    FINISH,
    MANUAL,
    MIB,
    archives,
    ask,
    engine_of,
    local_path,
    make_backup,
    notes_of,
    problem_of,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.acts import Between
from tests.support.backup_page import own_agents
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.english import ENGLISH

pytestmark = pytest.mark.usefixtures("quick_worker")

SEVERAL_CHUNKS = 9 * MIB


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    return Between(monkeypatch)


async def content_of(hass: HomeAssistant, made: AgentBackup) -> bytes:
    return await asyncio.to_thread(local_path(hass, made).read_bytes)


def place_of(made: AgentBackup) -> str:
    return f"{DEFAULT_FOLDER}/{file_name(made)}"


def in_dropbox(server: DropboxServer) -> dict[str, bytes]:
    """Return the archives in Dropbox by name."""
    return {path.rpartition("/")[2]: server.account.files.read(path) for path in archives(server)}


def our_agent(hass: HomeAssistant) -> BackupAgent:
    [agent_id] = own_agents(hass)
    return async_get_manager(hass).backup_agents[agent_id]


async def upload_as_home_assistant(hass: HomeAssistant, made: AgentBackup) -> None:
    """Hand a backup out as Home Assistant does when Dropbox is one of its locations."""
    content = await content_of(hass, made)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), MIB):
            yield content[start : start + MIB]

    async def open_stream() -> AsyncIterator[bytes]:
        return pieces()

    await our_agent(hass).async_upload_backup(
        open_stream=open_stream, backup=made, on_progress=lambda **_: None
    )


def once_compared(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act when a local archive has been read for comparing, once."""
    hash_of = transfers.hash_of
    left = [act]

    async def hashed(source: Any) -> str:
        result = await hash_of(source)
        if left:
            left.pop()()
        return result

    monkeypatch.setattr(transfers, "hash_of", hashed)


async def turn_on(hass: HomeAssistant, entry: DropboxBackupConfigEntry, **options: object) -> None:
    """Let everything be uploaded from now on."""
    hass.config_entries.async_update_entry(entry, options=options)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)


def assert_all_is_well(
    entry: DropboxBackupConfigEntry, server: DropboxServer, made: AgentBackup, content: bytes
) -> None:
    """Check that the backup is in Dropbox whole, and that it is the one that is shown."""
    shown = {one.backup.backup_id: one for one in state_of(entry).backups}[made.backup_id]
    assert shown.verified
    assert in_dropbox(server)[shown.file.name] == content
    assert state_of(entry).problem is None
    assert state_of(entry).alarm is None
    assert state_of(entry).status is Status.UP_TO_DATE


# While it is compared


@pytest.mark.parametrize("becomes", ["gone", "cut off"])
async def test_a_copy_that_goes_while_it_is_compared_is_no_backup(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    becomes: str,
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    older, newer = await make_backup(hass, "Older"), await make_backup(hass, "Newer", MIB)
    content = await content_of(hass, newer)
    files = dropbox_server.account.files
    files.put(place_of(newer), content)
    once_compared(
        monkeypatch,
        lambda: (
            files.delete(place_of(newer))
            if becomes == "gone"
            else files.put(place_of(newer), content[: MIB // 2])
        ),
    )
    await turn_on(hass, entry, **{CONF_KEEP: 2})
    assert_all_is_well(entry, dropbox_server, newer, content)
    assert_all_is_well(entry, dropbox_server, older, await content_of(hass, older))


# Copies that are not the backup


@pytest.mark.parametrize("place", ["by_hand.tar", "ours"])
async def test_a_copy_of_another_size_is_shown_for_what_it_is(
    hass: HomeAssistant, dropbox_server: DropboxServer, place: str
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = await make_backup(hass, size=MIB)
    content = await content_of(hass, made)
    name = file_name(made) if place == "ours" else place
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/{name}", content[: MIB // 2])
    [told] = (await ask(hass, "upload", latest=True))["backups"]
    assert dropbox_server.account.files.read(told["path"]) == content
    await turn_on(hass, entry)
    assert_all_is_well(entry, dropbox_server, made, content)
    [backup] = state_of(entry).backups
    assert [(one.file.name, one.why) for one in backup.bad_copies] == [(name, WhyNot.OTHER_SIZE)]
    assert in_dropbox(dropbox_server)[name] == content[: MIB // 2], "it may be somebody's"
    assert backup.file.name == (
        file_name(made).replace(".tar", "_2.tar") if place == "ours" else file_name(made)
    )


async def test_a_person_who_deletes_a_backup_does_not_find_its_bad_copy_in_its_place(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = await make_backup(hass, size=MIB)
    content = await content_of(hass, made)
    dropbox_server.account.files.put(place_of(made), content[: MIB // 2])
    await turn_on(hass, entry)
    assert len(archives(dropbox_server)) == 2
    await our_agent(hass).async_delete_backup(made.backup_id)
    assert archives(dropbox_server) == []
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == [], "and it does not come back"


async def test_any_file_may_lie_where_a_backup_belongs(
    hass: HomeAssistant, dropbox_server: DropboxServer, between: Between
) -> None:
    """Somebody puts it there when the upload is almost done."""
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = await make_backup(hass, size=SEVERAL_CHUNKS)
    letter = b"dear"
    between.before(
        "upload_session_finish",
        lambda: dropbox_server.account.files.put(place_of(made), letter),
    )
    await turn_on(hass, entry)
    assert_all_is_well(entry, dropbox_server, made, await content_of(hass, made))
    assert in_dropbox(dropbox_server)[file_name(made)] == letter


# From memory


async def test_home_assistant_is_not_told_from_memory_that_a_backup_is_there(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    [path] = archives(dropbox_server)
    dropbox_server.account.files.delete(path)
    await upload_as_home_assistant(hass, made)
    assert in_dropbox(dropbox_server) == {file_name(made): await content_of(hass, made)}
    await wait_until_idle(hass, entry)


async def test_an_action_is_not_told_from_memory_that_a_backup_is_there(
    hass: HomeAssistant, dropbox_server: DropboxServer, between: Between
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass)
    await wait_until_idle(hass, entry)
    [path] = archives(dropbox_server)
    between.before("get_space_usage", lambda: dropbox_server.account.files.delete(path))
    [told] = (await ask(hass, "upload", backup_ids=[made.backup_id]))["backups"]
    assert "error" in told
    await wait_until_idle(hass, entry)


# Deleted while it is on its way


async def delete_at(
    hass: HomeAssistant,
    server: DropboxServer,
    made: AgentBackup,
    route: str,
    uploading: Callable[[], Awaitable[None]],
) -> BaseException | None:
    """Delete a backup on Home Assistant's page while Dropbox has such a request of its upload;
    return how the upload ended.
    """
    stall = Fault(FaultKind.STALL, route=route, seconds=0.5, when="after", skip=route == APPEND)
    server.faults.add(stall)
    task = asyncio.ensure_future(uploading())
    await wait_until(lambda: stall.applied)
    await our_agent(hass).async_delete_backup(made.backup_id)
    await asyncio.wait([task])
    return task.exception()


@pytest.mark.parametrize("route", [APPEND, FINISH])
async def test_a_backup_deleted_while_the_worker_uploads_it_stays_away(
    hass: HomeAssistant, dropbox_server: DropboxServer, route: str
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = await make_backup(hass, size=SEVERAL_CHUNKS)
    other = await make_backup(hass, "Another")

    await delete_at(hass, dropbox_server, made, route, lambda: turn_on(hass, entry))
    await asyncio.sleep(1)  # what Dropbox is still busy with
    for _ in range(2):
        engine_of(entry).request("test")
        await wait_until_idle(hass, entry)
        assert list(in_dropbox(dropbox_server)) == [file_name(other)]
        assert [one.backup.backup_id for one in state_of(entry).backups] == [other.backup_id]
    assert state_of(entry).status is Status.UP_TO_DATE
    assert state_of(entry).alarm is None


@pytest.mark.parametrize("route", [APPEND, FINISH])
async def test_a_backup_deleted_while_home_assistant_uploads_it_ends_in_an_error_without_alarm(
    hass: HomeAssistant, dropbox_server: DropboxServer, route: str
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = await make_backup(hass, size=SEVERAL_CHUNKS)
    error = await delete_at(
        hass, dropbox_server, made, route, lambda: upload_as_home_assistant(hass, made)
    )
    assert isinstance(error, BackupAgentError)
    assert error.translation_key == "deleted_meanwhile"
    await asyncio.sleep(1)
    await turn_on(hass, entry)
    assert archives(dropbox_server) == []
    assert state_of(entry).alarm is None
    assert state_of(entry).problem is None


async def test_a_backup_deleted_while_it_becomes_a_file_stays_away_over_a_restart(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    monkeypatch.setitem(RETRY_FOR, Waiter.PERSON, 0.1)
    stall = Fault(FaultKind.STALL, route=FINISH, seconds=1, when="after")
    dropbox_server.faults.add(stall)
    made = await make_backup(hass, size=SEVERAL_CHUNKS)
    await wait_until(lambda: stall.applied)
    await our_agent(hass).async_delete_backup(made.backup_id)
    await hass.config_entries.async_unload(entry.entry_id)
    await asyncio.sleep(1)
    assert len(archives(dropbox_server)) == 1, "nobody could prevent it"
    await start_again(hass, entry)
    assert archives(dropbox_server) == []
    assert state_of(entry).backups == ()
    assert state_of(entry).status is Status.NO_BACKUPS


# Damaged on its way


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage the first chunk after its hash was computed, as a bad memory does: Dropbox makes a
    file of it.
    """
    append = DropboxClient.upload_session_append
    left = [1]

    async def damaged(
        self: DropboxClient, session_id: str, offset: int, data: Any, _: str, **more: Any
    ) -> None:
        data = bytes(data)
        if left and offset == 0:
            left.clear()
            data = data[:MIB] + bytes([data[MIB] ^ 1]) + data[MIB + 1 :]
        await append(self, session_id, offset, data, content_hash(block_digests(data)), **more)

    monkeypatch.setattr(DropboxClient, "upload_session_append", damaged)


async def stopped_before_the_answer(
    hass: HomeAssistant, server: DropboxServer
) -> tuple[DropboxBackupConfigEntry, AgentBackup]:
    """Upload a backup, and unload when Dropbox has made a file of it and we have not heard of it
    yet.
    """
    entry = await set_up_entry(hass, server)
    stall = Fault(FaultKind.STALL, route=FINISH, seconds=1, when="after")
    server.faults.add(stall)
    made = await make_backup(hass, size=SEVERAL_CHUNKS)
    await wait_until(lambda: stall.applied)
    await hass.config_entries.async_unload(entry.entry_id)
    await wait_until(lambda: len(archives(server)) == 1)
    return entry, made


@pytest.mark.usefixtures("damage")
async def test_our_own_damaged_file_is_removed_although_the_first_deletion_failed(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    refused = {".tag": "path_lookup", "path_lookup": {".tag": "restricted_content"}}
    dropbox_server.faults.add(Fault(FaultKind.STATUS, "files/delete_v2", status=409, error=refused))
    made = await make_backup(hass, size=SEVERAL_CHUNKS)
    await wait_until_idle(hass, entry)
    problem = problem_of(entry)
    assert "Dropbox stored something else" in ENGLISH.of(*problem.reasons)
    engine_of(entry).request("a minute later")
    await wait_until_idle(hass, entry)
    assert_all_is_well(entry, dropbox_server, made, await content_of(hass, made))
    assert list(in_dropbox(dropbox_server)) == [file_name(made)]


@pytest.mark.usefixtures("damage")
async def test_our_own_damaged_file_is_removed_after_a_restart_before_the_answer(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry, made = await stopped_before_the_answer(hass, dropbox_server)
    await start_again(hass, entry)
    assert_all_is_well(entry, dropbox_server, made, await content_of(hass, made))
    assert list(in_dropbox(dropbox_server)) == [file_name(made)]


@pytest.mark.usefixtures("damage")
async def test_a_persons_file_in_the_place_of_a_damaged_one_is_not_deleted(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry, made = await stopped_before_the_answer(hass, dropbox_server)
    content = await content_of(hass, made)
    theirs = bytes([content[0] ^ 1]) + content[1:]
    dropbox_server.account.files.delete(place_of(made))
    # Written by somebody else, and so at another second than the backup's.
    theirs_from = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    dropbox_server.account.files.put(place_of(made), theirs, client_modified=theirs_from)
    await start_again(hass, entry)
    assert_all_is_well(entry, dropbox_server, made, content)
    assert in_dropbox(dropbox_server)[file_name(made)] == theirs


@pytest.mark.parametrize("changed", [False, True])
async def test_a_backup_is_read_on_after_a_restart_only_if_it_is_the_same(
    hass: HomeAssistant, dropbox_server: DropboxServer, changed: bool
) -> None:
    """Neither size nor time tell: whoever changes a file can set the time back."""
    dropbox_server.faults.add(Fault(FaultKind.STALL, APPEND, skip=4, seconds=60, times=None))
    entry = await set_up_entry(hass, dropbox_server, options={CONF_CHUNKS_AT_ONCE: 1})
    made = await make_backup(hass, size=6 * 4 * MIB)
    sessions = notes_of(entry).sessions
    await wait_until(lambda: [one.arrived for one in sessions.values()] == [4])
    await shut_down(hass, entry)
    dropbox_server.faults.clear()
    dropbox_server.log.clear()
    content = bytearray(await content_of(hass, made))
    if changed:
        path = local_path(hass, made)
        before = path.stat()
        content[5 * MIB] ^= 1  # in what has arrived
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    await start_again(hass, entry)

    assert_all_is_well(entry, dropbox_server, made, bytes(content))
    sent = dropbox_server.log.bytes_received(APPEND)
    assert (sent > 4 * 4 * MIB) == changed
