"""The buttons make a backup, and upload what is missing, without waiting for it."""

from homeassistant.auth.models import User
from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.manager import BlockedEvent
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest

from tests.support.account import (
    MANUAL,
    engine_of,
    entity,
    local_backups,
    make_backup,
    set_up_entry,
    state_of,
    wait_until_idle,
)
from tests.support.buttons import press
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")


async def test_back_up_now_makes_a_backup_here_and_in_dropbox(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)

    await press(hass, entry, "back_up_now")
    await wait_until_idle(hass, entry)

    (local,) = await local_backups(hass)
    (remote,) = state_of(entry).backups
    assert remote.backup.backup_id == local.backup_id
    assert remote.verified is not None


async def test_back_up_now_says_why_home_assistant_can_not(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    async_get_manager(hass).async_on_backup_event(BlockedEvent())

    with pytest.raises(HomeAssistantError, match=r"can't make a backup now: .*busy"):
        await press(hass, entry, "back_up_now")


async def test_upload_now_uploads_all_also_when_that_is_not_automatic(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    for name in ("One", "Two"):
        await make_backup(hass, name)
    await wait_until_idle(hass, entry)
    assert not state_of(entry).backups

    await press(hass, entry, "upload_now")
    await wait_until_idle(hass, entry)

    assert {one.backup.name for one in state_of(entry).backups} == {"One", "Two"}


async def test_upload_now_does_not_wait_for_the_upload(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=0.5))

    await press(hass, entry, "upload_now")

    assert not state_of(entry).backups
    await wait_until_idle(hass, entry)
    assert len(state_of(entry).backups) == 1
    assert entity(hass, entry, "sensor", "status").state == "up_to_date"


async def test_back_up_now_is_not_forgotten_when_dropbox_is_away(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    await press(hass, entry, "back_up_now")
    await wait_until_idle(hass, entry)

    dropbox_server.faults.clear()
    engine_of(entry).request("Dropbox is back")
    await wait_until_idle(hass, entry)
    assert len(state_of(entry).backups) == 1


async def test_upload_now_tells_a_person_that_there_is_nothing_to_upload(
    hass: HomeAssistant, dropbox_server: DropboxServer, hass_admin_user: User
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    for name in ("One", "Two"):
        await make_backup(hass, name)
    await wait_until_idle(hass, entry)
    person = Context(user_id=hass_admin_user.id)

    with pytest.raises(ServiceValidationError, match=r"nothing to upload.* in Dropbox: 2"):
        await press(hass, entry, "upload_now", context=person)

    # A script that presses it has not failed.
    await press(hass, entry, "upload_now")
    await press(hass, entry, "upload_now", context=Context(person.user_id, parent_id=person.id))


async def test_upload_now_tells_a_person_nothing_while_it_uploads(
    hass: HomeAssistant, dropbox_server: DropboxServer, hass_admin_user: User
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    held = Fault(FaultKind.STALL, "files/upload", seconds=60)
    dropbox_server.faults.add(held)

    await press(hass, entry, "upload_now", context=Context(user_id=hass_admin_user.id))

    assert not state_of(entry).backups
    dropbox_server.faults.clear()
    await wait_until_idle(hass, entry)
    assert len(state_of(entry).backups) == 1


async def test_upload_now_tells_a_person_what_is_wrong(
    hass: HomeAssistant, dropbox_server: DropboxServer, hass_admin_user: User
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.tokens.revoke_all()

    with pytest.raises(HomeAssistantError) as raised:
        await press(hass, entry, "upload_now", context=Context(user_id=hass_admin_user.id))
    assert raised.value.translation_key == "sign_in_needed"
