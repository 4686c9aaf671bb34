"""The actions upload, list and delete backups, and say exactly what became of each."""

import asyncio
import os

from homeassistant.auth.models import User
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import instance_id
from homeassistant.helpers.service import async_get_all_descriptions
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
import voluptuous as vol

from custom_components.dropbox_backup.const import (
    CONF_KEEP,
    DEFAULT_FOLDER,
    DOMAIN,
)
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from tests.support.account import (
    MANUAL,
    MIB,
    ask,
    engine_of,
    local_path,
    make_backup,
    put_backup,
    set_up_entry,
    state_of,
    tell,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")


# upload


async def test_upload_without_more_uploads_all_that_is_missing(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    made = [await make_backup(hass, name) for name in ("One", "Two")]

    response = await ask(hass, "upload")

    files = {file.path: file for file in dropbox_server.account.files.list(DEFAULT_FOLDER)}
    assert [one["name"] for one in response["backups"]] == ["One", "Two"]
    for one, backup in zip(response["backups"], made, strict=True):
        file = files[one["path"]]
        assert one["backup_id"] == backup.backup_id
        assert one["size"] == backup.size == file.size
        assert one["content_hash"] == file.content_hash
        assert one["verified"] is True
        assert one["of_this_home_assistant"] is True
    assert len(state_of(entry).backups) == 2


async def test_upload_of_the_newest_uploads_only_that(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    for name in ("Older", "Newer"):
        await make_backup(hass, name)

    response = await ask(hass, "upload", latest=True)

    assert [one["name"] for one in response["backups"]] == ["Newer"]
    assert [one.backup.name for one in state_of(entry).backups] == ["Newer"]


async def test_upload_by_id_uploads_only_these(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    wanted = await make_backup(hass, "Wanted")
    await make_backup(hass, "Not wanted")

    # Ids that happen to be given as one text, or twice, mean the same.
    response = await ask(hass, "upload", backup_ids=wanted.backup_id)
    again = await ask(hass, "upload", backup_ids=[wanted.backup_id, wanted.backup_id])

    assert response == again
    assert [one["backup_id"] for one in response["backups"]] == [wanted.backup_id]
    assert [one.backup.name for one in state_of(entry).backups] == ["Wanted"]


async def test_upload_brings_back_what_was_deleted_on_purpose(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    await tell(hass, "delete", backup_ids=[backup.backup_id])

    await tell(hass, "upload")
    assert not state_of(entry).backups
    await tell(hass, "upload", backup_ids=[backup.backup_id])
    assert len(state_of(entry).backups) == 1


async def test_upload_that_does_not_wait_returns_at_once(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass)
    dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=0.5))

    assert await ask(hass, "upload", wait=False) == {"backups": []}
    assert not state_of(entry).backups

    await wait_until_idle(hass, entry)
    assert len(state_of(entry).backups) == 1


async def test_a_failed_upload_fails_the_action_and_names_the_backup(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await set_up_entry(hass, dropbox_server, options=MANUAL)
    backup = await make_backup(hass, "Too large", size=MIB)
    await make_backup(hass, "Waits behind it")
    dropbox_server.account.quota = dropbox_server.account.used + 1000

    with pytest.raises(HomeAssistantError, match=r"Too large: .*, 1 KB are free") as raised:
        await tell(hass, "upload")
    assert "Waits behind it" in str(raised.value)
    assert raised.value.translation_key == "upload_failed"

    response = await ask(hass, "upload", backup_ids=[backup.backup_id])
    (one,) = response["backups"]
    assert one["name"] == "Too large"
    assert "1 KB are free" in one["error"]


async def test_what_retention_would_not_keep_is_uploaded_once_also_when_dropbox_is_full(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL | {CONF_KEEP: 1})
    old = await make_backup(hass, "Old")
    new = await make_backup(hass, "New")
    await ask(hass, "upload", backup_ids=[new.backup_id])
    large = await make_backup(hass, "Large", size=2 * MIB)
    dropbox_server.account.quota = dropbox_server.account.used + MIB
    uploads = async_capture_events(hass, "state_changed")

    response = await ask(hass, "upload", backup_ids=[old.backup_id, large.backup_id])
    await wait_until_idle(hass, entry)

    errors = {one["name"]: one.get("error") for one in response["backups"]}
    assert errors["Old"] is None
    assert "are needed" in errors["Large"]
    assert [one.backup.name for one in state_of(entry).backups] == ["New"]
    told = [
        event.data["new_state"].attributes["name"]
        for event in uploads
        if event.data["new_state"].attributes.get("event_type") == "uploaded"
    ]
    assert told == ["Old"]


async def test_upload_of_a_damaged_backup_says_what_is_wrong_with_it(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass, "Whole")
    backup = await make_backup(hass, "Damaged", size=MIB)
    path = local_path(hass, backup)
    os.truncate(path, MIB // 2)

    response = await ask(hass, "upload", backup_ids=[backup.backup_id])

    (one,) = response["backups"]
    assert (one["backup_id"], one["name"]) == (backup.backup_id, "Damaged")
    assert "it is not a readable archive" in one["error"]


async def test_upload_while_dropbox_is_away_says_so(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up_entry(hass, dropbox_server, options=MANUAL)
    backup = await make_backup(hass)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))

    response = await ask(hass, "upload", backup_ids=[backup.backup_id])

    (one,) = response["backups"]
    assert one["backup_id"] == backup.backup_id
    assert "503" in one["error"]


async def test_upload_of_an_unknown_backup_is_refused_before_anything_is_sent(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    backup = await make_backup(hass)

    with pytest.raises(ServiceValidationError, match="no backup with this ID or name: 12345678"):
        await tell(hass, "upload", backup_ids=[backup.backup_id, "12345678"])

    await wait_until_idle(hass, entry)
    assert not state_of(entry).backups


async def test_upload_takes_ids_or_the_newest_but_not_both(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await set_up_entry(hass, dropbox_server, options=MANUAL)
    backup = await make_backup(hass)

    with pytest.raises(ServiceValidationError, match="not both"):
        await tell(hass, "upload", backup_ids=[backup.backup_id], latest=True)
    with pytest.raises(vol.Invalid):
        await tell(hass, "upload", backup_ids=[])


async def test_upload_of_the_newest_says_that_there_is_none(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await set_up_entry(hass, dropbox_server)

    with pytest.raises(HomeAssistantError, match="no backup on this Home Assistant"):
        await tell(hass, "upload", latest=True)
    assert await ask(hass, "upload") == {"backups": [], "in_dropbox": 0}


async def test_an_upload_that_is_interrupted_by_a_reload_says_so_and_goes_on_after_it(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=60))
    backup = await make_backup(hass)
    uploading = hass.async_create_task(ask(hass, "upload", backup_ids=[backup.backup_id]))
    await wait_until(lambda: state_of(entry).progress is not None)
    queued = hass.async_create_task(ask(hass, "upload", backup_ids=[backup.backup_id]))
    await asyncio.sleep(0.1)

    await hass.config_entries.async_reload(entry.entry_id)

    for waiting in (uploading, queued):
        with pytest.raises(HomeAssistantError, match="reloaded or stopped"):
            await waiting
    await wait_until_idle(hass, entry)
    assert len(state_of(entry).backups) == 1


async def test_an_automation_that_stops_waiting_does_not_stop_the_upload(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    backup = await make_backup(hass)
    dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=0.3))
    uploading = hass.async_create_task(ask(hass, "upload", backup_ids=[backup.backup_id]))
    await wait_until(lambda: state_of(entry).progress is not None)

    uploading.cancel()

    await wait_until_idle(hass, entry)
    assert len(state_of(entry).backups) == 1


# list_backups


async def test_list_backups_tells_everything_about_each(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put_backup(dropbox_server, "Theirs", backup_id="aaaa1111", instance_id="another")
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass, "Ours")
    await wait_until_idle(hass, entry)

    ours, theirs = (await ask(hass, "list_backups"))["backups"]

    file = dropbox_server.account.files.get_file(ours["path"])
    assert ours["backup_id"] == backup.backup_id
    assert ours["name"] == "Ours"
    assert ours["size"] == file.size
    assert ours["content_hash"] == file.content_hash
    assert ours["verified"] is True
    assert ours["verified_at"] is not None
    assert ours["encrypted"] == "not_encrypted"
    assert "pinned" not in ours, "nothing can pin yet"
    assert ours["of_this_home_assistant"] is True
    assert ours["homeassistant_version"] == backup.homeassistant_version
    assert ours["keep"] is True
    assert ours["reason"] == "one of the newest 10"
    assert theirs["path"] == f"{DEFAULT_FOLDER}/Theirs_2026-01-02_03.04_aaaa1111.tar"
    assert theirs["verified"] is False
    assert theirs["of_this_home_assistant"] is False
    assert theirs["keep"] is True
    assert theirs["reason"] == "belongs to another Home Assistant"


async def test_list_backups_answers_from_memory(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    await dropbox_server.stop()

    assert len((await ask(hass, "list_backups"))["backups"]) == 1


# delete


async def test_delete_moves_backups_to_the_deleted_files_and_lists_them(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass, "Unwanted")
    await make_backup(hass, "Stays")
    await wait_until_idle(hass, entry)

    response = await ask(hass, "delete", backup_ids=[backup.backup_id])

    (deleted,) = response["deleted"]
    assert deleted["name"] == "Unwanted"
    assert not dropbox_server.account.files.exists(deleted["path"])
    assert [one.backup.name for one in state_of(entry).backups] == ["Stays"]
    engine_of(entry).request("does not come back")
    await wait_until_idle(hass, entry)
    assert [one.backup.name for one in state_of(entry).backups] == ["Stays"]


async def test_delete_of_an_unknown_backup_deletes_none(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)

    with pytest.raises(ServiceValidationError, match="no backup with this ID or name: 12345678"):
        await tell(hass, "delete", backup_ids=[backup.backup_id, "12345678"])

    assert len(state_of(entry).backups) == 1


async def test_delete_refuses_what_has_been_changed_in_dropbox_meanwhile(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)
    (one,) = state_of(entry).backups
    path = f"{DEFAULT_FOLDER}/{one.file.name}"
    dropbox_server.account.files.put(path, b"something else")

    with pytest.raises(ServiceValidationError, match="There is no backup with this ID"):
        await tell(hass, "delete", backup_ids=[backup.backup_id])

    assert dropbox_server.account.files.read(path) == b"something else"


async def test_delete_makes_room_in_a_full_dropbox(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = [await make_backup(hass, name) for name in ("One", "Two", "Stays")]
    await wait_until_idle(hass, entry)
    dropbox_server.account.quota = 0

    await tell(hass, "delete", backup_ids=[one.backup_id for one in made[:2]])

    assert [one.backup.name for one in state_of(entry).backups] == ["Stays"]


async def test_delete_refuses_pinned_backups(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass, "Precious")
    await wait_until_idle(hass, entry)
    catalog, files = engine_of(entry).path_of(CATALOG_NAME), dropbox_server.account.files
    noted = files.read(catalog)
    files.put(catalog, noted.replace(b'"pinned":false', b'"pinned":true'))
    assert files.read(catalog) != noted
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)

    with pytest.raises(ServiceValidationError, match="Pinned backups are not deleted: Precious"):
        await tell(hass, "delete", backup_ids=[backup.backup_id])

    assert len(state_of(entry).backups) == 1


async def test_of_two_who_delete_the_same_backup_one_is_told_that_it_is_gone(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    backup = await make_backup(hass)
    await wait_until_idle(hass, entry)

    deleting = [ask(hass, "delete", backup_ids=[backup.backup_id]) for _ in range(2)]
    first, second = await asyncio.gather(*deleting, return_exceptions=True)

    assert isinstance(first, dict)
    assert len(first["deleted"]) == 1
    assert isinstance(second, ServiceValidationError)


# apply_retention


async def old_backups(hass: HomeAssistant, server: DropboxServer, count: int) -> list[str]:
    """Put backups into Dropbox that this Home Assistant made long ago."""
    ours = await instance_id.async_get(hass)
    return [
        put_backup(server, f"Old {one}", date=f"2026-01-{one + 1:02}T00:00:00Z", instance_id=ours)
        for one in range(count)
    ]


async def test_a_dry_run_of_apply_retention_tells_all_and_does_nothing(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await old_backups(hass, dropbox_server, 5)
    put_backup(dropbox_server, "Theirs", instance_id="another")
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1, **MANUAL})
    await make_backup(hass, "New")
    await tell(hass, "upload", latest=True)
    await make_backup(hass, "Newer")
    before = dropbox_server.account.files.list()

    response = await ask(hass, "apply_retention", dry_run=True)

    assert [one["name"] for one in response["delete"]] == [f"Old {n}" for n in (4, 3, 2, 1, 0)]
    assert {one["reason"] for one in response["delete"]} == {"older than the newest 1"}
    assert {one["name"]: one["reason"] for one in response["keep"]} == {
        "New": "one of the newest 1",
        "Theirs": "belongs to another Home Assistant",
    }
    assert response["upload"] == []
    assert {one["name"]: one["reason"] for one in response["skipped"]} == {
        "Newer": "new backups are not uploaded automatically"
    }
    await wait_until_idle(hass, entry)
    assert dropbox_server.account.files.list() == before


async def test_apply_retention_deletes_what_the_dry_run_said_when_it_is_confirmed(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    old = await old_backups(hass, dropbox_server, 5)
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await make_backup(hass, "New")
    await wait_until_idle(hass, entry)
    assert len(state_of(entry).unconfirmed) == 5

    response = await ask(hass, "apply_retention")
    assert response["delete"] == []
    assert {one["backup_id"] for one in response["unconfirmed"]} == set(old)
    with pytest.raises(ServiceValidationError, match="would have been 5 backups"):
        await tell(hass, "apply_retention")
    assert len(state_of(entry).backups) == 6

    response = await ask(hass, "apply_retention", confirm=True)

    assert {one["backup_id"] for one in response["delete"]} == set(old)
    assert response["unconfirmed"] == []
    assert [one["name"] for one in response["keep"]] == ["New"]
    assert "upload" not in response
    assert [one.backup.name for one in state_of(entry).backups] == ["New"]
    assert not state_of(entry).unconfirmed


async def test_the_form_of_apply_retention_only_looks_and_asks_before_it_deletes_much(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await set_up_entry(hass, dropbox_server)
    described = (await async_get_all_descriptions(hass))[DOMAIN]["apply_retention"]["fields"]
    assert described["dry_run"]["default"] is True
    assert described["confirm"]["default"] is False


# What people can read, and write


async def test_dates_are_in_one_time_zone_and_sizes_can_be_read(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await hass.config.async_set_time_zone("America/New_York")
    ours = await instance_id.async_get(hass)
    dates = {"UTC": "2026-01-02T03:04:05+00:00", "Tokyo": "2026-07-02T03:04:05+09:00"}
    for name, date in dates.items():
        put_backup(dropbox_server, name, date=date, instance_id=ours, size=5_000_000)
    await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})

    listed = {one["name"]: one for one in (await ask(hass, "list_backups"))["backups"]}
    judged = await ask(hass, "apply_retention", dry_run=True)

    assert listed["UTC"]["date"] == "2026-01-01T22:04:05-05:00"
    assert listed["UTC"]["date_text"] == "2026-01-01 22:04"
    assert listed["Tokyo"]["date"] == "2026-07-01T14:04:05-04:00"
    for one in (*listed.values(), *judged["keep"], *judged["delete"]):
        assert one["size"] > 5_000_000
        assert one["size_text"] == "5.01 MB"
        assert one["date_text"]
    uploaded = dt_util.parse_datetime(listed["UTC"]["uploaded"], raise_on_error=True)
    assert uploaded.utcoffset() == dt_util.as_local(uploaded).utcoffset()


async def test_upload_with_nothing_to_do_says_how_many_are_there(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    put_backup(dropbox_server, "Theirs", instance_id="another")
    for name in ("One", "Two"):
        await make_backup(hass, name)
    await wait_until_idle(hass, entry)

    assert await ask(hass, "upload") == {"backups": [], "in_dropbox": 2}


async def test_backups_can_be_given_by_name(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options=MANUAL)
    for name in ("Before the move", "Other"):
        await make_backup(hass, name)

    response = await ask(hass, "upload", backup_ids="Before the move")
    assert [one["name"] for one in response["backups"]] == ["Before the move"]
    assert [one.backup.name for one in state_of(entry).backups] == ["Before the move"]
    with pytest.raises(ServiceValidationError, match="no backup with this ID or name: Other"):
        await tell(hass, "delete", backup_ids=["Before the move", "Other"])
    assert len(state_of(entry).backups) == 1, "that one is only here, so none was deleted"
    response = await ask(hass, "delete", backup_ids=["Before the move"])
    assert [one["name"] for one in response["deleted"]] == ["Before the move"]
    assert not state_of(entry).backups


@pytest.mark.parametrize("action", ["upload", "delete"])
async def test_a_name_that_several_backups_have_is_not_guessed(
    hass: HomeAssistant, dropbox_server: DropboxServer, action: str
) -> None:
    ours = await instance_id.async_get(hass)
    ids = [
        put_backup(dropbox_server, "Twice", date=f"2026-01-0{day}T12:00:00Z", instance_id=ours)
        for day in (1, 2)
    ]
    entry = await set_up_entry(hass, dropbox_server)

    with pytest.raises(ServiceValidationError) as raised:
        await tell(hass, action, backup_ids=["Twice"])
    assert raised.value.translation_key == "ambiguous_backup"
    for backup_id, day in zip(ids, ("2026-01-01", "2026-01-02"), strict=True):
        assert f"{backup_id} ({day} 04:00)" in str(raised.value)
    assert len(state_of(entry).backups) == 2


async def test_what_is_an_id_is_never_taken_for_a_name(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    ours = await instance_id.async_get(hass)
    meant = put_backup(dropbox_server, "Meant", instance_id=ours)
    put_backup(dropbox_server, meant, instance_id=ours)
    entry = await set_up_entry(hass, dropbox_server)

    await tell(hass, "delete", backup_ids=[meant])

    assert [one.backup.name for one in state_of(entry).backups] == [meant]


# All actions


@pytest.mark.parametrize("action", ["upload", "list_backups", "delete", "apply_retention"])
async def test_actions_are_for_administrators(
    hass: HomeAssistant, dropbox_server: DropboxServer, hass_read_only_user: User, action: str
) -> None:
    await set_up_entry(hass, dropbox_server)
    data = {"backup_ids": ["12345678"]} if action == "delete" else {}

    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            DOMAIN,
            action,
            data,
            blocking=True,
            return_response=True,
            context=Context(user_id=hass_read_only_user.id),
        )


async def test_actions_need_to_know_which_of_several_accounts(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    first = await set_up_entry(hass, dropbox_server, options=MANUAL)
    bob = dropbox_server.add_account(DropboxAccount(email="bob@example.com", name="Bob"))
    second = await set_up_entry(hass, dropbox_server, account=bob, options=MANUAL)
    await make_backup(hass)

    with pytest.raises(ServiceValidationError):
        await tell(hass, "upload")
    await tell(hass, "upload", config_entry_id=second.entry_id)

    assert len(state_of(second).backups) == 1
    assert not state_of(first).backups


async def test_actions_need_a_loaded_account(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_unload(entry.entry_id)

    with pytest.raises(ServiceValidationError, match="not loaded"):
        await ask(hass, "list_backups", config_entry_id=entry.entry_id)


async def test_a_refused_sign_in_is_told_and_can_be_renewed(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await set_up_entry(hass, dropbox_server, options=MANUAL)
    await make_backup(hass)
    dropbox_server.tokens.revoke_all()

    with pytest.raises(HomeAssistantError) as raised:
        await tell(hass, "apply_retention")
    assert raised.value.translation_key == "sign_in_needed"
    with pytest.raises(HomeAssistantError) as raised:
        await tell(hass, "upload")
    assert raised.value.translation_key == "sign_in_needed"
    assert len(hass.config_entries.flow.async_progress()) == 1


async def test_a_dropbox_that_is_away_is_told(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up_entry(hass, dropbox_server)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, times=None))

    for action in ("apply_retention", "upload"):
        with pytest.raises(HomeAssistantError) as raised:
            await tell(hass, action)
        assert raised.value.translation_key == "cannot_connect"
