"""What the folder shows lies in Dropbox, whatever comes between a call and a listing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.download import read_range
from custom_components.dropbox_backup.sync.decide.models import Protection
from custom_components.dropbox_backup.sync.remote import archive_reader
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import Listing, ListingCache
from custom_components.dropbox_backup.sync.remote.remote_files import RemoteFiles
from tests.support.acts import Between
from tests.support.backups import US, backup
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind
from tests.support.folder import FOLDER, ids, put_quietly, store

CONTINUE = "files/list_folder/continue"
RESET = {".tag": "reset"}


@pytest.fixture
async def folder(client: DropboxClient) -> BackupFolder:
    await client.create_folder(FOLDER)
    folder = BackupFolder(client, FOLDER, US, lambda _: None)
    await folder.refresh()
    return folder


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    return Between(monkeypatch)


def never_tell(account: DropboxAccount, path: str) -> None:
    """Delete a file so that no listing tells: it came and went between two of them."""
    account.files.delete(path)
    account.files.last_change[path.lower()] = 0


async def test_what_came_and_went_between_two_listings_is_no_ghost(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    never_tell(account, folder.path_of(stored.file.name))
    await folder.refresh()
    assert ids(folder) == set()


async def test_what_dropbox_says_of_a_revision_stands_against_what_is_remembered(
    client: DropboxClient, folder: BackupFolder
) -> None:
    stored = (await store(client, folder, backup(1))).file
    wrong = replace(stored, content_hash="0" * 64)
    files = RemoteFiles(FOLDER, lambda: None)
    files.recall(Listing("a cursor", {wrong.name.lower(): wrong}))
    assert not await files.ask(client, wrong)
    assert files.get(wrong.name) == stored
    assert await files.ask(client, stored)


async def test_what_a_listing_has_mentioned_is_not_asked_for(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await store(client, folder, backup(1))
    dropbox_server.log.clear()
    await folder.refresh()
    await folder.refresh()
    assert dropbox_server.log.counters == {CONTINUE: 2}


async def test_what_a_listing_passes_over_and_is_there_stays(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    account.files.last_change[folder.path_of(stored.file.name).lower()] = 0
    await folder.refresh()
    assert ids(folder) == {backup(1).backup_id}


async def test_a_listing_from_before_the_upload_takes_nothing_back(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount, between: Between
) -> None:
    """An older file was deleted in the same place: that is what the listing tells."""
    path = folder.path_for(backup(1))
    account.files.put(path, b"older")
    await folder.refresh()
    account.files.delete(path)
    between.after("list_folder_continue", lambda: store(client, folder, backup(1)))
    await folder.refresh()
    assert ids(folder) == {backup(1).backup_id}
    await folder.refresh()
    assert ids(folder) == {backup(1).backup_id}


async def test_a_listing_that_ends_after_upload_and_deletion_leaves_no_ghost(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount, between: Between
) -> None:
    """It tells of the deletion, and could as well be older than the upload."""
    stored = await put_quietly(client, folder, backup(1))
    account.files.delete(folder.path_of(stored.file.name))
    between.after("list_folder_continue", lambda: folder.insert(stored))
    await folder.refresh()
    await folder.refresh()
    assert ids(folder) == set()


async def test_a_listing_that_starts_again_keeps_what_is_uploaded_meanwhile(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer, between: Between
) -> None:
    await store(client, folder, backup(1))
    dropbox_server.faults.add(Fault(FaultKind.STATUS, route=CONTINUE, status=409, error=RESET))
    between.after("list_folder", lambda: store(client, folder, backup(2)))
    await folder.refresh()
    assert ids(folder) == {backup(1).backup_id, backup(2).backup_id}


@pytest.mark.parametrize("anew", [False, True], ids=["what changed", "everything"])
async def test_a_listing_from_before_our_deletion_brings_nothing_back(
    client: DropboxClient,
    folder: BackupFolder,
    dropbox_server: DropboxServer,
    between: Between,
    anew: bool,
) -> None:
    stored = await store(client, folder, backup(1))
    if anew:
        dropbox_server.faults.add(Fault(FaultKind.STATUS, route=CONTINUE, status=409, error=RESET))
    method = "list_folder" if anew else "list_folder_continue"
    between.after(method, lambda: folder.delete(stored))
    await folder.refresh()
    assert ids(folder) == set()


async def test_a_file_that_took_the_place_of_ours_is_seen_even_if_no_listing_tells(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    path = folder.path_of(stored.file.name)
    account.files.put(path, b"cut off")
    account.files.last_change[path.lower()] = 0
    await folder.refresh()
    assert ids(folder) == set()
    never_tell(account, path)
    await folder.refresh()
    assert folder.file(stored.file.name) is None


async def test_an_annotation_makes_no_file_of_what_is_gone(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    account.files.delete(folder.path_of(stored.file.name))
    await folder.refresh()
    assert not await folder.annotate(stored.file, pinned=True)
    assert ids(folder) == set()


async def test_an_annotation_is_of_the_revision_it_was_made_for(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    path = folder.path_of(stored.file.name)
    content = account.files.read(path)
    account.files.put(path, content + bytes(512))
    await folder.refresh()
    assert not await folder.annotate(stored.file, verified=datetime.now(UTC))
    [found] = folder.backups
    assert found.verified is None


async def test_an_annotation_leaves_the_others_alone(
    client: DropboxClient, folder: BackupFolder
) -> None:
    stored = await store(client, folder, backup(1))
    assert await folder.annotate(stored.file, pinned=True)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert await folder.annotate(stored.file, verified=later)
    assert list(folder.backups) == [replace(stored, pinned=True, verified=later)]


async def test_asking_for_a_file_tells_what_is_there_now(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    assert await folder.ask(stored.file)
    account.files.delete(folder.path_of(stored.file.name))
    assert not await folder.ask(stored.file)
    assert ids(folder) == set()


async def test_what_no_listing_mentioned_is_asked_for_after_a_restart(
    hass: HomeAssistant, client: DropboxClient, account: DropboxAccount
) -> None:
    await client.create_folder(FOLDER)
    cache = ListingCache(hass, "entry")
    await cache.load()
    folder = BackupFolder(client, FOLDER, US, lambda _: None, cache)
    await folder.refresh()
    stored = await store(client, folder, backup(1))
    await cache.close()
    never_tell(account, folder.path_of(stored.file.name))
    restarted = BackupFolder(client, FOLDER, US, lambda _: None, ListingCache(hass, "entry"))
    await restarted.recall()
    assert ids(restarted) == {backup(1).backup_id}, "that is what was known"
    await restarted.refresh()
    assert ids(restarted) == set()


async def test_what_came_and_went_before_everything_is_listed_anew_is_no_ghost(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount
) -> None:
    stored = await store(client, folder, backup(1))
    never_tell(account, folder.path_of(stored.file.name))
    folder.forget_cursor()  # Dropbox told the watch of the folder that it is dead
    await folder.refresh()
    assert ids(folder) == set()


async def test_what_we_record_while_its_archive_is_read_stays_as_recorded(
    client: DropboxClient, folder: BackupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing may mention an upload before Dropbox has answered it."""
    stored = replace(
        await put_quietly(client, folder, backup(1)),
        pinned=True,
        protection=Protection.NOT_ENCRYPTED,
    )

    async def read_and_record(*args: Any) -> bytes:
        data = await read_range(*args)
        await folder.insert(stored)
        return data

    monkeypatch.setattr(archive_reader, "read_range", read_and_record)
    await folder.refresh()
    assert folder.backups == (stored,)
    again = BackupFolder(client, FOLDER, US, lambda _: None)
    await again.refresh()
    assert again.backups == (stored,)
