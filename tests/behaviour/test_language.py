"""In a language that is not English, nothing is told in English: each text that anybody is shown is
in the translations.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
import errno
from typing import Any

from aiohttp import ClientError, ServerDisconnectedError
from homeassistant.auth.models import User
from homeassistant.components.backup import BackupNotFound, async_get_manager
from homeassistant.components.backup.manager import BlockedEvent
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import Context, HomeAssistant, State as EntityState
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er, instance_id
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.dropbox_backup.application_credentials import (
    async_get_description_placeholders,
)
from custom_components.dropbox_backup.backup import async_get_backup_agents
from custom_components.dropbox_backup.codes import Bytes, Code, Count, Reason, all_codes
from custom_components.dropbox_backup.const import (
    CONF_FOLDER,
    CONF_KEEP,
    DEFAULT_FOLDER,
    EVENT_BACKUP,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api import errors
from custom_components.dropbox_backup.dropbox_api.types import Space
from custom_components.dropbox_backup.logbook import Describe, async_describe_events
from custom_components.dropbox_backup.repairs import ISSUES, async_update_issues
from custom_components.dropbox_backup.services import error_of
from custom_components.dropbox_backup.sync.archive.metadata import ArchiveError, ArchiveFault
from custom_components.dropbox_backup.sync.decide.backup_settings import (
    BackupSettings,
    Encryption,
)
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.decide.models import Missed, Trouble
from custom_components.dropbox_backup.sync.decide.plan import Skipped
from custom_components.dropbox_backup.sync.report.alarm import alarm
from custom_components.dropbox_backup.sync.report.problems import (
    LocationAwayError,
    Silence,
    no_room,
    problem_of,
    silence_of,
    silence_reason,
)
from custom_components.dropbox_backup.sync.report.state import Problem, State
from custom_components.dropbox_backup.texts import Texts
from tests import test_config_flow as flows
from tests.support import repairs
from tests.support.account import (
    MANUAL,
    MIB,
    archives,
    ask,
    engine_of,
    entity,
    make_backup,
    put_backup,
    set_up_entry,
    state_of,
    tell,
    wait_until,
    wait_until_idle,
)
from tests.support.alarms import AT_NIGHT, DAY, FINE, NOW, OVERDUE
from tests.support.backups import local, remote
from tests.support.buttons import press
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.home_assistant import JsonObject
from tests.support.language import LANGUAGE, MARKED, Reader, speak
from tests.support.waits import try_once

pytestmark = pytest.mark.usefixtures("quick_worker")

NAMES = ("Backup 1", "Backup 2", "Backup 3", "Backup 28", "Backup 29", "Nightly", "Too large")
READER = Reader(
    *NAMES,
    # What somebody types, and the tags with which the local Dropbox refuses it.
    *("dot.", "blank ", "back\\slash", "nope.", "/Elsewhere", "Home Assistant Backup"),
    "Backup manager busy: blocked",  # Home Assistant's own words
    *("KEEP ME.tar", "access_denied", "user_suspended", "(new)", "(no)"),
)


# Attributes that Home Assistant itself gives an entity, and names.
HOME_ASSISTANTS = {
    *("attribution", "device_class", "event_types", "friendly_name", "icon", "options"),
    *("state_class", "supported_features", "unit_of_measurement"),
}


@pytest.fixture(autouse=True)
async def _language(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(hass, monkeypatch)
    await async_setup_component(hass, "repairs", {})


# The reader


@pytest.mark.parametrize(
    "shown",
    [
        "Nothing has been uploaded",
        {"reason": "pinned"},
        {"backups": [{"reason": "pinned"}]},
        {"reason_code": "it is pinned"},
    ],
)
def test_a_word_in_another_language_is_found(shown: object) -> None:
    with pytest.raises(AssertionError):
        READER.reads(shown)


# What is told of a problem


def told_problems() -> Iterator[Problem]:
    """Yield every problem and alarm that there can be, as they are made."""
    yield from filter(
        None,
        (
            alarm(OVERDUE),
            alarm(replace(OVERDUE, paused=True)),
            alarm(replace(OVERDUE, hours=AT_NIGHT, waiting=[local(28), local(29)])),
            alarm(replace(OVERDUE, moved=NOW, moving_since=NOW - 20 * DAY)),
            alarm(replace(OVERDUE, waiting=[])),
            alarm(replace(OVERDUE, waiting=[], not_wanted=[local(28)])),
            alarm(replace(OVERDUE, waiting=[], not_wanted=[local(28), local(29)])),
            alarm(replace(FINE, missed=Missed("Nightly", NOW, Reason(Trouble.UNEXPECTED)))),
            alarm(replace(FINE, writable=False)),
            alarm(replace(FINE, unconfirmed=[remote(1)])),
            alarm(replace(FINE, unconfirmed=[remote(1), remote(2)])),
            alarm(replace(FINE, space=Space(used=9, total=10))),
            alarm(replace(FINE, readable=Encryption.NO_KEY)),
            alarm(replace(FINE, readable=Encryption.OFF)),
            alarm(replace(FINE, unexamined=[remote(1), remote(2)])),
            *(
                alarm(replace(FINE, refused=[Skipped(local(3), archive_error(fault).why)]))
                for fault in ArchiveFault
            ),
        ),
    )
    for err in told_errors():
        yield problem_of(err)
        yield silence_of({"hassio.local": silence_reason(err)})
    for silence in Silence:
        if silence is not Silence.OF_LOCATION:
            yield silence_of({"hassio.local": LocationAwayError(silence).why})


def archive_error(fault: ArchiveFault) -> ArchiveError:
    return ArchiveError(filled(fault))


def filled(code: Code) -> Reason:
    """Return a reason with everything that its text names."""
    numbers = {"size", "needed", "free", "found", "expected"}
    texts = MARKED["common"]
    text = texts.get(code) or texts[f"{code}_other"]
    about: dict[str, Any] = {}
    for name in ("count", "days"):
        if f"{{{name}}}" in text:
            about[name] = Count(3)
    for name in numbers:
        if f"{{{name}}}" in text:
            about[name] = Bytes(123_456)
    for name in ("begin", "end"):
        if f"{{{name}}}" in text:
            about[name] = AT_NIGHT.begin
    for name in ("reason", "backups", "locations"):
        if f"{{{name}}}" in text:
            about[name] = Reason(Trouble.UNEXPECTED)
    for name in _data_of(text) - about.keys():
        about[name] = "Nightly"
    return Reason.of(code, **about)


def _data_of(text: str) -> set[str]:
    return {part.partition("}")[0] for part in text.split("{")[1:]}


def told_errors() -> Iterator[Exception]:
    """Yield what can go wrong with Dropbox, with a local backup, and with us."""
    kinds = (
        errors.SignInError,
        errors.NotFoundError,
        errors.RateLimitedError,
        errors.UnreachableError,
        errors.RefusedError,
        errors.NotWritableError,
        errors.CorruptError,
    )
    for kind in kinds:
        yield kind("path/conflict/file", "0123456789", tags=("path", "conflict", "file"))
    for fault in errors.Fault:
        yield errors.RefusedError(filled(fault), "0123456789")
    for trouble in Trouble:
        yield errors.RefusedError(filled(trouble))
    yield no_room(5_000_000, None)
    yield no_room(5_000_000, 1000)
    yield OSError(errno.EIO, "Input/output error", "/backup/file.tar")
    yield ServerDisconnectedError()
    yield ClientError("not for people")
    yield TimeoutError()
    yield KeyError("not for people")


async def test_every_problem_is_told_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    coordinator, before = entry.runtime_data, state_of(entry)
    shown = set()
    for problem in told_problems():
        state = replace(
            before,
            problem=problem,
            alarm=problem,
            space=Space(used=1, total=2),
            waiting=(local(28),),
            refused=(Skipped(local(3), Reason(ArchiveFault.HOLES)),),
            unconfirmed=(remote(1), remote(2)),
            unexamined=(remote(1),),
            folder_was_missing=True,
            beaten=True,
            settings=BackupSettings(Encryption.OFF, copies=3, days=None),
        )
        for settings in (
            state.settings,
            BackupSettings(Encryption.NO_KEY, copies=None, days=2),
            BackupSettings(Encryption.ON, copies=3, days=None),
        ):
            await show(hass, entry, replace(state, settings=settings))
            shown |= {issue.data["kind"] for issue in repairs.issues(hass).values() if issue.data}
    assert shown == {issue.kind for issue in ISSUES}
    coordinator.async_set_updated_data(before)
    async_update_issues(hass, entry, before)


async def show(hass: HomeAssistant, entry: DropboxBackupConfigEntry, state: State) -> None:
    """Show a state, and read everything that is shown of it."""
    entry.runtime_data.async_set_updated_data(state)
    async_update_issues(hass, entry, state)
    await hass.async_block_till_done()
    reads_all_entities(hass, entry)
    for issue in repairs.issues(hass).values():
        READER.reads_issue(issue)


def reads_all_entities(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    registry = er.async_get(hass)
    for one in er.async_entries_for_config_entry(registry, entry.entry_id):
        if (shown := hass.states.get(one.entity_id)) is not None:
            assert one.translation_key
            reads_entity(shown, MARKED["entity"][one.domain][one.translation_key])


def reads_entity(shown: EntityState, texts: dict[str, Any]) -> None:
    """Read an entity as the frontend shows it: it has texts for states, and for attributes."""
    where = shown.entity_id
    if "state" in texts:
        READER.reads(texts["state"][shown.state], where)
    elif shown.domain == "sensor" and shown.state not in {"unknown", "unavailable"}:
        READER.reads(shown.state, where)
    for name, value in shown.attributes.items():
        if name in HOME_ASSISTANTS:
            continue
        about = texts["state_attributes"][name]
        assert about["name"], f"{where} {name}"
        if "state" in about and value is not None:
            READER.reads(about["state"][value], f"{where} {name}")
        READER.reads({name: value}, where)


# What happens


async def test_what_happens_to_backups_is_told_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    described: dict[str, Describe] = {}
    async_describe_events(
        hass, lambda _domain, event, describe: described.update({event: describe})
    )
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    events = async_capture_events(hass, EVENT_BACKUP)
    for name in ("Backup 1", "Backup 2"):
        await make_backup(hass, name)
        await wait_until_idle(hass, entry)
        reads_all_entities(hass, entry)
    await tell(hass, "delete", backup_ids=["Backup 2"])
    (agent,) = await async_get_backup_agents(hass)
    await make_backup(hass, "Backup 3")
    await wait_until_idle(hass, entry)
    await agent.async_delete_backup(state_of(entry).backups[0].backup.backup_id)
    damage = Fault(FaultKind.CORRUPT_UPLOAD, "files/upload", times=None)
    dropbox_server.faults.add(damage)
    await make_backup(hass, "Nightly")
    await wait_until_idle(hass, entry)
    reads_all_entities(hass, entry)
    dropbox_server.faults.clear()
    dropbox_server.account.quota = dropbox_server.account.used + 1000
    await make_backup(hass, "Too large", size=MIB)
    await wait_until_idle(hass, entry)
    reads_all_entities(hass, entry)

    kinds = {event.data["event_type"] for event in events}
    assert kinds >= {"uploaded", "deleted", "upload_failed", "verification_failed"}
    for event in events:
        READER.reads(event.data, "event")
        READER.reads(described[EVENT_BACKUP](event)["message"], "activity")


# Actions


async def refusal(hass: HomeAssistant, action: str, **data: Any) -> None:
    """Call an action that is refused, and read why."""
    with pytest.raises(HomeAssistantError) as raised:
        await tell(hass, action, **data)
    READER.reads_error(raised.value)


async def test_actions_answer_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = await instance_id.async_get(hass)
    for day in range(1, 6):
        put_backup(dropbox_server, "Nightly", date=f"2026-01-0{day}T12:00:00Z", instance_id=ours)
    put_backup(dropbox_server, "Backup 1", instance_id="another")
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1, **MANUAL})
    await refusal(hass, "upload", latest=True)
    made = await make_backup(hass, "Backup 2")
    READER.reads(await ask(hass, "upload"), "upload")
    await wait_until_idle(hass, entry)
    READER.reads(await ask(hass, "list_backups"), "list_backups")
    READER.reads(await ask(hass, "apply_retention", dry_run=True), "dry run")
    READER.reads(await ask(hass, "apply_retention"), "apply_retention")
    await refusal(hass, "apply_retention")
    await refusal(hass, "delete", backup_ids=["Nightly"])
    await refusal(hass, "delete", backup_ids=["0badc0de"])
    await refusal(hass, "upload", backup_ids=[made.backup_id], latest=True)
    READER.reads(await ask(hass, "delete", backup_ids=[made.backup_id]), "delete")

    dropbox_server.account.quota = dropbox_server.account.used + 1000
    large = await make_backup(hass, "Too large", size=MIB)
    await refusal(hass, "upload", backup_ids=[large.backup_id])
    READER.reads(await ask(hass, "upload", backup_ids=[large.backup_id]), "full")
    READER.reads(await ask(hass, "apply_retention", dry_run=True), "dry run")
    await hass.services.async_call(
        "switch",
        "turn_off",
        {"entity_id": entity(hass, entry, "switch", "uploads").entity_id},
        blocking=True,
    )
    await refusal(hass, "upload")
    reads_all_entities(hass, entry)
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    await refusal(hass, "apply_retention", dry_run=True)
    dropbox_server.faults.clear()
    dropbox_server.tokens.revoke_all()
    await refusal(hass, "apply_retention", dry_run=True)


async def test_what_is_pinned_or_refused_is_told_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass, "Nightly")
    await wait_until_idle(hass, entry)
    refused = {".tag": "path_lookup", "path_lookup": {".tag": "restricted_content"}}
    dropbox_server.faults.add(Fault(FaultKind.STATUS, "files/delete_v2", status=409, error=refused))
    await refusal(hass, "delete", backup_ids=[made.backup_id])
    catalog, files = engine_of(entry).path_of(CATALOG_NAME), dropbox_server.account.files
    files.put(catalog, files.read(catalog).replace(b'"pinned":false', b'"pinned":true'))
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)
    await refusal(hass, "delete", backup_ids=[made.backup_id])
    READER.reads_error(error_of(hass, silence_of({"hassio.local": Reason(Silence.SLOW)})))


async def test_buttons_answer_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer, hass_admin_user: User
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    person = Context(user_id=hass_admin_user.id)
    with pytest.raises(HomeAssistantError) as nothing:
        await press(hass, entry, "upload_now", context=person)
    dropbox_server.tokens.revoke_all()
    with pytest.raises(HomeAssistantError) as refused:
        await press(hass, entry, "upload_now", context=person)
    async_get_manager(hass).async_on_backup_event(BlockedEvent())
    with pytest.raises(HomeAssistantError) as busy:
        await press(hass, entry, "back_up_now")
    for raised in (nothing, refused, busy):
        READER.reads_error(raised.value)


async def test_the_backup_page_is_answered_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    made = await make_backup(hass, "Nightly")
    await wait_until_idle(hass, entry)
    (agent,) = await async_get_backup_agents(hass)
    dropbox_server.faults.add(Fault(FaultKind.CORRUPT_DOWNLOAD, "files/download", times=None))
    with pytest.raises(HomeAssistantError) as damaged:
        async for _ in await agent.async_download_backup(made.backup_id):
            pass
    with pytest.raises(BackupNotFound) as unknown:
        await agent.async_get_backup("0badc0de")
    dropbox_server.account.quota = dropbox_server.account.used

    async def stream() -> AsyncIterator[bytes]:
        raise AssertionError("there is no room for it: nobody reads it")

    with pytest.raises(HomeAssistantError) as full:
        await agent.async_upload_backup(
            open_stream=stream, backup=replace(made, backup_id="12345678"), on_progress=_ignore
        )
    dropbox_server.account.quota *= 1000

    async def broken() -> AsyncIterator[bytes]:
        raise LocationAwayError(Silence.STALLED)

    with pytest.raises(HomeAssistantError) as unreadable:
        await agent.async_upload_backup(
            open_stream=broken, backup=replace(made, backup_id="12345678"), on_progress=_ignore
        )
    dropbox_server.faults.clear()
    (path,) = archives(dropbox_server)
    dropbox_server.account.files.move(path, f"{DEFAULT_FOLDER}/KEEP ME.tar")
    engine_of(entry).request("test")
    await wait_until(lambda: [one.file.name for one in state_of(entry).backups] == ["KEEP ME.tar"])
    await wait_until_idle(hass, entry)
    with pytest.raises(HomeAssistantError) as own_copy:
        await agent.async_delete_backup(made.backup_id)
    for raised in (damaged, unknown, full, unreadable, own_copy):
        READER.reads_error(raised.value)
    keys = {raised.value.translation_key for raised in (unreadable, own_copy)}
    assert keys == {"backup_unreadable", "own_copy"}


def _ignore(**_: object) -> None:
    """Take no note of the progress."""


async def test_a_setup_that_fails_says_why_in_the_users_language(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_once(monkeypatch)
    dropbox_server.faults.add(Fault(FaultKind.STATUS, status=503, times=None))
    away = await set_up_entry(hass, dropbox_server)
    assert away.state is ConfigEntryState.SETUP_RETRY
    dropbox_server.faults.clear()
    reads_setup_error(away)
    token = away.data["token"] | {"scope": "account_info.read"}
    hass.config_entries.async_update_entry(away, data={**away.data, "token": token})
    await hass.config_entries.async_reload(away.entry_id)
    assert away.error_reason_translation_key == "missing_scopes"
    reads_setup_error(away)


def reads_setup_error(entry: DropboxBackupConfigEntry) -> None:
    assert entry.error_reason_translation_key
    text = MARKED["exceptions"][entry.error_reason_translation_key]["message"]
    READER.reads_texts(text, entry.error_reason_translation_placeholders, "setup")


async def test_what_stays_is_told_in_the_users_language_when_the_account_is_removed(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    (note,) = hass.data["persistent_notification"].values()
    READER.reads((note["title"], note["message"]), "notification")


# Dialogs: whatever the tests of the config flow go through is read in this language as well.

home, app, person = flows.home, flows.app, flows.person
before_dropbox, folder_form, entry = flows.before_dropbox, flows.folder_form, flows.entry
nobody_waits = flows.nobody_waits


@pytest.fixture(autouse=True)
def _reads_dialogs(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = flows.Person.reads

    def read(self: flows.Person, step: JsonObject, flow: str = "config") -> JsonObject:
        placeholders = reads(self, step, flow).get("description_placeholders")
        for text in flows.texts_of(step, MARKED[flow]):
            READER.reads_texts(text, placeholders, str(step.get("step_id") or step.get("reason")))
        return step

    monkeypatch.setattr(flows.Person, "reads", read)


test_a_wrong_key = flows.test_a_second_wrong_secret_is_asked_for_once_more
test_without_an_app = flows.test_without_an_app_home_assistant_asks_for_one
test_several_apps = flows.test_with_several_apps_the_user_chooses_one_by_its_name
test_who_denies = flows.test_a_user_who_denies_is_told_so
test_an_old_sign_in = flows.test_a_sign_in_that_is_too_old_is_told_in_own_words
test_missing_permissions = flows.test_a_permission_that_was_taken_away_meanwhile_is_named
test_no_lasting_sign_in = flows.test_a_sign_in_that_would_end_is_not_taken
test_an_account = flows.test_an_account_that_can_not_be_asked_ends_the_flow_with_the_reason
test_no_network = flows.test_without_a_network_after_the_consent_the_flow_ends
test_names_of_folders = flows.test_each_rule_for_names_has_its_own_text_at_the_field
test_a_kept_name = flows.test_a_name_that_dropbox_keeps_for_itself_is_an_error_at_the_field
test_a_file_in_place = flows.test_a_file_in_place_of_the_folder_is_an_error_at_the_field
test_a_folder = flows.test_what_keeps_the_folder_from_working_is_said_and_can_be_tried_again
test_a_full_dropbox = flows.test_a_full_dropbox_is_said
test_an_account_again = flows.test_an_account_is_set_up_only_once
test_another_account = flows.test_signing_in_again_to_another_account_changes_nothing
test_old_permissions = flows.test_signing_in_again_says_which_permissions_the_old_sign_in_lacks
test_another_folder = flows.test_the_folder_can_be_changed
test_an_app_that_is_gone = flows.test_changing_the_folder_without_the_app_s_key_says_so
test_hours = flows.test_hours_that_mean_nothing_are_refused_and_what_was_typed_stays
test_wrong_options = flows.test_all_errors_are_told_at_once


async def test_what_lies_in_a_folder_is_told_in_the_users_language(
    hass: HomeAssistant,
    person: flows.Person,
    app: Any,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
) -> None:
    for number in range(3):
        content = f"{DEFAULT_FOLDER}/{number}.tar"
        dropbox_server.account.app_files(app).put(content, b"an archive, perhaps")
    done = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert done["type"] == "create_entry"


async def test_a_folder_that_stays_is_told_in_the_users_language(
    person: flows.Person, entry: ConfigEntry
) -> None:
    form = await person.chooses(await person.reconfigures(entry), "folder")
    step = await person.answers(form, folder=entry.data[CONF_FOLDER])
    assert step["reason"] == "folder_kept"


async def test_the_instructions_are_in_the_users_language(hass: HomeAssistant) -> None:
    placeholders = await async_get_description_placeholders(hass)
    READER.reads_texts(
        MARKED["application_credentials"]["description"], placeholders, "instructions"
    )


# Repairs


@pytest.mark.parametrize("old", [0, 8])
async def test_what_is_done_about_an_issue_is_asked_in_the_users_language(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    dropbox_server: DropboxServer,
    old: int,
) -> None:
    ours = await instance_id.async_get(hass)
    for day in range(1, old + 1):
        put_backup(dropbox_server, "Nightly", date=f"2026-01-0{day}T12:00:00Z", instance_id=ours)
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1}, readable=False)
    await make_backup(hass, "Backup 1")
    await wait_until_idle(hass, entry)
    async_get_manager(hass).config.update(retention={"copies": 0, "days": None})
    engine_of(entry).publish()
    kinds = set()
    for issue_id, issue in repairs.issues(hass).items():
        if issue.is_fixable and issue.data:
            kinds.add(issue.data["kind"])
            asked = await repairs.fix(hass_client, issue_id)
            texts = MARKED["issues"][issue.translation_key]["fix_flow"]
            READER.reads_texts(texts, asked["description_placeholders"], issue_id)
    assert kinds == {"confirm_retention" if old else "not_encrypted", "home_assistant_retention"}


# All codes


def test_every_code_can_be_told() -> None:
    texts = Texts(MARKED["common"])
    for code in all_codes():
        told = texts.of(filled(code))
        assert told
        assert "{" not in told
        READER.reads(told, code)
    assert len(set(all_codes())) == len(list(all_codes())), "each is another key"


async def test_a_language_that_is_chosen_later_is_spoken_at_once(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    hass.config.language = "en"
    entry = await set_up_entry(hass, dropbox_server)
    dropbox_server.account.quota = dropbox_server.account.used + 1000
    await make_backup(hass, "Too large", size=MIB)
    await wait_until_idle(hass, entry)
    assert "are needed" in entity(hass, entry, "binary_sensor", "problem").attributes["detail"]

    await hass.config.async_update(language=LANGUAGE)
    await hass.async_block_till_done()
    READER.reads(entity(hass, entry, "binary_sensor", "problem").attributes["detail"])
    for issue in repairs.issues(hass).values():
        READER.reads_issue(issue)
