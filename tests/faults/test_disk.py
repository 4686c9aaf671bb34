"""A disk that can't be written to: uploads go on, the user is told, and it ends when that ends.

With real files: as root, permissions would keep nobody from writing.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from custom_components.dropbox_backup.sync.storage.file import StorageFile
from tests.support.account import (
    MIB,
    archives,
    engine_of,
    entity,
    make_backup,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    storage_key,
    wait_until,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer

pytestmark = pytest.mark.usefixtures("quick_worker")

# As they are before the fixtures of the tests put memory in their place.
_LOAD = Store._async_load
_WRITE = Store._async_write_data


@pytest.fixture
def disk(hass: HomeAssistant) -> Iterator[Path]:
    """Let Home Assistant use its real storage; return where that is."""
    with pytest.MonkeyPatch.context() as real:  # undone before the fixtures take memory away
        real.setattr(Store, "_async_load", _LOAD)
        real.setattr(Store, "_async_write_data", _WRITE)
        yield Path(hass.config.path(".storage"))


def break_file(path: Path) -> None:
    """Put something there that can neither be read nor replaced."""
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    (path / "in the way").touch()


def repair_file(path: Path) -> None:
    (path / "in the way").unlink()
    path.rmdir()


async def a_minute_passes(hass: HomeAssistant) -> None:
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await hass.async_block_till_done()


def issues(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> set[str]:
    return {
        issue_id.removesuffix(f"_{entry.entry_id}")
        for domain, issue_id in ir.async_get(hass).issues
        if domain == DOMAIN
    }


async def test_uploads_go_on_and_the_user_is_told_until_it_can_be_written_again(
    hass: HomeAssistant, dropbox_server: DropboxServer, disk: Path
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await engine_of(entry).save()
    journal = disk / storage_key(entry)
    assert journal.is_file()
    assert issues(hass, entry) == set()

    break_file(journal)
    await make_backup(hass, size=13 * MIB)
    await wait_until_idle(hass, entry)
    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).backups[0].verified
    alarm = state_of(entry).alarm
    assert alarm is not None
    assert alarm.kind is ProblemKind.DISK
    assert issues(hass, entry) == {"disk_not_writable"}
    problem = entity(hass, entry, "binary_sensor", "problem")
    assert (problem.state, problem.attributes["kind"]) == ("on", "disk_not_writable")

    await a_minute_passes(hass)
    assert issues(hass, entry) == {"disk_not_writable"}, "it is still so"

    repair_file(journal)
    await a_minute_passes(hass)
    assert issues(hass, entry) == set()
    assert entity(hass, entry, "binary_sensor", "problem").state == "off"
    assert state_of(entry).backups[0].backup.backup_id in journal.read_text()


async def test_a_broken_disk_is_not_tried_with_every_chunk(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    disk: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await engine_of(entry).save()
    break_file(disk / storage_key(entry))
    await make_backup(hass, size=33 * MIB)
    await wait_until_idle(hass, entry)
    assert dropbox_server.log.count("files/upload_session/append_v2") > 5
    assert caplog.text.count("Saving file failed") == 1


async def test_what_can_not_be_read_is_learned_again(
    hass: HomeAssistant, dropbox_server: DropboxServer, disk: Path
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass)
    await wait_until_idle(hass, entry)
    await shut_down(hass, entry)
    for name in (storage_key(entry), f"{storage_key(entry)}.listing"):
        break_file(disk / name)

    await start_again(hass, entry)
    assert len(state_of(entry).backups) == 1
    # Before it is noticed that nothing can be written, something else may be told.
    await wait_until(lambda: issues(hass, entry) == {"disk_not_writable"})
    assert len(archives(dropbox_server)) == 1


async def test_a_storage_that_is_gone_altogether_breaks_nothing(
    hass: HomeAssistant, disk: Path
) -> None:
    disk.touch()  # no folder can be made there
    told: list[bool] = []
    content: dict[str, Any] = {"x": 1}
    file = StorageFile(
        hass, "some", lambda: content, delay=0, on_writable=lambda: told.append(file.writable)
    )
    assert await file.load() is None
    await file.save()
    assert told == [False]
    disk.unlink()
    await a_minute_passes(hass)
    assert told == [False, True]
    assert await StorageFile(hass, "some", lambda: content, delay=0).load() == content
