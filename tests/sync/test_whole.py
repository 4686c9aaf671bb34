"""What is encrypted on its way arrives whole, and opens where it is restored."""

from collections.abc import AsyncIterator
import io
import json
from pathlib import Path
import tarfile

from homeassistant.components.backup import AgentBackup, async_get_manager
from homeassistant.components.backup.util import DecryptedBackupStreamer
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.sync.archive.contents import examine
from custom_components.dropbox_backup.sync.decide.models import Protection, RemoteBackup
from tests.support.account import (
    MIB,
    archives,
    the_archive,
)
from tests.support.dropbox_server import DropboxServer
from tests.support.supervisor import archives as supervisor
from tests.support.uploads import FOLDER, PASSWORD, Uploads

EVERYTHING = supervisor.Contents(
    addons=("core_ssh", "local_odd.name"),
    folders=supervisor.ALL_FOLDERS,
    supervisor=True,
    filling=300_000,
)


@pytest.fixture
async def backups(hass: HomeAssistant, client: DropboxClient) -> Path:
    """Return the folder where Home Assistant's backups lie."""
    assert await async_setup_component(hass, "backup", {})
    await hass.async_block_till_done()
    await client.create_folder(FOLDER)
    folder = Path(hass.config.path("backups"))
    folder.mkdir(exist_ok=True)
    return folder


def members_of(archive: bytes) -> dict[str, bytes]:
    """Return all members in their order."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: file.read() for one in tar if (file := tar.extractfile(one)) is not None}


def add(path: Path, name: str, data: bytes) -> None:
    """Add a member to an archive."""
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


async def as_home_assistant_decrypts(
    hass: HomeAssistant, backup: AgentBackup, data: bytes
) -> bytes:
    async def stored() -> AsyncIterator[bytes]:
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]

    async def open_stream() -> AsyncIterator[bytes]:
        return stored()

    streamer = DecryptedBackupStreamer(hass, backup, open_stream, PASSWORD)
    try:
        return b"".join([piece async for piece in await streamer.open_stream()])
    finally:
        await streamer.wait()


@pytest.mark.parametrize("compressed", [True, False])
async def test_every_part_arrives(
    hass: HomeAssistant,
    backups: Path,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    compressed: bool,
) -> None:
    """Also the folder for local apps, whose part has another name than the folder, and what a newer
    version adds.
    """
    made = supervisor.Contents(
        addons=EVERYTHING.addons,
        folders=EVERYTHING.folders,
        supervisor=True,
        compressed=compressed,
        filling=EVERYTHING.filling,
    )
    path = backups / "made.tar"
    supervisor.write(path, made)
    add(path, "./from_the_future.tar.gz", b"\x1f\x8b\x08" + b"future" * 400)
    add(path, "notes.txt", b"not to be encrypted")
    plain = path.read_bytes()

    await (await Uploads.start(hass, client)).upload()
    sent = the_archive(dropbox_server)
    before, after = members_of(plain), members_of(sent)
    assert list(after) == list(before)
    assert after["notes.txt"] == before["notes.txt"]
    assert json.loads(after["./backup.json"]) == {**made.describe(), "protected": True}
    assert examine(io.BytesIO(sent)).protection is Protection.ENCRYPTED
    # As Supervisor opens the parts when it restores.
    future = "from_the_future.tar.gz"
    expected = supervisor.parts(without(plain, future))
    assert supervisor.parts(without(sent, future), PASSWORD) == expected
    ending = ".tar.gz" if compressed else ".tar"
    assert f"addons_local{ending}" in expected


def without(archive: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        tarfile.open(fileobj=file, mode="w") as target,
    ):
        for member in source:
            if Path(member.name).name != name:
                target.addfile(member, source.extractfile(member))
    return file.getvalue()


async def test_home_assistant_decrypts_all_that_it_knows(
    hass: HomeAssistant, backups: Path, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    """What it does not expect it passes on encrypted: see docs/upstream-addons-local.md."""
    path = backups / "made.tar"
    supervisor.write(path, EVERYTHING)
    remote: RemoteBackup = await (await Uploads.start(hass, client)).upload()
    sent = the_archive(dropbox_server)
    assert remote.backup.protected
    assert remote.backup.size == len(sent)
    decrypted = members_of(await as_home_assistant_decrypts(hass, remote.backup, sent))
    before, encrypted = members_of(path.read_bytes()), members_of(sent)
    passed_on = {"addons_local.tar.gz", "local_odd.name.tar.gz"}
    for name in before.keys() - {"./backup.json"}:
        assert decrypted[name] == (encrypted if name in passed_on else before)[name]


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize("securetar", [2, 3])
async def test_what_is_readable_is_encrypted_whatever_the_flag_says(
    hass: HomeAssistant,
    backups: Path,
    client: DropboxClient,
    dropbox_server: DropboxServer,
    flagged: bool,
    securetar: int,
) -> None:
    """What is encrypted already stays as it is, also in the same archive."""
    path = backups / "made.tar"
    readable = supervisor.Contents(folders=("ssl",), filling=5000)
    supervisor.write(path, readable)
    encrypted = backups.parent / "encrypted.tar"
    parts = supervisor.Contents(
        homeassistant=False,
        folders=("share",),
        password=PASSWORD,
        securetar=securetar,  # type: ignore[arg-type]  # 2 or 3
    )
    supervisor.write(encrypted, parts)
    name = "share.tar.gz"
    add(path, name, members_of(encrypted.read_bytes())[name])
    if flagged:
        flag_as_encrypted(path)

    remote = await (await Uploads.start(hass, client)).upload()
    sent = the_archive(dropbox_server)
    assert examine(io.BytesIO(sent)).protection is Protection.ENCRYPTED
    assert members_of(sent)[name] == members_of(path.read_bytes())[name]
    assert json.loads(members_of(sent)["./backup.json"])["protected"] is True
    assert remote.backup.protected
    assert len(supervisor.parts(sent, PASSWORD)) == 3


def flag_as_encrypted(path: Path) -> None:
    """Have a backup say that it is encrypted."""
    members = members_of(path.read_bytes())
    metadata = {**json.loads(members["./backup.json"]), "protected": True}
    members["./backup.json"] = json.dumps(metadata).encode()
    path.unlink()
    for name, data in members.items():
        add(path, name, data)


async def test_what_is_encrypted_already_goes_as_it_is(
    hass: HomeAssistant, backups: Path, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    path = backups / "made.tar"
    supervisor.write(path, supervisor.Contents(password="an older one", filling=5000))
    remote = await (await Uploads.start(hass, client)).upload()
    assert the_archive(dropbox_server) == path.read_bytes()
    assert remote.backup.protected


async def test_an_archive_that_can_not_be_encrypted_whole_is_not_sent(
    hass: HomeAssistant, backups: Path, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    path = backups / "made.tar"
    supervisor.write(path, supervisor.Contents())
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("holes.tar")
        member.type = tarfile.GNUTYPE_SPARSE
        tar.addfile(member)
    with pytest.raises(Exception, match="content unknown"):
        await (await Uploads.start(hass, client)).upload()
    assert archives(dropbox_server) == []
    assert await async_get_manager(hass).backup_agents["backup.local"].async_list_backups()


async def test_a_size_in_an_extended_header_is_written_anew(
    hass: HomeAssistant, backups: Path, client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    """Parts of more than 8 GiB have theirs there."""
    path = backups / "made.tar"
    supervisor.write(path, supervisor.Contents(filling=5000))
    members = members_of(path.read_bytes())
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.pax_headers = {"size": str(len(data))}
            tar.addfile(member, io.BytesIO(data))
    await (await Uploads.start(hass, client)).upload()
    sent = the_archive(dropbox_server)
    assert supervisor.parts(sent, PASSWORD) == supervisor.parts(path.read_bytes())
