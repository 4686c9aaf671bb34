"""The backup folder: cheap to list, hard to confuse, and never broken by one file."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
import json

import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests, content_hash
from custom_components.dropbox_backup.dropbox_api.errors import (
    FullError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from custom_components.dropbox_backup.dropbox_api.types import File, UploadCommit
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.decide.models import RemoteBackup, id_of
from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
from custom_components.dropbox_backup.sync.remote.listing import remote_file
from custom_components.dropbox_backup.sync.remote.remote_files import RemoteFiles
from tests.support.account import wait_until
from tests.support.archives import CORE, SUPERVISOR, archive
from tests.support.backups import THEM, US, backup
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind, Rules
from tests.support.folder import FOLDER, ids, put, put_quietly, store

DOWNLOAD = "files/download"
FULL = {".tag": "path", "reason": {".tag": "insufficient_space"}}


def open_folder(client: DropboxClient, instance: str = US) -> BackupFolder:
    return BackupFolder(client, FOLDER, instance, lambda _: None)


@pytest.fixture
async def folder(client: DropboxClient) -> BackupFolder:
    await client.create_folder(FOLDER)
    folder = open_folder(client)
    await folder.refresh()
    return folder


async def test_backups_are_listed_newest_first_however_they_came(
    client: DropboxClient, folder: BackupFolder
) -> None:
    for number in (1, 3, 0, 2):
        await store(client, folder, backup(number))
    assert [one.backup.name for one in folder.backups] == [f"Backup {n}" for n in (3, 2, 1, 0)]


async def test_a_missing_folder_is_told(client: DropboxClient) -> None:
    with pytest.raises(NotFoundError):
        await open_folder(client).refresh()


@pytest.mark.parametrize("count", [1, 30])
async def test_listing_costs_two_requests_cold_and_one_warm(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer, count: int
) -> None:
    for number in range(count):
        await store(client, folder, backup(number))
    dropbox_server.log.clear()
    cold = open_folder(client)
    await cold.refresh()
    assert sum(dropbox_server.log.counters.values()) == 2
    assert sorted(cold.backups, key=str) == sorted(folder.backups, key=str)
    dropbox_server.log.clear()
    await cold.refresh()
    assert dropbox_server.log.counters == {"files/list_folder/continue": 1}


async def test_a_folder_of_many_pages_is_listed_whole(
    client: DropboxClient,
    folder: BackupFolder,
    account: DropboxAccount,
    dropbox_server: DropboxServer,
) -> None:
    dropbox_server.rules = Rules(largest_page=150)  # one answer is about 100 KB
    for number in range(400):
        account.files.put(f"{FOLDER}/{'letter' * 20} {number}.txt", b"")
    stored = await store(client, folder, backup(1))
    dropbox_server.log.clear()
    again = open_folder(client)
    await again.refresh()
    assert dropbox_server.log.count("files/list_folder/continue") == 2
    assert [one.file for one in again.backups] == [stored.file]


async def test_a_listing_that_never_ends_is_given_up(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await store(client, folder, backup(1))
    answer: dict[str, object] = {"entries": [], "cursor": folder.cursor, "has_more": True}
    dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            route="files/list_folder/continue",
            status=200,
            body=json.dumps(answer),
            times=None,
        )
    )
    with pytest.raises(UnreachableError, match="listing endless"):
        await folder.refresh()
    assert ids(folder) == {backup(1).backup_id}


async def test_what_was_uploaded_by_hand_is_adopted(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await put(client, "core.tar", archive(CORE))
    await put(client, "supervisor.tar", archive(SUPERVISOR, last=True))
    await folder.refresh()
    assert ids(folder) == {CORE["slug"], SUPERVISOR["slug"]}
    core = folder.get("1a2b3c4d")
    assert core is not None
    assert (core.owner, core.verified) == ("abc", None)
    supervisor = folder.get("5e6f7a8b")
    assert supervisor is not None
    assert supervisor.owner is None, "its archive does not say who made it"

    dropbox_server.log.clear()
    later = open_folder(client)
    await later.refresh()
    assert ids(later) == ids(folder)
    assert dropbox_server.log.count(DOWNLOAD) == 1, "the catalog knows them now"


async def test_reading_a_large_archive_of_core_costs_one_small_request(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await put(client, "large.tar", archive(CORE) + bytes(20_000_000))
    dropbox_server.log.clear()
    await folder.refresh()
    assert dropbox_server.log.count(DOWNLOAD) == 1
    assert dropbox_server.log.bytes_sent(DOWNLOAD) <= 64 * 1024


async def test_a_sidecar_of_home_assistants_own_integration_is_read(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    made = backup(7, name="From core")
    await put(client, "From_core.tar", archive(CORE))
    await put(client, "From_core.metadata.json", json.dumps(made.as_dict()).encode())
    await folder.refresh()
    assert ids(folder) == {made.backup_id}


@pytest.mark.parametrize("sidecar", [b"", b"null", b'{"extra_metadata": null}', b"[" * 9999])
async def test_an_odd_sidecar_gives_way_to_the_archive(
    client: DropboxClient, folder: BackupFolder, sidecar: bytes
) -> None:
    await put(client, "x.tar", archive(CORE))
    await put(client, "x.metadata.json", sidecar)
    await folder.refresh()
    assert ids(folder) == {CORE["slug"]}


async def test_files_that_are_no_backups_are_left_alone_and_read_once(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await put(client, "holiday.tar", b"not a tar")
    await put(client, "empty.tar", b"")
    await put(client, "letter.txt", b"dear")
    await client.create_folder(f"{FOLDER}/folder.tar")
    await put(client, "good.tar", archive(CORE))
    await folder.refresh()
    assert ids(folder) == {CORE["slug"]}
    dropbox_server.log.clear()
    await folder.refresh()
    assert dropbox_server.log.count(DOWNLOAD) == 0


async def test_changes_made_elsewhere_are_seen(client: DropboxClient, folder: BackupFolder) -> None:
    stored = await store(client, folder, backup(1))
    other = open_folder(client)
    await other.refresh()
    await other.delete(stored)
    await store(client, other, backup(2))
    await folder.refresh()
    assert ids(folder) == {backup(2).backup_id}


async def test_two_houses_share_a_folder_without_undoing_each_others_notes(
    client: DropboxClient, folder: BackupFolder
) -> None:
    ours = await store(client, folder, backup(1))
    neighbours = open_folder(client, THEM)
    await neighbours.refresh()
    # Both write on top of the same catalog; the second must take over what the first wrote.
    await folder.annotate(ours.file, pinned=True)
    await store(client, neighbours, backup(2, owner=THEM))
    seen = open_folder(client)
    await seen.refresh()
    assert ids(seen) == {backup(1).backup_id, backup(2).backup_id}
    pinned = seen.get(backup(1).backup_id)
    assert pinned is not None
    assert pinned.pinned


@pytest.mark.parametrize("junk", [b"", b"{}", b"\x00\xff", b'{"backups": {"x": 1}}'])
async def test_a_lost_or_broken_catalog_is_rebuilt(
    client: DropboxClient, folder: BackupFolder, account: DropboxAccount, junk: bytes
) -> None:
    await store(client, folder, backup(1, owner="abc"))
    account.files.put(f"{FOLDER}/{CATALOG_NAME}", junk)
    again = open_folder(client)
    await again.refresh()
    assert ids(again) == {backup(1).backup_id}
    last = open_folder(client)
    await last.refresh()
    assert ids(last) == {backup(1).backup_id}


async def test_a_catalog_that_somebody_deleted_is_written_again(
    client: DropboxClient, folder: BackupFolder
) -> None:
    await store(client, folder, backup(1))
    catalog = await client.get_metadata(f"{FOLDER}/{CATALOG_NAME}")
    assert isinstance(catalog, File)
    await client.delete(f"{FOLDER}/{CATALOG_NAME}", catalog.rev)
    await store(client, folder, backup(2))
    again = open_folder(client)
    await again.refresh()
    assert ids(again) == {backup(1).backup_id, backup(2).backup_id}


async def test_proof_of_our_upload_survives_the_loss_of_the_catalog(
    client: DropboxClient, account: DropboxAccount, folder: BackupFolder
) -> None:
    data = archive(SUPERVISOR, last=True)
    await put(client, "supervisor.tar", data)
    ours = BackupFolder(
        client, FOLDER, US, {SUPERVISOR["slug"]: content_hash(block_digests(data))}.get
    )
    await ours.refresh()
    found = ours.get(str(SUPERVISOR["slug"]))
    assert found is not None
    assert found.owner == US
    assert found.verified


async def test_of_two_files_with_one_id_the_verified_one_counts(
    client: DropboxClient, folder: BackupFolder
) -> None:
    await put(client, "copy.tar", archive({**CORE, "slug": backup(1).backup_id}) + bytes(512))
    await folder.refresh()
    stored = await store(client, folder, backup(1))
    again = open_folder(client)
    await again.refresh()
    found = again.get(backup(1).backup_id)
    assert found is not None
    assert found.file == stored.file


async def test_a_second_file_with_the_same_id_is_read_once_and_written_down(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    """Else every look would write the catalog, and every writing would call for a look."""
    await put(client, "x.tar", archive(CORE))
    await put(client, "x (2).tar", archive(CORE) + bytes(512))
    await folder.refresh()
    dropbox_server.log.clear()
    await folder.refresh()
    await folder.refresh()
    assert dropbox_server.log.counters == {"files/list_folder/continue": 2}
    again = open_folder(client)
    await again.refresh()
    assert dropbox_server.log.count(DOWNLOAD) == 1, "only the catalog"


async def test_looking_while_a_backup_is_recorded_does_not_lose_it(
    client: DropboxClient, folder: BackupFolder
) -> None:
    made = backup(1)
    data = archive({**CORE, "slug": made.backup_id, "date": made.date})
    metadata = await client.upload(
        data, UploadCommit(folder.path_for(made)), content_hash(block_digests(data))
    )
    file = remote_file(metadata)
    stored = RemoteBackup(replace(made, size=len(data)), file, owner=US, verified=datetime.now(UTC))
    await asyncio.gather(folder.insert(stored), *(folder.refresh() for _ in range(3)))
    again = open_folder(client)
    await again.refresh()
    assert again.get(made.backup_id) == stored


async def test_a_listing_that_is_older_than_what_we_wrote_meanwhile_takes_nothing_back(
    client: DropboxClient, folder: BackupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await store(client, folder, backup(1))
    await folder.refresh()
    known = replace(first, pinned=True)
    listed = RemoteFiles.refresh

    async def slow_list(self: RemoteFiles, of: DropboxClient) -> None:
        await listed(self, of)
        await folder.annotate(
            known.file, pinned=True
        )  # the answer of this is here before that of the listing is used

    monkeypatch.setattr(RemoteFiles, "refresh", slow_list)
    await store(client, folder, backup(2))
    await folder.refresh()
    monkeypatch.undo()
    assert folder.get(first.backup.backup_id) == known
    again = open_folder(client)
    await again.refresh()
    assert again.get(first.backup.backup_id) == known


async def test_the_neighbours_look_does_not_undo_what_we_know(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    """They may have read an archive that does not say whose it is, just when we wrote it down."""
    neighbours = open_folder(client, THEM)
    await neighbours.refresh()
    data = archive(SUPERVISOR, last=True)
    await put(client, "supervisor.tar", data)
    late = dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=60))
    looking = asyncio.create_task(neighbours.refresh())
    await wait_until(lambda: late.applied)
    await folder.refresh()
    [found] = folder.backups
    ours = replace(found, owner=US, verified=datetime.now(UTC))
    await folder.annotate(found.file, owner=US, verified=ours.verified)
    late.take_out()
    await looking
    again = open_folder(client)
    await again.refresh()
    assert list(again.backups) == [ours]


async def test_a_replaced_file_is_not_deleted(
    client: DropboxClient, account: DropboxAccount, folder: BackupFolder
) -> None:
    stored = await store(client, folder, backup(1))
    account.files.put(folder.path_of(stored.file.name), b"something of the user's")
    with pytest.raises(RefusedError):
        await folder.delete(stored)
    assert account.files.read(folder.path_of(stored.file.name)) == b"something of the user's"


async def test_deleting_what_is_gone_is_fine(client: DropboxClient, folder: BackupFolder) -> None:
    stored = await store(client, folder, backup(1))
    await client.delete(folder.path_of(stored.file.name), stored.file.rev)
    await folder.delete(stored)
    assert ids(folder) == set()


async def test_a_listing_that_must_start_again_does(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await store(client, folder, backup(1))
    reset = {".tag": "reset"}
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, route="files/list_folder/continue", status=409, error=reset)
    )
    await folder.refresh()
    assert ids(folder) == {backup(1).backup_id}


async def test_what_was_known_stays_known_while_dropbox_is_away(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await store(client, folder, backup(1))
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    with pytest.raises(UnreachableError):
        await folder.refresh(retry_for=0.1)
    assert ids(folder) == {backup(1).backup_id}


async def test_backups_recorded_at_once_share_a_writing_and_none_is_lost(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    dropbox_server.rules = Rules(write_lock=True, write_duration=0.1)
    stored = [await put_quietly(client, folder, backup(number)) for number in range(20)]
    dropbox_server.log.clear()
    await asyncio.gather(*(folder.insert(one) for one in stored))
    assert dropbox_server.log.counters == {"files/upload": 2}, "the first, then all others"
    later = open_folder(client)
    await later.refresh(adopt=False)
    assert ids(later) == {id_of(one.backup) for one in stored}
    assert all(one.verified for one in later.backups)


async def test_looking_while_a_writing_is_under_way_loses_none_that_waits_for_the_next(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    first, second = [await put_quietly(client, folder, backup(number)) for number in range(2)]
    dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=0.5, when="after"))
    recording = [asyncio.create_task(folder.insert(one)) for one in (first, second)]
    await asyncio.sleep(0.2)  # the first is written, and nobody has told us yet
    await folder.refresh(adopt=False)
    assert len(folder.backups) == 2
    await asyncio.gather(*recording)
    later = open_folder(client)
    await later.refresh(adopt=False)
    assert len(later.backups) == 2


async def test_all_that_share_a_writing_are_told_that_it_failed(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    stored = [await put_quietly(client, folder, backup(number)) for number in range(5)]
    dropbox_server.log.clear()
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, "files/upload", status=409, error=FULL, times=2)
    )
    results = await asyncio.gather(*(folder.insert(one) for one in stored), return_exceptions=True)
    assert [type(one) for one in results] == [FullError] * 5
    assert dropbox_server.log.count("files/upload") == 2
    await folder.save_catalog()
    later = open_folder(client)
    await later.refresh(adopt=False)
    assert len(later.backups) == 5


async def test_who_stops_waiting_for_a_shared_writing_takes_nobody_with_them(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    dropbox_server.rules = Rules(write_duration=0.2)
    stored = [await put_quietly(client, folder, backup(number)) for number in range(3)]
    first, *others = [asyncio.create_task(folder.insert(one)) for one in stored]
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.gather(*others)
    later = open_folder(client)
    await later.refresh(adopt=False)
    assert len(later.backups) == 3


async def test_shared_writings_go_on_top_of_what_another_home_assistant_wrote(
    client: DropboxClient, folder: BackupFolder
) -> None:
    other = open_folder(client, THEM)
    await other.refresh()
    stored = [await put_quietly(client, folder, backup(number)) for number in range(4)]
    await store(client, other, backup(9))
    await asyncio.gather(*(folder.insert(one) for one in stored))
    later = open_folder(client)
    await later.refresh(adopt=False)
    assert len(later.backups) == 5


async def test_a_catalog_that_could_not_be_written_is_written_by_the_next_look(
    client: DropboxClient, folder: BackupFolder, dropbox_server: DropboxServer
) -> None:
    await store(client, folder, backup(1))
    stored = await put_quietly(client, folder, backup(2))
    dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            route="files/upload",
            status=409,
            body=json.dumps({"error_summary": "path/", "error": FULL}),
        )
    )
    with pytest.raises(FullError):
        await folder.insert(stored)
    await folder.refresh()
    again = open_folder(client)
    await again.refresh(adopt=False)
    assert len(again.backups) == 2
