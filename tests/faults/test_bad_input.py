"""Bad archives in Home Assistant's own folder: each is refused or carried with a reason, and none
blocks the others.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.codes import Reason
from custom_components.dropbox_backup.const import DEFAULT_FOLDER
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.report.state import Status
from tests.support.account import (
    MANUAL,
    MIB,
    archives,
    engine_of,
    make_backup,
    put_local,
    set_up_entry,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.backup_page import OpenPage
from tests.support.core_archives import BAD_ID, archive
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind

pytestmark = pytest.mark.usefixtures("quick_worker")


def refused(entry: DropboxBackupConfigEntry) -> dict[str, Reason]:
    """Return the reasons by the backups' ids."""
    return {one.local.backup.backup_id: one.reason for one in state_of(entry).refused}


def in_dropbox(entry: DropboxBackupConfigEntry) -> set[str]:
    return {one.backup.name for one in state_of(entry).backups}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: MIB // 2])


def tear_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-700])


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(70_000))


def grow_by_bytes(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shadow_by_a_folder(path: Path) -> None:
    """Take the file away from everybody: tests may run as root, who reads whatever is a file."""
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_a_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * 512)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [
    truncate,
    tear_off,
    grow,
    grow_by_bytes,
    shadow_by_a_folder,
    empty,
    spoil_a_header,
    remove,
]


@pytest.mark.parametrize("damage", [one for one in DAMAGES if one not in {grow, remove}])
async def test_what_is_damaged_before_the_check_is_refused(
    hass: HomeAssistant, dropbox_server: DropboxServer, damage: Callable[[Path], None]
) -> None:
    path = put_local(hass, archive(MIB))
    entry = await set_up_entry(hass, dropbox_server)  # uploads it, so that it is known
    dropbox_server.account.files.delete(archives(dropbox_server)[0])
    damage(path)
    await make_backup(hass, "Good")
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"Good"}
    assert refused(entry)[BAD_ID]
    assert state_of(entry).status is Status.NEEDS_ATTENTION

    if path.is_dir():
        path.rmdir()
    path.write_bytes(archive(MIB))
    engine_of(entry).request("repaired")
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"Good", "Odd"}
    assert refused(entry) == {}
    assert state_of(entry).status is Status.UP_TO_DATE


# Not one that keeps the size: what is read is what is uploaded.
@pytest.mark.parametrize("damage", [one for one in DAMAGES if one is not spoil_a_header])
@pytest.mark.parametrize("size", [MIB, 9 * MIB], ids=["small", "large"])
async def test_what_is_damaged_between_check_and_upload_is_not_uploaded(
    hass: HomeAssistant, dropbox_server: DropboxServer, damage: Callable[[Path], None], size: int
) -> None:
    path = put_local(hass, archive(size))
    put_local(
        hass, archive(slug="0good000", name="Good", date="2025-01-01T00:00:00+00:00"), "good.tar"
    )
    # Asked for between the two.
    pause = dropbox_server.faults.add(
        Fault(FaultKind.STALL, "users/get_space_usage", seconds=0.5, when="after")
    )
    setting_up = hass.async_create_task(set_up_entry(hass, dropbox_server))
    await wait_until(lambda: pause.applied)
    await asyncio.to_thread(damage, path)
    entry = await setting_up
    assert in_dropbox(entry) == {"Good"}
    assert len(archives(dropbox_server)) == 1
    # And at the next check it is known what is wrong.
    engine_of(entry).request("a minute later")
    await wait_until_idle(hass, entry)
    assert in_dropbox(entry) == {"Good"}
    gone = damage is remove
    assert (state_of(entry).status is Status.UP_TO_DATE) == gone
    assert state_of(entry).waiting == () or not gone


NAMES = [
    "N" * 5000,
    "Надійна резервна копія " * 20,
    "💾🏠 backup 🦉",
    "\u202egnp.exe\u202c \u200frtl\u200e",
    "..a..",
    "   ",
    "CON",
    "tab\tand\nnewline",
    'a"b*c?d<e>f|g:h',
    "\x7f\x00\x1b[31m",
    "e\u0301 and é",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_strange_name_is_carried(
    hass: HomeAssistant, dropbox_server: DropboxServer, name: str
) -> None:
    put_local(hass, archive(name=name))
    entry = await set_up_entry(hass, dropbox_server)
    assert refused(entry) == {}
    [path] = archives(dropbox_server)
    assert Path(path).parent == Path(DEFAULT_FOLDER)
    shown = re.sub(r"[\x00-\x1f\x7f]", " ", name)
    assert in_dropbox(entry) == {shown}, "the archive and the catalog know the whole name"
    for _ in range(2):  # it is the same one after a restart
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == [path]
    assert dropbox_server.log.count("files/upload_session/start") == 0


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "..\\..\\x", "/etc/passwd"])
async def test_a_name_that_home_assistant_does_not_take_blocks_nobody(
    hass: HomeAssistant, dropbox_server: DropboxServer, name: str
) -> None:
    put_local(hass, archive(name=name))
    put_local(hass, archive(slug="0good000", name="Good"), "good.tar")
    entry = await set_up_entry(hass, dropbox_server)
    assert in_dropbox(entry) == {"Good"}


# Home Assistant passes these on unseen.
ODD_METADATA: list[dict[str, Any]] = [
    {"date": 5},
    {"date": None},
    {"date": ["2026-01-02"]},
    {"date": "yesterday"},
    {"slug": 7},
    {"slug": None},
    {"slug": ""},
    {"slug": "a/../b"},
    {"protected": "perhaps"},
    {"protected": None},
    {"homeassistant": {"version": 5}},
    {"homeassistant": None},
    {"extra": {"instance_id": 5}},
    {"extra": {"instance_id": ["a"], "more": {"deep": []}}},
    {"extra": {"supervisor.backup_request_date": 5}},
    {"addons": [{"name": 1, "slug": 2, "version": 3}]},
]


@pytest.mark.parametrize("about", ODD_METADATA, ids=json.dumps)
async def test_metadata_of_wrong_types_is_refused_or_carried_and_blocks_nobody(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    about: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_local(hass, archive(**about))
    put_local(hass, archive(slug="0good000", name="Good"), "good.tar")
    entry = await set_up_entry(hass, dropbox_server)
    assert "Unexpected error" not in caplog.text
    assert "Good" in in_dropbox(entry)
    assert ("Odd" in in_dropbox(entry)) != bool(refused(entry)), "carried or refused"
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == len(in_dropbox(entry))


@pytest.mark.parametrize(
    "about",
    [{"folders": ["ssl", "holodeck"]}, {"extra": None}, {"name": 5}, {"addons": [{"slug": "x"}]}],
    ids=json.dumps,
)
async def test_metadata_that_home_assistant_stumbles_over_blocks_nobody(
    hass: HomeAssistant, dropbox_server: DropboxServer, about: dict[str, Any]
) -> None:
    put_local(hass, archive(**about))
    put_local(hass, archive(slug="0good000", name="Good"), "good.tar")
    entry = await set_up_entry(hass, dropbox_server)
    assert "Good" in in_dropbox(entry)


async def test_an_archive_that_became_smaller_is_uploaded_as_it_is_now(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    """Home Assistant looks at sizes once."""
    options = MANUAL
    path = put_local(hass, archive(9 * MIB))
    entry = await set_up_entry(hass, dropbox_server, options=options)
    smaller = archive(5 * MIB)
    path.write_bytes(smaller)
    hass.config_entries.async_update_entry(entry, options={})
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    [found] = archives(dropbox_server)
    assert dropbox_server.account.files.read(found) == smaller
    assert state_of(entry).backups[0].backup.size == len(smaller)
    assert state_of(entry).status is Status.UP_TO_DATE


async def test_of_two_archives_with_one_id_one_arrives(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put_local(hass, archive(1000, slug="5ame5ame", name="One"), "one.tar")
    put_local(hass, archive(2000, slug="5ame5ame", name="Two"), "two.tar")
    put_local(hass, archive(slug="0good000", name="Good"), "good.tar")
    entry = await set_up_entry(hass, dropbox_server)
    assert len(archives(dropbox_server)) == 2
    assert in_dropbox(entry) in ({"Good", "One"}, {"Good", "Two"})


async def test_another_backup_with_the_id_of_one_here_keeps_it_from_nothing_and_is_left_alone(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    there = archive(2000, name="Theirs", date="2025-06-07T08:09:10+00:00")
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/theirs.tar", there)
    put_local(hass, archive())
    put_local(hass, archive(slug="0good000", name="Good"), "good.tar")
    entry = await set_up_entry(hass, dropbox_server)
    assert in_dropbox(entry) == {"Odd", "Good"}
    assert refused(entry) == {}
    [odd] = [one for one in state_of(entry).backups if one.backup.backup_id == BAD_ID]
    assert odd.verified
    assert [one.file.name for one in odd.bad_copies] == ["theirs.tar"]
    assert dropbox_server.account.files.read(f"{DEFAULT_FOLDER}/theirs.tar") == there


# The date parser that Home Assistant uses ends the process at half a character: in Dropbox lies
# what anybody put there. (Without the guarded reader this test ends the test run.)
@pytest.mark.parametrize(
    "about",
    [
        {"date": "\ud800"},
        {"extra": {"supervisor.backup_request_date": "2026-01-02T03:04:05\udfff"}},
        {"name": "\ud800", "extra": {"x": "\udc00", "\ud800": True}},
        {"addons": [{"slug": "\ud800", "name": "\ud800", "version": "\ud800"}]},
        {"date": "0001-01-01T00:00:00+14:00"},
        {"date": "9999-12-31T23:59:59-14:00"},
        {"date": "2026-01-02T03:04:05"},
        {"date": "x" * 10_000},
        {"homeassistant": {"version": "\ud800" * 10}},
        {"slug": "\ud800"},
    ],
    ids=ascii,
)
async def test_an_archive_in_dropbox_with_any_metadata_hurts_neither_page_nor_worker(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    open_page: OpenPage,
    about: dict[str, Any],
) -> None:
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/odd.tar", archive(**about))
    put_local(hass, archive(**(about | {"slug": "2222aaaa"})), "local.tar")
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    for _ in range(2):  # also from what is remembered
        await make_backup(hass, "Good")
        await wait_until_idle(hass, entry)
        found = await page.send("backup/info")
        assert found["success"]
        assert not found["result"]["agent_errors"]
        assert "Good" in in_dropbox(entry)
        assert state_of(entry).problem is None
        for one in found["result"]["backups"]:
            if agent_id_of(entry) in one["agents"] and "backup.local" not in one["agents"]:
                assert datetime.fromisoformat(one["date"]).tzinfo is not None
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until_idle(hass, entry)
