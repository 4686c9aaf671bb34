"""Whether a backup in Dropbox is encrypted is told by its bytes, whatever it says of itself."""

import io
import json
from pathlib import Path
import random
import tarfile

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.dropbox_backup.const import (
    CONF_UPLOAD_AUTOMATICALLY,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.sync.archive.contents import examine
from custom_components.dropbox_backup.sync.decide.models import Protection
from custom_components.dropbox_backup.sync.requests import Selection
from tests.support.account import (
    archives,
    ask,
    engine_of,
    put_backup,
    put_local,
    set_up_entry,
    state_of,
    the_archive,
    use_key,
    wait_until_idle,
)
from tests.support.core_archives import tar_of
from tests.support.dropbox_server import DropboxServer
from tests.support.supervisor import Contents, archives as making

pytestmark = pytest.mark.usefixtures("quick_worker")

KEY = "correct horse battery staple"
NOISE = random.Random(1).randbytes(2048)
READABLE: dict[str, str | None] = {"homeassistant.tar.gz": None, "ssl.tar.gz": None}
ENCRYPTED: dict[str, str | None] = {"homeassistant.tar.gz": KEY, "ssl.tar.gz": KEY}
MIXED: dict[str, str | None] = {"homeassistant.tar.gz": None, "ssl.tar.gz": KEY}


def part(directory: Path, name: str, password: str | None) -> bytes:
    path = directory / f"{password}.tar"
    making.write(path, Contents(password=password))
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def archive_of(parts: dict[str, bytes], *, flagged: bool) -> bytes:
    about = {**Contents().describe(), "protected": flagged}
    return tar_of({**parts, "./backup.json": json.dumps(about).encode()})


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(
    ("kind", "key", "told"),
    [
        ("readable", True, "encrypted"),
        ("encrypted", True, "encrypted"),
        ("mixed", True, "encrypted"),
        ("readable", False, "not_encrypted"),
        ("encrypted", False, "encrypted"),
        ("mixed", False, "partly"),
        ("noise", False, "unknown"),
        # It may be encrypted in the oldest way, but only if the backup says so.
        ("noise", True, "unknown or encrypted"),
    ],
)
async def test_what_is_told_is_what_the_bytes_are(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    tmp_path: Path,
    kind: str,
    key: bool,
    told: str,
    flagged: bool,
) -> None:
    kinds = {"readable": READABLE, "encrypted": ENCRYPTED, "mixed": MIXED}
    parts = {"homeassistant.tar.gz": NOISE}
    if kind in kinds:
        parts = {name: part(tmp_path, name, of) for name, of in kinds[kind].items()}
    if told == "unknown or encrypted":
        told = "unknown" if flagged else "encrypted"
    archive = archive_of(parts, flagged=flagged)
    assert await async_setup_component(hass, "backup", {})
    await hass.async_block_till_done()
    if key:
        use_key(hass, KEY)
    put_local(hass, archive)

    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)

    sent = the_archive(dropbox_server)
    assert examine(io.BytesIO(sent)).protection == told
    assert key or sent == archive
    [listed] = (await ask(hass, "list_backups"))["backups"]
    assert listed["encrypted"] == told
    newest = hass.states.get("sensor.dropbox_ada_example_last_backup")
    assert newest is not None
    assert newest.attributes["encrypted"] == told
    [shown] = state_of(entry).backups
    flag = Protection(told).as_flag
    assert shown.backup.protected == (flagged if flag is None else flag)


async def test_what_others_uploaded_is_unknown(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put_backup(dropbox_server, "Theirs")
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until_idle(hass, entry)
    [shown] = state_of(entry).backups
    assert shown.protection is Protection.UNKNOWN


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(("parts_of", "told"), [(READABLE, "not_encrypted"), (MIXED, "partly")])
@pytest.mark.parametrize("asked", [True, False])
async def test_what_others_uploaded_is_known_once_it_was_compared_with_what_lies_here(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    tmp_path: Path,
    parts_of: dict[str, str | None],
    told: str,
    flagged: bool,
    asked: bool,
) -> None:
    parts = {name: part(tmp_path, name, of) for name, of in parts_of.items()}
    archive = archive_of(parts, flagged=flagged)
    dropbox_server.account.files.put(f"{DEFAULT_FOLDER}/theirs.tar", archive)
    assert await async_setup_component(hass, "backup", {})
    await hass.async_block_till_done()
    put_local(hass, archive)

    entry = await set_up_entry(hass, dropbox_server, options={CONF_UPLOAD_AUTOMATICALLY: not asked})
    await wait_until_idle(hass, entry)
    if asked:
        await engine_of(entry).request("a person asks", Selection(latest=True))
        await wait_until_idle(hass, entry)

    [_] = archives(dropbox_server)
    [listed] = (await ask(hass, "list_backups"))["backups"]
    assert listed["verified"]
    assert listed["encrypted"] == told
    [shown] = state_of(entry).backups
    assert shown.backup.protected == Protection(told).as_flag
