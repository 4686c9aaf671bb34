"""Nothing is deleted on account of what is no longer there, nor unasked when it is much."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id
import pytest

from custom_components.dropbox_backup.const import (
    CONF_FOLDER,
    CONF_KEEP,
    CONF_UPLOAD_AUTOMATICALLY,
    DEFAULT_FOLDER,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.errors import UnreachableError
from custom_components.dropbox_backup.sync import pruner as pruner_module
from custom_components.dropbox_backup.sync.decide.models import BackupId, RemoteBackup
from custom_components.dropbox_backup.sync.decide.retention import Verdict, judge
from custom_components.dropbox_backup.sync.folder_refresh import FolderRefresh
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from custom_components.dropbox_backup.sync.storage.journal import journal_of
from custom_components.dropbox_backup.sync.storage.notes import Notes
from tests.support.account import (
    ASKED,
    MIB,
    archives,
    engine_of,
    make_backup,
    problem_of,
    put_backup,
    set_up_entry,
    start_again,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.english import told

pytestmark = pytest.mark.usefixtures("quick_worker")

LIST = "files/list_folder/continue"


@pytest.fixture(autouse=True)
def _nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no longpoll tell what others do: it may be late, or down."""

    async def watch(*_: Any) -> None:
        return

    monkeypatch.setattr("custom_components.dropbox_backup.sync.engine.watch_dropbox", watch)


def names(entry: DropboxBackupConfigEntry) -> list[str]:
    return [one.backup.name for one in state_of(entry).backups]


def path_of(entry: DropboxBackupConfigEntry, name: str) -> str:
    """Return where a backup lies in Dropbox."""
    [file] = [one.file for one in state_of(entry).backups if one.backup.name == name]
    return engine_of(entry).path_of(file.name)


async def nights(hass: HomeAssistant, entry: DropboxBackupConfigEntry, *made: str) -> None:
    """Make backups, one after the other."""
    for name in made:
        await make_backup(hass, name)
        await wait_until_idle(hass, entry)


async def keep(hass: HomeAssistant, entry: DropboxBackupConfigEntry, count: int) -> None:
    """Choose how many to keep."""
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: count})
    await hass.async_block_till_done()
    await wait_until_idle(hass, entry)


async def put_old(
    hass: HomeAssistant, server: DropboxServer, count: int, folder: str = DEFAULT_FOLDER
) -> None:
    """Let so many old backups of this Home Assistant lie in a folder."""
    ours = await instance_id.async_get(hass)
    for number in range(count):
        date = f"2025-01-{number + 1:02}T00:00:00+00:00"
        put_backup(server, f"Old {number}", date=date, instance_id=ours, folder=folder)


async def check(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Let the worker look."""
    engine_of(entry).request("test")
    await wait_until_idle(hass, entry)


# What lies there now


async def test_a_backup_that_vanishes_while_the_others_are_judged_takes_none_with_it(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 2})
    await nights(hass, entry, "Old", "New")
    engine = engine_of(entry)
    new, old = state_of(entry).backups
    loop = asyncio.get_running_loop()

    async def vanish() -> None:
        dropbox_server.account.files.delete(engine.path_of(new.file.name))
        await engine.refresh()

    def slow_judge(backups: Iterable[RemoteBackup], *others: Any) -> tuple[Verdict, ...]:
        verdicts = judge(backups, *others)
        if new in backups:
            asyncio.run_coroutine_threadsafe(vanish(), loop).result(10)
        return verdicts

    monkeypatch.setattr(pruner_module, "judge", slow_judge)
    await keep(hass, entry, 1)
    assert [verdict.keep for verdict in await engine.judge()] == [True]
    assert archives(dropbox_server) == [engine.path_of(old.file.name)]


async def test_a_number_to_keep_that_is_raised_while_it_is_judged_saves_what_was_to_go(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 4})
    await nights(hass, entry, "1", "2", "3", "4")
    there = archives(dropbox_server)
    judged: list[int] = []

    async def save_options() -> None:
        hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 4})

    def slow_judge(backups: Iterable[RemoteBackup], keep: int, *others: Any) -> tuple[Verdict, ...]:
        verdicts = judge(backups, keep, *others)
        if keep == 1:
            judged.append(keep)
            # First as the list is made, then before one of them goes.
            if len(judged) == 3:
                asyncio.run_coroutine_threadsafe(save_options(), hass.loop).result(10)
        return verdicts

    monkeypatch.setattr(pruner_module, "judge", slow_judge)
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 1})
    await wait_until(lambda: len(judged) >= 3)
    await wait_until_idle(hass, entry)
    assert len(judged) == 3
    assert archives(dropbox_server) == there


async def test_newer_backups_deleted_during_a_long_upload_no_longer_push_out_older_ones(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 3})
    await nights(hass, entry, "Monday", "Tuesday", "Wednesday")
    stall = Fault(FaultKind.STALL, route="files/upload_session/append_v2", seconds=1, skip=1)
    dropbox_server.faults.add(stall)
    await make_backup(hass, "Thursday", size=9 * MIB)
    await wait_until(lambda: stall.applied)
    for day in ("Tuesday", "Wednesday"):
        dropbox_server.account.files.delete(path_of(entry, day))
    dropbox_server.faults.clear()
    await wait_until_idle(hass, entry)

    assert any("Monday" in path for path in archives(dropbox_server))


type Person = Callable[[], object]


def act_before_a_deletion(monkeypatch: pytest.MonkeyPatch, count: int, act: Person) -> None:
    """Let somebody act right before a deletion of ours, of which the first is number 0: after the
    listing that it is judged by.
    """
    deletions = 0
    delete = DropboxClient.delete

    async def after_the_act(self: DropboxClient, path: str, rev: str) -> None:
        nonlocal deletions
        if deletions == count:
            act()
        deletions += 1
        await delete(self, path, rev)

    monkeypatch.setattr(DropboxClient, "delete", after_the_act)


async def test_each_deletion_is_judged_anew(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 4})
    await nights(hass, entry, "1", "2", "3", "4")
    newest = [path_of(entry, name) for name in ("3", "4")]

    def delete_the_newest() -> None:
        for path in newest:
            dropbox_server.account.files.delete(path)

    act_before_a_deletion(monkeypatch, 0, delete_the_newest)
    await keep(hass, entry, 2)

    [left] = archives(dropbox_server)
    assert left == path_of(entry, "2"), "one had been judged before, the other is kept"


async def test_what_took_the_place_of_a_backup_before_its_deletion_stays(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await nights(hass, entry, "Old")
    path = path_of(entry, "Old")
    letter = b"not a backup"
    act_before_a_deletion(monkeypatch, 0, lambda: dropbox_server.account.files.put(path, letter))
    await nights(hass, entry, "New")

    assert dropbox_server.account.files.read(path) == letter
    assert state_of(entry).problem is None


async def test_nothing_is_deleted_when_dropbox_does_not_say_what_is_there(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = FolderRefresh.refresh
    silent = False

    async def silent_before_a_deletion(
        self: FolderRefresh, patience: float, *, adopt: bool
    ) -> None:
        if silent and not adopt:
            raise UnreachableError("nobody answers")
        await refresh(self, patience, adopt=adopt)

    monkeypatch.setattr(FolderRefresh, "refresh", silent_before_a_deletion)
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 3})
    await nights(hass, entry, "1", "2", "3")
    silent = True
    await keep(hass, entry, 1)
    assert problem_of(entry).kind is ProblemKind.UNREACHABLE
    engine = engine_of(entry)
    with pytest.raises(UnreachableError):
        await engine.apply_retention(consent=False)
    with pytest.raises(UnreachableError):
        await engine.delete([BackupId(state_of(entry).backups[0].backup.backup_id)], ASKED)
    assert len(archives(dropbox_server)) == 3


async def test_looking_before_deleting_costs_one_request_a_deletion_and_nothing_without(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await nights(hass, entry, "1")
    dropbox_server.log.clear()
    await check(hass, entry)
    without = dropbox_server.log.count(LIST)

    dropbox_server.log.clear()
    await nights(hass, entry, "2")
    assert dropbox_server.log.count("files/delete_v2") == 1
    assert dropbox_server.log.count(LIST) == without + 1


# Whose it is


@pytest.mark.parametrize("copied", [True, False])
async def test_a_persons_own_copy_is_kept_for_ever_and_takes_no_place(
    hass: HomeAssistant, dropbox_server: DropboxServer, copied: bool
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await nights(hass, entry, "Before the renovation")
    original = path_of(entry, "Before the renovation")
    files = dropbox_server.account.files
    copy = f"{DEFAULT_FOLDER}/KEEP ME (before the renovation).tar"
    files.put(copy, files.read(original))
    if not copied:  # but renamed
        files.delete(original)
    await check(hass, entry)

    await nights(hass, entry, "1", "2")
    await check(hass, entry)

    assert copy in archives(dropbox_server)
    assert original not in archives(dropbox_server)
    assert names(entry) == ["2", "Before the renovation"]
    verdicts = await engine_of(entry).judge()
    assert told(verdicts[-1].reason) == "somebody's own copy, by its name"
    assert state_of(entry).waiting == ()


# Consent


async def test_many_old_backups_that_were_moved_in_wait_for_consent(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 2})
    await nights(hass, entry, "1", "2", "3", "4")
    await put_old(hass, dropbox_server, 5)

    await nights(hass, entry, "5")

    assert len(state_of(entry).unconfirmed) == 6, "not even the one that a new one pays for"
    assert len(archives(dropbox_server)) == 8


async def test_another_folder_with_old_backups_waits_for_consent_although_the_rule_is_old(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    elsewhere = "/Elsewhere"
    await put_old(hass, dropbox_server, 20, elsewhere)
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    await nights(hass, entry, "1", "2")
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_FOLDER: elsewhere})
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)

    assert len(state_of(entry).unconfirmed) == 20
    assert len(archives(dropbox_server, elsewhere)) == 21


async def test_as_many_go_unasked_as_new_ones_came_and_three_more(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(
        hass, dropbox_server, options={CONF_KEEP: 3, CONF_UPLOAD_AUTOMATICALLY: False}
    )
    await put_old(hass, dropbox_server, 6)
    await nights(hass, entry, "1", "2", "3")
    assert len(archives(dropbox_server)) == 6

    await keep(hass, entry, 3)

    assert names(entry) == ["3", "2", "1"], "six are three and three more"
    await put_old(hass, dropbox_server, 4)
    await check(hass, entry)
    assert len(state_of(entry).unconfirmed) == 4, "what was paid is paid"


async def test_a_journal_that_is_lost_gives_no_consent(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 5})
    await nights(hass, entry, *"12345")
    await hass.config_entries.async_unload(entry.entry_id)
    (await journal_of(hass, entry.entry_id)).notes = Notes()
    hass.config_entries.async_update_entry(entry, options={CONF_KEEP: 1})
    await start_again(hass, entry)

    assert len(state_of(entry).unconfirmed) == 4
    assert len(archives(dropbox_server)) == 5


async def waiting(
    hass: HomeAssistant, server: DropboxServer, count: int = 6
) -> DropboxBackupConfigEntry:
    """Have so many old backups wait for consent."""
    await put_old(hass, server, count)
    entry = await set_up_entry(hass, server, options={CONF_KEEP: 1})
    await nights(hass, entry, "New")
    assert len(state_of(entry).unconfirmed) == count
    return entry


async def test_consent_survives_a_restart_before_it_is_carried_out(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await waiting(hass, dropbox_server)
    engine_of(entry).confirm_retention()
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)

    assert names(entry) == ["New"]
    assert state_of(entry).unconfirmed == ()


async def test_consent_goes_on_where_it_was_interrupted(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await waiting(hass, dropbox_server)

    def break_off() -> None:
        raise UnreachableError("the line is cut")

    with monkeypatch.context() as patch:
        act_before_a_deletion(patch, 1, break_off)
        engine_of(entry).confirm_retention()
        await wait_until_idle(hass, entry)
        assert len(archives(dropbox_server)) == 6
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)

    assert names(entry) == ["New"]


async def test_consent_covers_only_what_was_shown(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await waiting(hass, dropbox_server)
    ours = await instance_id.async_get(hass)
    for number in range(5):
        date = f"2025-03-{number + 1:02}T00:00:00+00:00"
        put_backup(dropbox_server, f"Later {number}", date=date, instance_id=ours)

    engine_of(entry).confirm_retention()
    await wait_until_idle(hass, entry)

    assert names(entry) == ["New", *(f"Later {number}" for number in (4, 3, 2, 1, 0))]
    assert len(state_of(entry).unconfirmed) == 5


async def test_a_file_that_was_replaced_since_it_was_shown_is_not_covered(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await waiting(hass, dropbox_server)
    for one in state_of(entry).unconfirmed:
        path = engine_of(entry).path_of(one.file.name)
        content = dropbox_server.account.files.read(path)
        dropbox_server.account.files.delete(path)
        dropbox_server.account.files.put(path, content)

    engine_of(entry).confirm_retention()
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 7
    assert len(state_of(entry).unconfirmed) == 6


async def test_consent_for_one_folder_is_none_for_another(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await waiting(hass, dropbox_server)
    elsewhere = "/Elsewhere"
    await put_old(hass, dropbox_server, 6, elsewhere)
    engine_of(entry).confirm_retention()
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_FOLDER: elsewhere})
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server, elsewhere)) == 7
    assert len(state_of(entry).unconfirmed) == 6


async def test_what_somebody_kept_never_goes_unasked_under_other_rules(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await waiting(hass, dropbox_server)
    await engine_of(entry).decline_retention()
    await wait_until_idle(hass, entry)
    for number in (0, 1, 2, 4, 5):
        dropbox_server.account.files.delete(path_of(entry, f"Old {number}"))
    await nights(hass, entry, "Newer")
    assert names(entry) == ["Newer", "Old 3"]

    await keep(hass, entry, 2)
    await nights(hass, entry, "Newest", "Last")

    assert names(entry)[-1] == "Old 3", "be it only one"
    assert [one.backup.name for one in state_of(entry).unconfirmed][-1] == "Old 3"
