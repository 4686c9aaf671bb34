"""What others put into the backup folder costs a few requests, once, and stops nothing."""

import asyncio
import json

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.const import DEFAULT_FOLDER
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.report.state import Status
from tests.support.account import (
    archives,
    engine_of,
    make_backup,
    put_backup,
    set_up_entry,
    state_of,
    wait_until,
    wait_until_idle,
)
from tests.support.core_archives import tar_of
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind
from tests.support.waits import set_waits

pytestmark = pytest.mark.usefixtures("quick_worker")

DOWNLOAD = "files/download"
LOOK = "files/list_folder/continue"


def photos(count: int) -> bytes:
    """Return an ordinary archive that is no backup."""
    return tar_of({f"photo_{number}.jpg": bytes(70_000) for number in range(count)})


def put(server: DropboxServer, name: str, content: bytes) -> None:
    server.account.files.put(f"{DEFAULT_FOLDER}/{name}", content)


def names(server: DropboxServer) -> set[str]:
    return {path.rpartition("/")[2] for path in archives(server)}


async def test_an_archive_of_very_many_members_costs_few_requests_and_only_once(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    put(dropbox_server, "photos.tar", photos(400))
    put(dropbox_server, "not_even.tar", b"x" * 100_000)
    entry = await set_up_entry(hass, dropbox_server)
    assert 2 <= dropbox_server.log.count(DOWNLOAD) <= 32
    dropbox_server.log.clear()
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    engine_of(entry).request("an hour later")
    await wait_until_idle(hass, entry)
    assert dropbox_server.log.count(DOWNLOAD) == 0, "remembered, also over a restart"
    put(dropbox_server, "not_even.tar", b"y" * 100_000)
    engine_of(entry).request("it was changed")
    await wait_until_idle(hass, entry)
    assert dropbox_server.log.count(DOWNLOAD) >= 1
    assert names(dropbox_server) == {"photos.tar", "not_even.tar"}


async def test_one_that_can_not_be_read_stops_neither_uploads_nor_the_others(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.ARCHIVES, 0.1)
    set_waits(monkeypatch, first_rereading=3.0)
    put(dropbox_server, "broken.tar", photos(1))
    broken = dropbox_server.faults.add(
        Fault(FaultKind.STATUS, DOWNLOAD, times=None, status=500, body="no")
    )
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "Good")
    await wait_until_idle(hass, entry)
    assert {one.backup.name for one in state_of(entry).backups} == {"Good"}
    assert state_of(entry).problem is None
    assert state_of(entry).status is Status.UP_TO_DATE
    assert broken.applied
    # By itself, when the trouble has passed.
    put_backup(dropbox_server, "Theirs")
    dropbox_server.faults.clear()
    engine_of(entry).request("a new one")
    await wait_until_idle(hass, entry)
    assert {one.backup.name for one in state_of(entry).backups} == {"Good", "Theirs"}


async def test_nothing_is_asked_again_and_again_for_an_archive_that_failed_once(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.ARCHIVES, 0.1)
    set_waits(monkeypatch, first_rereading=0.5)
    put(dropbox_server, "photos.tar", photos(1))
    failed = dropbox_server.faults.add(
        Fault(FaultKind.STATUS, DOWNLOAD, times=None, status=500, body="no")
    )
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until(lambda: failed.applied)
    dropbox_server.faults.clear()
    dropbox_server.log.clear()
    await wait_until(lambda: dropbox_server.log.count(DOWNLOAD))
    await wait_until_idle(hass, entry)
    looks = dropbox_server.log.count(LOOK)
    await asyncio.sleep(1)
    assert dropbox_server.log.count(LOOK) <= looks + 2


async def test_nothing_is_asked_again_and_again_while_an_archive_is_tried_once_more(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_waits(monkeypatch, for_archives=0.1)
    monkeypatch.setitem(RETRY_FOR, Waiter.ARCHIVES, 0.1)
    set_waits(monkeypatch, first_rereading=0.5)
    put_backup(dropbox_server, "Slow")
    dropbox_server.faults.add(Fault(FaultKind.STATUS, DOWNLOAD, times=1, status=500, body="no"))
    slow = dropbox_server.faults.add(Fault(FaultKind.STALL, DOWNLOAD, skip=1, seconds=2, times=1))
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until(lambda: slow.applied)
    dropbox_server.log.clear()
    await wait_until(lambda: state_of(entry).backups)
    await wait_until_idle(hass, entry)
    assert dropbox_server.log.count(LOOK) <= 6


async def test_a_backup_that_was_refused_once_is_found_later(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_waits(monkeypatch, first_rereading=0.5)
    put_backup(dropbox_server, "Theirs")
    refused = dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            DOWNLOAD,
            times=1,
            status=409,
            error={".tag": "path", "path": {".tag": "restricted_content"}},
        )
    )
    entry = await set_up_entry(hass, dropbox_server)
    await wait_until(lambda: refused.applied)
    await wait_until(lambda: state_of(entry).backups)
    await wait_until_idle(hass, entry)


async def test_what_is_read_while_an_upload_runs_is_shown_afterwards(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_waits(monkeypatch, for_archives=0.1)
    # Nobody else looks into the folder.
    dropbox_server.faults.add(
        Fault(FaultKind.STALL, "files/list_folder/longpoll", seconds=60, times=None)
    )
    put_backup(dropbox_server, "Theirs")
    slow = dropbox_server.faults.add(Fault(FaultKind.STALL, DOWNLOAD, seconds=60, times=1))
    upload = dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload", seconds=60, times=1))
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "Ours")
    await wait_until(lambda: upload.applied)
    slow.take_out()
    await wait_until(lambda: any(one.processed for one in dropbox_server.log.of(DOWNLOAD)))
    upload.take_out()
    await wait_until_idle(hass, entry)
    assert {one.backup.name for one in state_of(entry).backups} == {"Ours", "Theirs"}
    dropbox_server.faults.clear()


async def test_uploads_do_not_wait_for_an_archive_that_dropbox_is_slow_with(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_waits(monkeypatch, for_archives=0.2)
    put_backup(dropbox_server, "Slow")
    slow = dropbox_server.faults.add(Fault(FaultKind.STALL, DOWNLOAD, seconds=4, times=1))
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "Good")
    await wait_until(lambda: "Good" in {one.backup.name for one in state_of(entry).backups})
    assert slow.applied
    assert len(state_of(entry).backups) == 1
    # It is found all the same, without anybody asking.
    await wait_until(lambda: len(state_of(entry).backups) == 2)
    await wait_until_idle(hass, entry)


async def test_a_reload_waits_for_no_archive(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_waits(monkeypatch, for_archives=0.1)
    put_backup(dropbox_server, "Slow")
    dropbox_server.faults.add(Fault(FaultKind.STALL, DOWNLOAD, seconds=3, times=1))
    entry = await set_up_entry(hass, dropbox_server)
    async with asyncio.timeout(2.5):
        await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: len(state_of(entry).backups) == 1)
    await wait_until_idle(hass, entry)
    await asyncio.sleep(3)  # until the server has forgotten the first request


CATALOG = f"{DEFAULT_FOLDER}/{CATALOG_NAME}"


@pytest.mark.parametrize(
    "content",
    [b'{"format": 2, "backups": {}, "index": [1, 2]}', b" " * (17 << 20)],
    ids=["newer format", "too large"],
)
async def test_a_catalog_that_we_do_not_understand_is_left_as_it_is(
    hass: HomeAssistant, dropbox_server: DropboxServer, content: bytes
) -> None:
    put_backup(dropbox_server, "Theirs")
    put(dropbox_server, CATALOG_NAME, content)
    entry = await set_up_entry(hass, dropbox_server)
    expected = {"Theirs"}
    for name in ("One", "Two"):
        await make_backup(hass, name)
        await wait_until_idle(hass, entry)
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until_idle(hass, entry)
        expected |= {name}
        assert {one.backup.name for one in state_of(entry).backups} == expected
        assert state_of(entry).problem is None
    assert all(one.verified for one in state_of(entry).backups if one.backup.name != "Theirs")
    assert dropbox_server.account.files.read(CATALOG) == content


async def test_what_a_newer_version_noted_of_a_backup_outlives_our_notes(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "One")
    await wait_until_idle(hass, entry)
    document = json.loads(dropbox_server.account.files.read(CATALOG))
    (noted,) = document["backups"].values()
    noted["proven"] = "2026-11-22T10:00:00+00:00"
    document["deleted"] = [{"name": "x.tar"}]
    put(dropbox_server, CATALOG_NAME, json.dumps(document).encode())
    engine_of(entry).request("a newer version was here")
    await wait_until_idle(hass, entry)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)
    await make_backup(hass, "Two")
    await wait_until_idle(hass, entry)
    after = json.loads(dropbox_server.account.files.read(CATALOG))
    assert after["deleted"] == document["deleted"]
    assert len(after["backups"]) == 2
    assert noted in after["backups"].values()
