"""What is in Dropbox already is proven before anything is left out on its account."""

import asyncio

from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.const import (
    CONF_KEEP,
    CONF_UPLOAD_AUTOMATICALLY,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.decide.models import WhyNot
from custom_components.dropbox_backup.sync.report.state import Status
from tests.support.account import (
    MIB,
    archives,
    engine_of,
    local_path,
    make_backup,
    set_up_entry,
    state_of,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer

pytestmark = pytest.mark.usefixtures("quick_worker")


async def uploads_one_of(
    hass: HomeAssistant,
    server: DropboxServer,
    *,
    flip: int | None,
    password: str | None = None,
    called: str | None = None,
) -> DropboxBackupConfigEntry:
    """Keep one of two backups, the newer one of which somebody has copied to Dropbox by hand.

    `flip`: which byte of the copy is another one. `password`: what backups are encrypted with on
    their way. `called`: what the copy is called, as we call it if not given.
    """
    options = {CONF_KEEP: 1, CONF_UPLOAD_AUTOMATICALLY: False}
    entry = await set_up_entry(hass, server, options=options)
    await make_backup(hass, "Older")
    newer = await make_backup(hass, "Newer", size=MIB)
    path = local_path(hass, newer)
    content = bytearray(await asyncio.to_thread(path.read_bytes))
    if flip is not None:
        content[flip] ^= 1
    server.account.files.put(f"{DEFAULT_FOLDER}/{called or file_name(newer)}", bytes(content))
    async_get_manager(hass).config.data.create_backup.password = password
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 1})
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    return entry


async def test_a_copy_that_is_proven_takes_its_place(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await uploads_one_of(hass, dropbox_server, flip=None)
    assert [one.backup.name for one in state_of(entry).backups] == ["Newer"]
    assert state_of(entry).backups[0].verified
    assert state_of(entry).status is Status.UP_TO_DATE


async def test_a_copy_with_a_name_of_its_own_is_kept_on_top_of_the_others(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await uploads_one_of(hass, dropbox_server, flip=None, called="KEEP ME.tar")
    assert [one.backup.name for one in state_of(entry).backups] == ["Newer", "Older"]
    assert all(one.verified for one in state_of(entry).backups)


async def test_a_copy_that_is_something_else_keeps_the_backup_from_nothing(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await uploads_one_of(hass, dropbox_server, flip=MIB // 2)
    name = file_name(state_of(entry).backups[0].backup)
    for _ in range(2):  # nor does that change
        [backup] = state_of(entry).backups
        assert backup.backup.name == "Newer"
        assert backup.verified
        assert [(one.file.name, one.why) for one in backup.bad_copies] == [
            (name, WhyNot.OTHER_CONTENT)
        ]
        assert state_of(entry).status is Status.UP_TO_DATE
        assert len(archives(dropbox_server)) == 2
        engine_of(entry).request("a minute later")
        await wait_until_idle(hass, entry)


async def test_a_plain_copy_is_proven_although_backups_are_encrypted_on_their_way(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await uploads_one_of(hass, dropbox_server, flip=None, password="correct horse")
    assert [one.backup.name for one in state_of(entry).backups] == ["Newer"]
    assert state_of(entry).backups[0].verified
