"""Diagnostics hold what a bug report needs, and no secret."""

import json

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.dropbox_backup.const import (
    CONF_HOURS_FROM,
    CONF_HOURS_TO,
    CONF_KEEP,
    CONF_SPEED_LIMIT,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from tests.support.account import MIB, make_backup, set_up_entry, wait_until_idle
from tests.support.dropbox_server import DropboxServer

pytestmark = pytest.mark.usefixtures("quick_worker")


def assert_no_secret(
    text: str, entry: DropboxBackupConfigEntry, dropbox_server: DropboxServer
) -> None:
    account = dropbox_server.account
    token = entry.data["token"]
    for secret in (
        token["access_token"],
        token["refresh_token"],
        account.account_id,
        account.email,
        account.name,
        dropbox_server.app.secret,
    ):
        assert secret not in text


async def test_diagnostics_describe_settings_state_and_backups_without_secrets(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    await async_setup_component(hass, "diagnostics", {})
    options = {CONF_KEEP: 7, CONF_SPEED_LIMIT: 80, CONF_HOURS_FROM: "23:00:00"}
    options[CONF_HOURS_TO] = "22:59:00"
    entry = await set_up_entry(hass, dropbox_server, options=options)
    backup = await make_backup(hass, "Arrived")
    await wait_until_idle(hass, entry)
    dropbox_server.account.quota = dropbox_server.account.used + 1000
    waiting = await make_backup(hass, "Too large", size=MIB)
    await wait_until_idle(hass, entry)

    found = await get_diagnostics_for_config_entry(hass, hass_client, entry)

    assert found["entry"]["folder"] == DEFAULT_FOLDER
    assert found["entry"]["options"] == options
    assert found["manners"] == {
        "hold": None,
        "opens_at": None,
        "hours": "23:00 to 22:59",
        "bytes_per_second": 10_000_000,
        "chunks_at_once": None,
    }
    assert "files.content.write" in found["entry"]["scopes"]
    assert found["state"]["status"] == "needs_attention"
    assert found["state"]["problem"]["kind"] == "dropbox_full"
    assert found["state"]["waiting"] == [waiting.backup_id]
    assert found["state"]["backups"] == 1
    assert found["state"]["last_check"] < found["state"]["last_attempt"]
    assert [one["name"] for one in found["plan"]["upload"]] == ["Too large"]
    (listed,) = found["backups"]
    assert listed["backup_id"] == backup.backup_id
    assert listed["verified"] is True
    assert listed["reason"] == "one of the newest (keep 7)"
    assert_no_secret(json.dumps(found), entry, dropbox_server)


async def test_diagnostics_are_there_while_the_account_is_not_loaded(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    await async_setup_component(hass, "diagnostics", {})
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)

    found = await get_diagnostics_for_config_entry(hass, hass_client, entry)

    assert found["entry"]["state"] == "not_loaded"
    assert "state" not in found
    assert_no_secret(json.dumps(found), entry, dropbox_server)
