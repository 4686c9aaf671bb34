"""What lies in Dropbox is known after a restart as well, until Dropbox itself answers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
import json
import time
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant
from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import CONF_FOLDER, DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.errors import DropboxError
from custom_components.dropbox_backup.sync.decide.models import BackupId, RemoteBackup, RemoteFile
from custom_components.dropbox_backup.sync.remote.catalog import entry_of
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import (
    Listing,
    ListingCache,
    Snapshot,
    parse_snapshot,
    write_snapshot,
)
from custom_components.dropbox_backup.sync.storage.file import StorageFile
from custom_components.dropbox_backup.sync.storage.write_hold import write_hold_of
from tests.support.account import (
    ASKED,
    archives,
    engine_of,
    entity,
    make_backup,
    notes_of,
    set_up_entry,
    start_again,
    state_of,
    storage_key,
    wait_until,
    wait_until_idle,
)
from tests.support.backups import US, backup, folders, json_values, remote
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.folder import FOLDER, ids, put, store
from tests.support.waits import try_once

KEY = f"{DOMAIN}.entry.listing"
CONTINUE = "files/list_folder/continue"


def snapshot_of(backups: list[RemoteBackup], path: str = FOLDER) -> Snapshot:
    return Snapshot(
        path=path,
        cursor="cursor",
        files={one.file.name.lower(): one.file for one in backups},
        unlisted=frozenset(),
        catalog={one.file.name: entry_of(one) for one in backups},
        catalog_rev="0123456789abcdef",
    )


# What is on disk


@given(folders)
def test_what_is_written_is_read_back(backups: list[RemoteBackup]) -> None:
    snapshot = snapshot_of(backups)
    assert parse_snapshot(json.loads(json.dumps(write_snapshot(snapshot)))) == snapshot


@given(json_values, st.sampled_from(list(write_snapshot(snapshot_of([])))), folders)
def test_nonsense_is_no_listing(value: Any, key: str, backups: list[RemoteBackup]) -> None:
    assert parse_snapshot(value) is None
    written = write_snapshot(snapshot_of(backups))
    found = parse_snapshot({**written, key: value})
    assert found is None or isinstance(found, Snapshot)
    for position in range(len(written["files"])):
        damaged = list(written["files"])
        damaged[position] = value
        assert parse_snapshot({**written, "files": damaged}) is None, (
            "it would lack a file for ever"
        )


def nested() -> object:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize("key", ["path", "cursor", "files", "unlisted", "catalog", "catalog_rev"])
def test_no_nesting_is_too_deep_to_be_refused(key: str) -> None:
    written = write_snapshot(snapshot_of([remote(1)]))
    for value in (nested(), [nested()], [[nested()] * 5]):
        assert parse_snapshot({**written, key: value}) is None


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/Elsewhere"},
        {"catalog_rev": "fedcba9876543210"},
        {"files": {}},
        {"foreign": frozenset({"f" * 16})},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_whatever_changes_but_the_cursor_is_remembered(
    hass: HomeAssistant, hass_storage: dict[str, Any], other: dict[str, Any]
) -> None:
    known = snapshot_of([remote(1)])
    changed = replace(known, **other)
    for snapshot in (known, changed):
        cache = ListingCache(hass, "entry")
        await cache.load()
        cache.remember(snapshot)
        await cache.close()
        assert parse_snapshot(hass_storage[KEY]["data"]) == snapshot
    kept = hass_storage[KEY]
    cache = ListingCache(hass, "entry")
    await cache.load()
    cache.remember(replace(changed, cursor="later"))
    await cache.close()
    assert hass_storage[KEY] is kept


# A listing that began from nothing

OURS = remote(1).file
ANOTHER = replace(OURS, rev="f" * 16)


@pytest.mark.parametrize(
    ("listed", "during", "stands", "asked", "asked_next"),
    [
        ([], False, OURS, True, True),
        ([], True, OURS, False, True),
        ([OURS], False, OURS, False, False),
        ([OURS], True, OURS, False, False),
        ([ANOTHER], False, ANOTHER, False, False),
        ([ANOTHER], True, OURS, False, True),
    ],
)
def test_an_upload_stands_against_no_listing_that_began_after_it(
    listed: list[RemoteFile], during: bool, stands: RemoteFile, asked: bool, asked_next: bool
) -> None:
    earlier = Listing("cursor")
    if not during:
        earlier.insert(OURS)
    earlier.begin()
    if during:
        earlier.insert(OURS)
    anew = Listing("cursor", {file.name.lower(): file for file in listed}, looks=earlier.looks)
    anew.replaces(earlier)
    assert anew.archives == [stands]
    assert anew.unmentioned() == [OURS] * asked
    anew.begin()
    assert anew.unmentioned() == [OURS] * asked_next


def test_a_revision_that_is_gone_takes_no_other_with_it() -> None:
    listing = Listing("cursor", {OURS.name.lower(): ANOTHER})
    listing.remove(OURS)
    assert listing.archives == [ANOTHER]


def test_a_listing_that_mentions_our_upload_is_enough_and_an_older_file_in_its_place_no_news() -> (
    None
):
    name = OURS.name.lower()
    listing = Listing("cursor")
    listing.begin()
    listing.insert(OURS)
    listing.take({name: ANOTHER})
    assert listing.archives == [OURS]
    listing.take({name: OURS})
    listing.begin()
    assert listing.unmentioned() == []


def test_a_look_that_began_after_a_deletion_is_believed() -> None:
    listing = Listing("cursor", {OURS.name.lower(): OURS})
    listing.remove(OURS)
    listing.begin()
    listing.take({OURS.name.lower(): OURS})
    assert listing.archives == [OURS]


# The folder


@asynccontextmanager
async def folder_after_a_start(
    hass: HomeAssistant, client: DropboxClient, path: str = FOLDER, app: str | None = None
) -> AsyncGenerator[BackupFolder]:
    """Return the folder with what was remembered; what is known at the end is remembered."""
    cache = ListingCache(hass, "entry", app)
    folder = BackupFolder(client, path, US, lambda _: None, cache)
    await folder.recall()
    yield folder
    await cache.close()


@pytest.fixture
async def remembered(hass: HomeAssistant, client: DropboxClient) -> set[str]:
    """Have three backups in Dropbox and in memory; return their ids."""
    await client.create_folder(FOLDER)
    async with folder_after_a_start(hass, client) as folder:
        assert not folder.known
        await folder.refresh()
        for number in range(3):
            await store(client, folder, backup(number))
        await folder.refresh()
        return ids(folder)


async def test_going_on_after_a_restart_costs_one_request(
    hass: HomeAssistant, client: DropboxClient, remembered: set[str], dropbox_server: DropboxServer
) -> None:
    async with folder_after_a_start(hass, client) as folder:
        assert folder.known
        assert ids(folder) == remembered
        assert folder.cursor is None, "it was not seen yet"
        dropbox_server.log.clear()
        await folder.refresh()
        assert dropbox_server.log.counters == {CONTINUE: 1}
        assert ids(folder) == remembered


async def test_what_happened_meanwhile_is_learned(
    hass: HomeAssistant, client: DropboxClient, remembered: set[str]
) -> None:
    elsewhere = BackupFolder(client, FOLDER, US, lambda _: None)
    await elsewhere.refresh()
    await store(client, elsewhere, backup(7))
    await elsewhere.delete(elsewhere.find(backup(0).backup_id))
    async with folder_after_a_start(hass, client) as folder:
        await folder.refresh()
        assert ids(folder) == ids(elsewhere) != remembered
    async with folder_after_a_start(hass, client) as folder:
        assert ids(folder) == ids(elsewhere), "and remembered in its turn"


@pytest.mark.parametrize("cursor", ["nonsense", "expired"])
async def test_a_cursor_that_is_refused_costs_a_whole_listing(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    client: DropboxClient,
    remembered: set[str],
    dropbox_server: DropboxServer,
    cursor: str,
) -> None:
    if cursor == "nonsense":
        hass_storage[KEY]["data"]["cursor"] = cursor
    else:
        dropbox_server.account.files.expire_cursors()
    hass_storage[KEY]["data"]["files"].clear()
    async with folder_after_a_start(hass, client) as folder:
        assert not folder.backups
        await folder.refresh()
        assert ids(folder) == remembered


async def test_another_folder_is_another_matter(
    hass: HomeAssistant, client: DropboxClient, remembered: set[str]
) -> None:
    async with folder_after_a_start(hass, client, "/Elsewhere") as folder:
        assert not folder.known
        assert not folder.backups


async def test_another_app_may_see_another_folder(
    hass: HomeAssistant, client: DropboxClient, remembered: set[str]
) -> None:
    async with folder_after_a_start(hass, client, app="another") as folder:
        assert not folder.known
        assert not folder.backups
        await folder.refresh()
    async with folder_after_a_start(hass, client, app="another") as folder:
        assert ids(folder) == remembered


async def test_it_is_written_only_when_something_changed(
    hass: HomeAssistant, hass_storage: dict[str, Any], client: DropboxClient, remembered: set[str]
) -> None:
    before = hass_storage[KEY]
    async with folder_after_a_start(hass, client) as folder:
        for _ in range(3):
            await folder.refresh()
    assert hass_storage[KEY] is before
    await put(client, "letter.txt", b"dear")
    async with folder_after_a_start(hass, client) as folder:
        await folder.refresh()
    assert hass_storage[KEY] is not before


async def test_who_waits_for_a_writing_does_not_write_once_it_is_held_back(
    hass: HomeAssistant, hass_storage: dict[str, Any]
) -> None:
    written: list[int] = []

    def content() -> dict[str, Any]:
        written.append(1)
        return {}

    file = StorageFile(hass, "test", content, delay=10, in_thread=True)
    file.changed()
    hold = write_hold_of(hass)
    holding = asyncio.create_task(hold.hold_writes())
    await asyncio.sleep(0)
    saving = asyncio.create_task(file.save())
    await asyncio.gather(holding, saving)
    assert len(written) == 1
    file.changed()
    await hold.release_writes()
    assert len(written) == 2
    await file.close()


async def test_it_keeps_quiet_while_home_assistant_packs_its_storage(
    hass: HomeAssistant, hass_storage: dict[str, Any], client: DropboxClient, remembered: set[str]
) -> None:
    before = hass_storage[KEY]
    async with folder_after_a_start(hass, client) as folder:
        await folder.refresh()
        await write_hold_of(hass).hold_writes()
        await store(client, folder, backup(8))
        await folder.refresh()
        assert hass_storage[KEY] is before
        await write_hold_of(hass).release_writes()
        assert len(hass_storage[KEY]["data"]["files"]) == 5


# The whole


@pytest.fixture
async def entry(hass: HomeAssistant, dropbox_server: DropboxServer) -> DropboxBackupConfigEntry:
    """Have an account with one backup in Dropbox, that is not loaded now."""
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    await hass.config_entries.async_unload(entry.entry_id)
    return entry


@pytest.fixture
def away(dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, times=None))


@pytest.mark.usefixtures("entry", "away", "quick_worker")
async def test_the_backups_are_shown_while_dropbox_is_away_after_a_restart(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, dropbox_server: DropboxServer
) -> None:
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entity(hass, entry, "sensor", "backups_in_dropbox").state == "1"
    agent = async_get_manager(hass).backup_agents[agent_id_of(entry)]
    [listed] = await agent.async_list_backups()
    assert await agent.async_get_backup(listed.backup_id) == listed

    # But nothing is deleted because of it, not even what a person wants deleted.
    with pytest.raises(DropboxError):
        await engine_of(entry).delete([BackupId(listed.backup_id)], ASKED)
    assert dropbox_server.log.count("files/delete_v2") == 0
    assert notes_of(entry).dismissed == set()

    dropbox_server.faults.clear()
    engine_of(entry).request("Dropbox is back")
    await wait_until(lambda: state_of(entry).problem is None)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1


async def test_nonsense_on_disk_keeps_nobody_from_working(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
) -> None:
    key = f"{storage_key(entry)}.listing"
    hass_storage[key]["data"] = {"files": [None], "cursor": 7}
    await start_again(hass, entry)
    assert len(state_of(entry).backups) == 1
    assert entry.data[CONF_FOLDER] == FOLDER


async def test_a_thousand_backups_are_recalled_without_holding_anybody_up(
    hass: HomeAssistant, hass_storage: dict[str, Any], client: DropboxClient
) -> None:
    data = write_snapshot(snapshot_of([remote(number) for number in range(1000)]))
    hass_storage[KEY] = {"version": 1, "minor_version": 1, "key": KEY, "data": data}
    folder = BackupFolder(client, FOLDER, US, lambda _: None, ListingCache(hass, "entry"))
    longest = []
    for _ in range(5):
        async with stalls() as found:
            await folder.recall()
        longest.append(max(found))
    assert len(folder.backups) == 1000
    assert min(longest) < 0.02, longest


@asynccontextmanager
async def stalls() -> AsyncGenerator[list[float]]:
    """Note how many seconds of the processor the event loop took at a time: what others on a busy
    machine take does not count.
    """
    found = [0.0]

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            found.append(time.thread_time() - before)

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    yield found
    task.cancel()


def test_dates_without_a_zone_are_nonsense() -> None:
    written = write_snapshot(snapshot_of([remote(1)]))
    written["files"][0][4] = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None).isoformat()
    assert parse_snapshot(written) is None
