"""What a person deleted from Dropbox does not come back by itself."""

from dataclasses import replace

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.sync.decide.models import BackupId
from custom_components.dropbox_backup.sync.local.backups import LocalBackups, LocalListing
from tests.support.account import (
    ASKED,
    archives,
    engine_of,
    make_backup,
    set_up_entry,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer

pytestmark = pytest.mark.usefixtures("quick_worker")


@pytest.mark.parametrize("others_stay", [False, True], ids=["all away", "one location away"])
async def test_a_deleted_backup_stays_deleted_when_its_location_was_away_for_a_while(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
    others_stay: bool,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    deleted = await make_backup(hass, "On a share")
    await make_backup(hass, "Here")
    await wait_until_idle(hass, entry)
    await engine_of(entry).delete([BackupId(deleted.backup_id)], ASKED)
    left = archives(dropbox_server)

    everything = LocalBackups.list

    async def without_the_share(self: LocalBackups) -> LocalListing:
        found = await everything(self)
        good = tuple(one for one in found.good if others_stay and one.backup != deleted)
        return replace(found, good=good)

    with monkeypatch.context() as away:
        away.setattr(LocalBackups, "list", without_the_share)
        engine_of(entry).request("the share is away")
        await wait_until_idle(hass, entry)
    engine_of(entry).request("the share is back")
    await wait_until_idle(hass, entry)
    assert archives(dropbox_server) == left
