"""Repair issues appear when a person is needed, help, and go away by themselves."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import instance_id, issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.dropbox_backup.const import CONF_KEEP, DEFAULT_FOLDER, DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.errors import FullError
from tests.support.account import (
    MANUAL,
    MIB,
    archives,
    engine_of,
    entity,
    local_path,
    make_backup,
    notes_of,
    put_backup,
    set_up_entry,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.english import ENGLISH, told
from tests.support.repairs import choose, fix, issues

pytestmark = pytest.mark.usefixtures("quick_worker")


@pytest.fixture(autouse=True)
async def _repairs(hass: HomeAssistant) -> None:
    await async_setup_component(hass, "repairs", {})


async def submit(hass_client: ClientSessionGenerator, form: dict[str, Any]) -> dict[str, Any]:
    """Press Submit."""
    client = await hass_client()
    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})
    assert response.status == HTTPStatus.OK
    return dict(await response.json())


async def fill_up(hass: HomeAssistant, server: DropboxServer) -> DropboxBackupConfigEntry:
    """Set up an account that has no room for the backup that is made."""
    entry = await set_up_entry(hass, server)
    server.account.quota = server.account.used + 1000
    await make_backup(hass, size=MIB)
    await wait_until_idle(hass, entry)
    return entry


async def test_nothing_needs_repair_when_all_is_well(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert not issues(hass)


async def test_a_full_dropbox_is_an_issue_until_there_is_room(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    quota = dropbox_server.account.quota
    entry = await fill_up(hass, dropbox_server)

    issue = issues(hass)[f"dropbox_full_{entry.entry_id}"]
    assert issue.severity is ir.IssueSeverity.ERROR
    assert issue.is_fixable is False
    shown = issue.translation_placeholders
    assert shown is not None
    assert (shown["account"], shown["folder"]) == ("Ada Example", DEFAULT_FOLDER)
    assert "are needed" in shown["detail"]

    dropbox_server.account.quota = quota
    engine_of(entry).request("there is room again")
    await wait_until_idle(hass, entry)
    assert not issues(hass)


async def test_a_full_dropbox_with_backups_from_elsewhere_is_set_up_all_the_same(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put_backup(dropbox_server, "From elsewhere")
    dropbox_server.account.quota = 0

    entry = await set_up_entry(hass, dropbox_server)

    assert [one.backup.name for one in state_of(entry).backups] == ["From elsewhere"]
    assert not issues(hass)


@pytest.mark.parametrize(
    "why",
    [
        {".tag": "no_write_permission"},
        {".tag": "access_restricted"},
        {".tag": "operation_suppressed"},
        {".tag": "team_folder"},
        {".tag": "conflict", "conflict": {".tag": "file_ancestor"}},
    ],
    ids=lambda why: str(why[".tag"]),
)
async def test_a_folder_that_may_not_be_written_is_an_issue(
    hass: HomeAssistant, dropbox_server: DropboxServer, why: dict[str, Any]
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    refused = {".tag": "path", "reason": why, "upload_session_id": ""}
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, "files/upload", status=409, error=refused, times=None)
    )
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert list(issues(hass)) == [f"folder_not_writable_{entry.entry_id}"]

    dropbox_server.faults.clear()
    engine_of(entry).request("allowed again")
    await wait_until_idle(hass, entry)
    assert not issues(hass)


async def test_a_vanished_folder_is_told_until_the_user_takes_note(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    dropbox_server.account.files.delete(DEFAULT_FOLDER)
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    engine_of(entry).request("once more")
    await wait_until_idle(hass, entry)

    (issue_id,) = issues(hass)
    assert issue_id == f"folder_was_missing_{entry.entry_id}"
    assert len(state_of(entry).backups) == 1  # uploaded again
    form = await fix(hass_client, issue_id)
    assert form["step_id"] == "confirm"
    assert form["description_placeholders"]["folder"] == DEFAULT_FOLDER
    done = await submit(hass_client, form)

    assert done["type"] == "create_entry"
    assert not issues(hass)
    assert not state_of(entry).folder_was_missing


async def wait_for_confirmation(
    hass: HomeAssistant, server: DropboxServer, count: int
) -> DropboxBackupConfigEntry:
    """Set up an account whose new number of backups to keep would delete many."""
    ours = await instance_id.async_get(hass)
    for number in range(count):
        date = f"2026-01-{number + 1:02}T00:00:00Z"
        put_backup(server, f"Old {number}", date=date, instance_id=ours)
    entry = await set_up_entry(hass, server, options={CONF_KEEP: 1})
    await make_backup(hass, "New")
    await wait_until_idle(hass, entry)
    return entry


async def test_many_deletions_wait_for_confirmation_and_are_then_done(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await wait_for_confirmation(hass, dropbox_server, 12)

    issue_id = f"confirm_retention_{entry.entry_id}"
    issue = issues(hass)[issue_id]
    assert issue.severity is ir.IssueSeverity.WARNING
    assert issue.is_fixable is True
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["count"] == "12"
    assert len(state_of(entry).backups) == 13

    menu = await fix(hass_client, issue_id)
    assert menu["menu_options"] == ["delete", "keep"]
    shown = menu["description_placeholders"]
    size = ENGLISH.size(state_of(entry).unconfirmed[0].file.size)
    assert shown["backups"].splitlines() == [
        # The clock of this Home Assistant is eight hours behind, or seven in summer.
        *(f"- Old {n}, 2026-01-{n:02} 16:00, {size}" for n in range(11, 1, -1)),
        "- … (+2)",
    ]
    assert shown["size"] == ENGLISH.size(sum(one.file.size for one in state_of(entry).unconfirmed))
    events: list[Event[Any]] = async_capture_events(hass, "repairs_issue_registry_updated")
    done = await choose(hass_client, menu, "delete")
    assert done["type"] == "create_entry"
    assert not issues(hass)
    await wait_until_idle(hass, entry)

    assert [one.backup.name for one in state_of(entry).backups] == ["New"]
    assert [event.data["action"] for event in events] == ["remove"]  # it did not come back between


async def test_raising_the_number_to_keep_takes_the_question_back(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await wait_for_confirmation(hass, dropbox_server, 5)
    assert issues(hass)

    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 10})
    await hass.async_block_till_done()
    await wait_until_idle(hass, entry)

    assert not issues(hass)
    assert len(state_of(entry).backups) == 6


async def test_an_issue_of_an_account_that_is_not_loaded_can_not_be_fixed(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await wait_for_confirmation(hass, dropbox_server, 5)
    issue_id = f"confirm_retention_{entry.entry_id}"
    menu = await fix(hass_client, issue_id)
    await hass.config_entries.async_unload(entry.entry_id)

    aborted = await choose(hass_client, menu, "delete")

    assert aborted["type"] == "abort"
    assert aborted["reason"] == "not_loaded"


async def test_what_the_user_keeps_stays_without_another_question(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await wait_for_confirmation(hass, dropbox_server, 5)
    menu = await fix(hass_client, f"confirm_retention_{entry.entry_id}")

    assert (await choose(hass_client, menu, "keep"))["type"] == "create_entry"
    await wait_until_idle(hass, entry)
    await hass.config_entries.async_reload(entry.entry_id)
    for night in range(2):
        await make_backup(hass, f"Night {night}")
        await wait_until_idle(hass, entry)

    assert not issues(hass)
    names = [one.backup.name for one in state_of(entry).backups]
    assert names == ["Night 1", *(f"Old {n}" for n in range(4, -1, -1))], "nights are pruned"
    reasons = {told(verdict.reason) for verdict in await engine_of(entry).judge()}
    assert reasons == {"one of the newest 1", "you chose to keep it"}

    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 2})
    await hass.async_block_till_done()
    await make_backup(hass, "Last night")
    await make_backup(hass, "Tonight")
    await wait_until_idle(hass, entry)
    assert len(state_of(entry).unconfirmed) == 6, "other rules, another question"
    assert len(archives(dropbox_server)) == 8


@pytest.mark.parametrize("option", ["delete", "keep"])
async def test_an_answer_to_a_question_about_other_rules_is_none(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    dropbox_server: DropboxServer,
    option: str,
) -> None:
    entry = await wait_for_confirmation(hass, dropbox_server, 6)
    menu = await fix(hass_client, f"confirm_retention_{entry.entry_id}")
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 2})
    await hass.async_block_till_done()
    await make_backup(hass, "Newer")
    await wait_until_idle(hass, entry)

    aborted = await choose(hass_client, menu, option)

    assert (aborted["type"], aborted["reason"]) == ("abort", "changed_meanwhile")
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 8
    assert len(state_of(entry).unconfirmed) == 6, "it is still to be decided"


async def test_removing_the_account_removes_its_issues(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await fill_up(hass, dropbox_server)
    assert issues(hass)

    await hass.config_entries.async_remove(entry.entry_id)

    assert not issues(hass)


async def test_the_progress_of_an_upload_does_not_touch_the_issues(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await fill_up(hass, dropbox_server)
    events: list[Event[Any]] = async_capture_events(hass, "repairs_issue_registry_updated")

    for _ in range(10):
        engine_of(entry).publish()

    assert not events


async def test_a_refused_sign_in_is_home_assistants_own_issue(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.tokens.revoke_all()
    engine_of(entry).request("test")
    await wait_until(
        lambda: (
            ("homeassistant", f"config_entry_reauth_{DOMAIN}_{entry.entry_id}")
            in ir.async_get(hass).issues
        )
    )

    assert not issues(hass)


async def test_uploads_that_were_paused_for_too_long_go_on_when_the_user_agrees(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    engine = engine_of(entry)
    engine.pause_uploads()
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    assert not issues(hass), "a short pause is nobody's business"

    notes = notes_of(entry)
    notes.results.watching_since = dt_util.utcnow() - timedelta(days=4)
    engine.publish()

    issue_id = f"uploads_paused_{entry.entry_id}"
    assert set(issues(hass)) == {issue_id}
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert problem.state == "on"
    assert problem.attributes["kind"] == "uploads_paused"
    form = await fix(hass_client, issue_id)
    assert form["description_placeholders"]["detail"] == (
        "Nothing has been uploaded for 4 days. 1 backup waits. Uploads are paused"
    )
    assert (await submit(hass_client, form))["type"] == "create_entry"
    await wait_until_idle(hass, entry)

    assert entity(hass, entry, "switch", "uploads").state == "on"
    assert len(state_of(entry).backups) == 1
    assert not issues(hass)


async def test_an_upload_that_outlives_its_entry_tells_no_old_news(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    """Home Assistant goes on with its upload when the options change, or the entry is removed."""
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = await make_backup(hass)
    content = local_path(hass, made).read_bytes()
    await wait_until_idle(hass, entry)
    outlived = engine_of(entry)
    await hass.config_entries.async_remove(entry.entry_id)
    dropbox_server.account.quota = dropbox_server.account.used

    async def stream() -> AsyncIterator[bytes]:
        async def pieces() -> AsyncGenerator[bytes]:
            yield content

        return pieces()

    with pytest.raises(FullError):
        await outlived.upload_for_home_assistant(made, stream, lambda _: None)
    await hass.async_block_till_done()
    assert issues(hass) == {}
