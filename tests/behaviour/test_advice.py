"""Home Assistant's own backup settings are told where they work against backups in Dropbox."""

from datetime import timedelta

from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.dropbox_backup.backup import agent_id_of
from custom_components.dropbox_backup.const import CONF_KEEP
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.backup_settings import BackupSettings, Encryption
from tests.support.account import (
    entity,
    make_backup,
    set_up_entry,
    state_of,
    status,
    use_key,
    wait_until_idle,
)
from tests.support.backup_page import OpenPage
from tests.support.dropbox_server import DropboxServer
from tests.support.repairs import choose, fix, issues

pytestmark = pytest.mark.usefixtures("quick_worker")

KEY = "correct horse battery staple"


@pytest.fixture(autouse=True)
async def _repairs(hass: HomeAssistant) -> None:
    await async_setup_component(hass, "repairs", {})


async def upload_readable(
    hass: HomeAssistant, server: DropboxServer, name: str = "Nightly"
) -> DropboxBackupConfigEntry:
    """Set up an account, and let a backup go there as nobody was asked."""
    entry = await set_up_entry(hass, server, readable=False)
    assert not issues(hass), "nothing went there yet"
    await make_backup(hass, name)
    await wait_until_idle(hass, entry)
    return entry


async def a_minute_later(hass: HomeAssistant, minutes: int = 1) -> None:
    """Let us look at Home Assistant's settings again: it does not tell when they change."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=minutes, seconds=1))
    await hass.async_block_till_done()


def encryption(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> str:
    return str(entity(hass, entry, "sensor", "status").attributes["encryption"])


def shown(hass: HomeAssistant, issue_id: str) -> ir.IssueEntry:
    return issues(hass)[issue_id]


async def test_backups_that_go_to_dropbox_readable_are_told_until_there_is_a_key(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await upload_readable(hass, dropbox_server)

    issue_id = f"not_encrypted_{entry.entry_id}"
    assert set(issues(hass)) == {issue_id}
    assert shown(hass, issue_id).severity is ir.IssueSeverity.WARNING
    assert shown(hass, issue_id).translation_key == "not_encrypted"
    assert status(hass, entry) == "needs_attention"
    assert encryption(hass, entry) == "no_key"
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", "not_encrypted")

    switch = {"entity_id": entity(hass, entry, "switch", "uploads").entity_id}
    await hass.services.async_call("switch", "turn_off", switch, blocking=True)
    assert status(hass, entry) == "paused", "it hides nothing that the user has to know as well"
    await hass.services.async_call("switch", "turn_on", switch, blocking=True)
    await wait_until_idle(hass, entry)

    menu = await fix(hass_client, issue_id)
    assert menu["menu_options"] == ["check", "leave_readable"]
    aborted = await choose(hass_client, menu, "check")
    assert (aborted["type"], aborted["reason"]) == ("abort", "no_key_yet")

    use_key(hass, KEY)
    menu = await fix(hass_client, issue_id)
    assert menu["menu_options"] == ["check", "leave_readable"], "nobody has looked yet"
    assert (await choose(hass_client, menu, "check"))["type"] == "create_entry"
    assert not issues(hass)
    assert encryption(hass, entry) == "on"
    assert status(hass, entry) == "up_to_date"


async def test_a_key_that_was_set_in_home_assistants_settings_is_noticed(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await upload_readable(hass, dropbox_server)
    use_key(hass, KEY)

    await a_minute_later(hass)

    assert not issues(hass)
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"


async def test_who_knows_that_backups_are_readable_is_not_told_again(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await upload_readable(hass, dropbox_server)
    menu = await fix(hass_client, f"not_encrypted_{entry.entry_id}")
    assert (await choose(hass_client, menu, "leave_readable"))["type"] == "create_entry"
    assert not issues(hass)
    assert status(hass, entry) == "up_to_date"
    assert encryption(hass, entry) == "no_key", "it is still shown"

    await hass.config_entries.async_reload(entry.entry_id)
    await make_backup(hass, "Another")
    await wait_until_idle(hass, entry)
    assert not issues(hass)

    # Who switches it on and off again is in another situation.
    config = async_get_manager(hass).config
    config.update(create_backup={"password": KEY})
    await a_minute_later(hass)
    config.update(create_backup={"password": None})
    await a_minute_later(hass, 2)
    assert set(issues(hass)) == {f"not_encrypted_{entry.entry_id}"}


async def test_encryption_that_is_off_for_dropbox_alone_can_be_switched_on_here(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, readable=False)
    config = async_get_manager(hass).config
    agent_id = agent_id_of(entry)
    config.update(create_backup={"password": KEY}, agents={agent_id: {"protected": False}})
    config.update(agents={agent_id: {"retention": {"copies": 99, "days": None}}})
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    issue_id = f"not_encrypted_{entry.entry_id}"
    assert shown(hass, issue_id).translation_key == "encryption_off"
    assert encryption(hass, entry) == "off"
    menu = await fix(hass_client, issue_id)
    assert menu["menu_options"] == ["encrypt", "leave_readable"]
    assert (await choose(hass_client, menu, "encrypt"))["type"] == "create_entry"

    assert not issues(hass)
    assert config.data.agents[agent_id].protected is True
    assert config.data.agents[agent_id].retention is not None, "nothing else was changed"
    await make_backup(hass, "Next")
    await wait_until_idle(hass, entry)
    assert state_of(entry).backups[0].protection == "encrypted"


async def test_backups_that_are_encrypted_where_they_are_made_need_no_key_here(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, readable=False)
    config = async_get_manager(hass).config
    config.update(create_backup={"password": KEY})
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    config.update(create_backup={"password": None})

    await a_minute_later(hass)

    assert encryption(hass, entry) == "no_key"
    assert not issues(hass), "what is in Dropbox is encrypted"


# Home Assistant's own retention


async def test_a_stricter_retention_of_home_assistant_is_told_and_made_ours(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    await page.ask("backup/config/update", retention={"copies": 3, "days": None})
    await a_minute_later(hass)

    issue_id = f"home_assistant_retention_{entry.entry_id}"
    assert set(issues(hass)) == {issue_id}
    assert shown(hass, issue_id).translation_key == "retention_by_count"
    assert shown(hass, issue_id).translation_placeholders == {
        "account": "Ada Example",
        "folder": "/HomeAssistant/Backups",
        "copies": "3",
        "days": "None",
    }
    assert entity(hass, entry, "binary_sensor", "problem").state == "off", "uploads are all right"
    menu = await fix(hass_client, issue_id)
    assert menu["menu_options"] == ["keep_for_ever", "leave_retention"]
    assert (await choose(hass_client, menu, "keep_for_ever"))["type"] == "create_entry"

    assert not issues(hass)
    config = (await page.ask("backup/config/info"))["config"]
    assert config["agents"][agent_id_of(entry)]["retention"] == {"copies": None, "days": None}
    assert config["retention"] == {"copies": 3, "days": None}, "other locations keep theirs"


async def test_after_the_cure_all_that_we_keep_stays_in_dropbox(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    open_page: OpenPage,
    dropbox_server: DropboxServer,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    automatic = {"agent_ids": ["backup.local"], "include_database": False}
    await page.ask("backup/config/update", retention={"copies": 1, "days": None})
    await page.ask("backup/config/update", create_backup=automatic)
    await a_minute_later(hass)
    menu = await fix(hass_client, f"home_assistant_retention_{entry.entry_id}")
    await choose(hass_client, menu, "keep_for_ever")

    for _ in range(3):
        await async_get_manager(hass).async_create_automatic_backup()
        await wait_until_idle(hass, entry)

    assert len(state_of(entry).backups) == 3


async def test_a_retention_that_is_left_as_it_is_is_told_again_when_it_changes(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    config = async_get_manager(hass).config
    config.update(retention={"copies": 3})
    await a_minute_later(hass)
    issue_id = f"home_assistant_retention_{entry.entry_id}"
    menu = await fix(hass_client, issue_id)
    assert (await choose(hass_client, menu, "leave_retention"))["type"] == "create_entry"
    assert not issues(hass)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    assert not issues(hass)
    assert config.data.retention.copies == 3

    config.update(retention={"days": 5})
    await a_minute_later(hass, 2)

    assert shown(hass, issue_id).translation_key == "retention_by_age"
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 5})
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    assert not issues(hass), "now both keep as many"
    config.update(retention={})  # its timer


@pytest.mark.parametrize(
    ("settings", "keep", "beaten", "by_age"),
    [
        ({}, 10, False, True),
        ({}, 0, False, True),
        ({"copies": 3}, 10, True, False),
        ({"copies": 10}, 10, False, False),
        ({"copies": 1000}, 0, True, False),
        ({"days": 9}, 10, True, True),
        ({"days": 10}, 10, False, True),
        ({"days": 60, "days_with_backup": 1}, 10, True, True),
        ({"days": 70, "days_with_backup": 1}, 10, False, True),
        ({"days": 70, "days_with_backup": 0}, 10, True, True),
        ({"copies": 5, "days": 3}, 10, True, True),
        ({"copies": 3, "days": 5}, 10, True, False),
    ],
)
def test_home_assistant_beats_us_if_it_leaves_less_than_we_keep(
    settings: dict[str, int], keep: int, beaten: bool, by_age: bool
) -> None:
    there = BackupSettings(Encryption.ON, **settings)
    assert (there.beats(keep), there.by_age) == (beaten, by_age)
