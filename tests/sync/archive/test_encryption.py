"""A backup that is encrypted on its way goes on after a restart, and is never sent for nothing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
import contextlib
from dataclasses import dataclass, replace
from http import HTTPStatus
import io
import json
import os
from pathlib import Path
import tarfile
from typing import Any

from homeassistant.components.backup import AgentBackup, BackupAgentError, async_get_manager
from homeassistant.components.backup.util import DecryptedBackupStreamer, EncryptedBackupStreamer
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.errors import DropboxError
from custom_components.dropbox_backup.dropbox_api.upload.upload import Lane, UploadPool
from custom_components.dropbox_backup.sync.archive.encryption import Root
from custom_components.dropbox_backup.sync.decide.models import RemoteBackup
from custom_components.dropbox_backup.sync.local.encrypted_source import EncryptedSource
from custom_components.dropbox_backup.sync.local.local_source import LocalSource
from custom_components.dropbox_backup.sync.local.sources import as_in_dropbox
from custom_components.dropbox_backup.sync.local.stream_source import StreamSource
from custom_components.dropbox_backup.sync.remote.listing import ListingCache
from tests.support.account import (
    MIB,
    archives,
    local_path,
    make_backup,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    the_archive,
    wait_until,
)
from tests.support.backups import US
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.dropbox_server.request_log import RequestRecord
from tests.support.uploads import FOLDER, PASSWORD, Uploads, restart_agent

SIZE = 22 * MIB
APPEND = "files/upload_session/append_v2"
FINISH = "files/upload_session/finish"


@dataclass(slots=True)
class Disk:
    """What Home Assistant has written, which is all that is left when the power goes."""

    storage: dict[str, Any]

    @contextlib.contextmanager
    def as_it_is_now(self) -> Any:
        """Throw away what is written later."""
        before = json.dumps(self.storage)
        yield
        self.storage.clear()
        self.storage.update(json.loads(before))


@pytest.fixture
def disk(hass_storage: dict[str, Any]) -> Disk:
    return Disk(hass_storage)


@pytest.fixture
async def made(hass: HomeAssistant, client: DropboxClient) -> AgentBackup:
    assert await async_setup_component(hass, "backup", {})
    await hass.async_block_till_done()
    await client.create_folder(FOLDER)
    return await make_backup(hass, "Nightly", size=SIZE)


async def interrupt(
    upload: Coroutine[Any, Any, RemoteBackup],
    server: DropboxServer,
    disk: Disk,
    route: str,
    skip: int = 0,
) -> None:
    """Cut the power when a request has been worked on whose answer is on its way."""
    fault = Fault(FaultKind.STALL, route, skip=skip, seconds=2, when="after")
    server.faults.add(fault)
    task = asyncio.create_task(upload)
    await wait_until(lambda: fault.applied and server.log.of(route)[-1].processed)
    with disk.as_it_is_now():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    server.faults.clear()
    await wait_until(lambda: server.log.of(route)[-1].duration)


def members(data: bytes) -> dict[str, bytes]:
    """Return what an archive holds; what its backup.json says of encryption is left out."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            reader = tar.extractfile(member)
            assert reader is not None
            found[member.name] = reader.read()
    about = json.loads(found.pop("./backup.json"))
    return {**found, "about": json.dumps({**about, "protected": None}).encode()}


async def decrypted(hass: HomeAssistant, remote: RemoteBackup, data: bytes) -> bytes:
    """Decrypt an archive as Home Assistant does when it restores."""

    async def stored() -> AsyncIterator[bytes]:
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]

    async def open_stream() -> AsyncIterator[bytes]:
        return stored()

    streamer = DecryptedBackupStreamer(hass, remote.backup, open_stream, PASSWORD)
    try:
        return b"".join([piece async for piece in await streamer.open_stream()])
    finally:
        await streamer.wait()


async def check_restorable(hass: HomeAssistant, server: DropboxServer, made: AgentBackup) -> None:
    """Check that the one archive in Dropbox is encrypted, and holds what was backed up."""
    data = the_archive(server)
    plain = local_path(hass, made).read_bytes()
    assert members(data) != members(plain)
    remote: Any = RemoteBackup(replace(made, protected=True, size=len(data)), None, owner=US)  # type: ignore[arg-type]  # its file does not matter
    assert members(await decrypted(hass, remote, data)) == members(plain)


def offsets(server: DropboxServer) -> list[int]:
    """Return where in the archive the chunks belong that were sent."""
    arguments = [str(one.argument) for one in server.log.of(APPEND) if one.argument]
    return [json.loads(argument)["cursor"]["offset"] for argument in arguments]


async def test_after_a_power_cut_no_acknowledged_chunk_is_sent_again(
    hass: HomeAssistant,
    made: AgentBackup,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    disk: Disk,
) -> None:
    house = await Uploads.start(hass, client)
    await interrupt(house.upload(), dropbox_server, disk, APPEND, skip=3)
    acknowledged = offsets(dropbox_server)[:3]
    dropbox_server.log.clear()

    house = await Uploads.start(hass, client)
    assert house.journal.notes.key_root.salts
    remote = await house.upload()
    assert set(offsets(dropbox_server)).isdisjoint(acknowledged)
    assert dropbox_server.log.count("files/upload_session/start") <= 1, "one ahead of time"
    assert remote.verified
    assert remote.backup.protected
    await check_restorable(hass, dropbox_server, made)
    assert house.journal.notes.sessions == {}


async def test_an_upload_goes_on_when_the_line_is_back(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    house = await Uploads.start(hass, client)
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, APPEND, skip=3, times=None))
    with pytest.raises(DropboxError):
        await house.upload(retry_for=0)
    dropbox_server.faults.clear()
    acknowledged = offsets(dropbox_server)[:3]
    dropbox_server.log.clear()

    await house.upload()
    assert set(offsets(dropbox_server)).isdisjoint(acknowledged)
    await check_restorable(hass, dropbox_server, made)


async def test_a_changed_source_gets_new_keys_and_a_new_session(
    hass: HomeAssistant,
    made: AgentBackup,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    disk: Disk,
) -> None:
    house = await Uploads.start(hass, client)
    await interrupt(house.upload(), dropbox_server, disk, APPEND, skip=3)
    path = local_path(hass, made)
    change_something_near_the_end(path)
    sent_before = len(offsets(dropbox_server))

    house = await Uploads.start(hass, client)
    await house.upload()
    assert offsets(dropbox_server)[sent_before:][0] == 0, "from the first chunk on"
    await check_restorable(hass, dropbox_server, made)


def change_something_near_the_end(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(SIZE - MIB)
        file.write(b"another night")


async def test_a_changed_password_gets_new_keys_and_a_new_session(
    hass: HomeAssistant,
    made: AgentBackup,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    disk: Disk,
) -> None:
    house = await Uploads.start(hass, client)
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, APPEND, skip=3, times=None))
    with pytest.raises(DropboxError):
        await house.upload("the old one", retry_for=0)
    dropbox_server.faults.clear()

    await (await Uploads.start(hass, client)).upload()
    await check_restorable(hass, dropbox_server, made)


async def test_a_file_that_changes_while_it_is_read_is_not_uploaded(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    house = await Uploads.start(hass, client)
    backup, source = await house.local.source(await house.only_backup(), PASSWORD)
    path = local_path(hass, made)
    change_something_near_the_end(path)
    with pytest.raises(Exception, match="changed meanwhile"):
        await house.transfers.upload(backup, source, lane=Lane(UploadPool()), retry_for=0)
    assert archives(dropbox_server) == []


@pytest.mark.parametrize("size", [SIZE, MIB])
async def test_a_commit_whose_answer_never_came_is_proven_by_the_journal(
    hass: HomeAssistant,
    made: AgentBackup,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    disk: Disk,
    size: int,
) -> None:
    path = local_path(hass, made)
    small = size <= UploadPool().chunk_size
    if small:
        path.unlink()
        made = await make_backup(hass, "Small", size=size)
    house = await Uploads.start(hass, client)
    await interrupt(house.upload(), dropbox_server, disk, "files/upload" if small else FINISH)
    assert len(archives(dropbox_server)) == 1

    house = await Uploads.start(hass, client)
    [remote] = house.folder.backups
    assert remote.verified
    assert remote.owner
    dropbox_server.log.clear()
    assert await house.upload() == remote
    assert dropbox_server.log.counters == {"files/get_metadata": 1}, "whether it is still there"
    await check_restorable(hass, dropbox_server, made)


async def test_what_home_assistant_encrypts_is_proven_as_well(
    hass: HomeAssistant,
    made: AgentBackup,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    disk: Disk,
) -> None:
    house = await Uploads.start(hass, client)
    _, plain = await house.local.source(await house.only_backup(), None)

    async def open_stream() -> AsyncIterator[bytes]:
        return plain.read()

    streamer = EncryptedBackupStreamer(hass, made, open_stream, PASSWORD)
    upload = house.transfers.upload(
        streamer.backup(),
        StreamSource(streamer.open_stream, streamer.size()),
        lane=Lane(UploadPool()),
        retry_for=30,
    )
    await interrupt(upload, dropbox_server, disk, FINISH)
    await streamer.wait()

    house = await Uploads.start(hass, client)
    [remote] = house.folder.backups
    assert remote.verified
    await house.only_backup()  # has Home Assistant look into its folder
    await check_restorable(hass, dropbox_server, made)


@pytest.mark.parametrize("gone", ["backup", "folder"])
async def test_what_is_only_remembered_is_not_taken_for_an_upload(
    hass: HomeAssistant,
    made: AgentBackup,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    gone: str,
) -> None:
    """Somebody deleted it while Home Assistant was off, and it could not look since its start."""
    cache = ListingCache(hass, "entry")
    house = await Uploads.start(hass, client, cache)
    remote = await house.upload()
    await house.folder.refresh()
    await cache.close()
    path = house.folder.path_of(remote.file.name)
    if gone == "backup":
        await client.delete(path, remote.file.rev)
    else:
        dropbox_server.account.files.delete(FOLDER)

    house = await Uploads.start(hass, client, seen=False)
    assert house.folder.get(made.backup_id) is not None, "remembered"
    await house.upload()
    assert archives(dropbox_server) == [path]


async def test_what_is_kept_lies_readable_in_the_archive(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    house = await Uploads.start(hass, client)
    await house.upload()
    salts = bytes.fromhex(house.journal.notes.key_root.salts)
    assert len(salts) == 64
    assert salts in the_archive(dropbox_server)


async def aiter_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]


async def encrypted(house: Uploads, root: Root, password: str = PASSWORD) -> bytes:
    """Return the one local backup as it would be sent."""
    _, source = await house.local.source(await house.only_backup(), password)
    assert isinstance(source, EncryptedSource)
    source.root = root
    data = b"".join([piece async for piece in source.read()])
    assert len(data) == source.size
    return data


def keys_in(data: bytes) -> list[bytes]:
    """Return the salt and nonce of each inner archive: the same mean the same key stream."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        inner = [tar.extractfile(one) for one in tar if one.name.endswith(".gz")]
        return [file.read(136)[96:] for file in inner if file]


async def test_the_same_content_gives_the_same_bytes_and_another_one_other_keys(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient
) -> None:
    """Also if disk and notes are from an image: nothing but the content decides."""
    house = await Uploads.start(hass, client)
    root = Root()
    first = await encrypted(house, root)
    assert await encrypted(house, Root(root.salts)) == first, "as after a restart"

    path = local_path(hass, made)
    before = path.stat()
    change_something_near_the_end(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    other = await encrypted(house, Root(root.salts))
    assert set(keys_in(other)).isdisjoint(keys_in(first))
    assert set(keys_in(await encrypted(house, Root(), "another"))).isdisjoint(keys_in(other))


async def test_what_changes_between_two_readings_is_not_encrypted(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    """Not a byte of it, even if nobody can tell by the file that it was changed."""
    house = await Uploads.start(hass, client)
    backup, source = await house.local.source(await house.only_backup(), PASSWORD)
    assert isinstance(source, EncryptedSource)
    assert isinstance(source.plain, LocalSource)
    first = [piece async for piece in source.read()]
    source.plain.version = None
    path = local_path(hass, made)
    change_something_near_the_end(path)

    sent: list[bytes] = []
    with pytest.raises(BackupAgentError, match="changed while read"):
        sent += [piece async for piece in source.read()]
    assert b"".join(first).startswith(b"".join(sent))
    await house.transfers.upload(backup, source, lane=Lane(UploadPool()), retry_for=30)
    await check_restorable(hass, dropbox_server, made)


@pytest.mark.parametrize("second", [False, True], ids=["first reading", "second reading"])
async def test_what_breaks_off_is_said_to_be_unreadable(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient, *, second: bool
) -> None:
    house = await Uploads.start(hass, client)
    await house.only_backup()
    path = local_path(hass, made)
    whole = path.read_bytes()
    given = [whole, whole, whole[: len(whole) // 2]] if second else [whole, whole[: 3 * MIB]]

    async def open_stream() -> AsyncIterator[bytes]:
        return aiter_of(given.pop(0))

    stream = StreamSource(open_stream, len(whole))
    _, source = as_in_dropbox(stream, made, await stream.contents(), PASSWORD)
    assert isinstance(source, EncryptedSource)
    with pytest.raises(BackupAgentError, match="not encryptable"):
        await house.transfers.upload(made, source, lane=Lane(UploadPool()), retry_for=30)


@pytest.mark.usefixtures("quick_worker")
async def test_the_worker_goes_on_after_a_restart(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    async_get_manager(hass).config.data.create_backup.password = PASSWORD
    dropbox_server.faults.add(Fault(FaultKind.STALL, APPEND, skip=3, seconds=1, times=None))
    made = await make_backup(hass, size=SIZE)
    await wait_until(lambda: sum(one.status == HTTPStatus.OK for one in sent(dropbox_server)) == 3)
    await shut_down(hass, entry)
    dropbox_server.faults.clear()
    await wait_until(lambda: all(one.duration for one in sent(dropbox_server)))
    dropbox_server.log.clear()
    restart_agent(hass)

    await start_again(hass, entry)
    assert state_of(entry).backups[0].verified
    # Those that were worked on and whose answers were lost are refused unread.
    arrived = [one for one in sent(dropbox_server) if one.status == HTTPStatus.OK]
    assert len(arrived) <= 3, "of six"
    await check_restorable(hass, dropbox_server, made)


def sent(server: DropboxServer) -> list[RequestRecord]:
    return server.log.of(APPEND)


async def test_a_reading_that_is_broken_off_lets_go_of_the_file(
    hass: HomeAssistant, made: AgentBackup, client: DropboxClient
) -> None:
    house = await Uploads.start(hass, client)
    _, source = await house.local.source(await house.only_backup(), PASSWORD)
    path = local_path(hass, made)
    stream = source.read()
    await anext(stream)
    assert is_open(path)
    await stream.aclose()
    assert not is_open(path)


def is_open(path: Path) -> bool:
    """Tell whether this process has a file open."""
    links = []
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(one.readlink())
    return path in links
