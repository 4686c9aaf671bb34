"""Dates in the future mislead nobody: a clock may have been wrong once."""

from datetime import datetime, timedelta

from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dropbox_backup.codes import Reason
from custom_components.dropbox_backup.const import CONF_KEEP
from custom_components.dropbox_backup.sync.decide.models import Missed, Trouble
from tests.support.account import (
    engine_of,
    entity,
    make_backup,
    notes_of,
    put_backup,
    put_local,
    set_up_entry,
    state_of,
    wait_until_idle,
)
from tests.support.core_archives import archive
from tests.support.dropbox_server import DropboxServer

pytestmark = pytest.mark.usefixtures("quick_worker")

FUTURE = "2099-01-01T00:00:00+00:00"


async def make_dated(hass: HomeAssistant, name: str, date: str) -> None:
    """Have a backup lie here that was made by a clock of that date."""
    content = archive(
        slug=f"{abs(hash(name)) & 0xFFFFFFFF:08x}",
        name=name,
        date=date,
        extra={"instance_id": await instance_id.async_get(hass)},
    )
    put_local(hass, content, f"{name}.tar")
    # Core's agent looks into its folder only once.
    agent = async_get_manager(hass).local_backup_agents["backup.local"]
    agent._loaded_backups = False  # type: ignore[attr-defined]  # of Core's own agent


async def test_a_backup_of_the_future_does_not_stop_uploads_nor_come_back(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await async_setup_component(hass, "backup", {})
    await make_dated(hass, "Future", FUTURE)
    dropbox_server.clock.offset = -60.0
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    dropbox_server.clock.offset = 0.0
    assert [one.backup.name for one in state_of(entry).backups] == ["Future"]

    for night in range(2):
        await make_backup(hass, f"Night {night}")
        await wait_until_idle(hass, entry)
        assert [one.backup.name for one in state_of(entry).backups] == [f"Night {night}"]
        assert entity(hass, entry, "sensor", "last_backup").state == f"Night {night}"
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_idle(hass, entry)

    assert [one.backup.name for one in state_of(entry).backups] == ["Night 1"]
    assert state_of(entry).waiting == ()


async def test_a_backup_of_the_future_that_waits_does_not_keep_a_newer_one_away(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 1})
    engine = engine_of(entry)
    engine.pause_uploads()
    await make_dated(hass, "Future", FUTURE)
    engine.request("test")
    await wait_until_idle(hass, entry)
    await make_backup(hass, "Night")
    await wait_until_idle(hass, entry)
    engine.resume_uploads()
    await wait_until_idle(hass, entry)

    assert [one.backup.name for one in state_of(entry).backups] == ["Night"]


async def test_a_backup_of_the_future_silences_no_alarm(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    dropbox_server.clock.offset = -timedelta(days=4).total_seconds()
    ours = await instance_id.async_get(hass)
    put_backup(dropbox_server, "Future", date=FUTURE, instance_id=ours)
    dropbox_server.clock.offset = 0.0
    entry = await set_up_entry(hass, dropbox_server)
    engine = engine_of(entry)
    [future] = state_of(entry).backups
    assert future.backup.date == FUTURE, "what is shown is what the archive says"
    notes_of(entry).results.watching_since = dt_util.utcnow() - timedelta(days=30)
    engine.publish()

    assert entity(hass, entry, "binary_sensor", "problem").attributes["kind"] == "no_recent_backup"


@pytest.mark.parametrize("note", ["watching_since", "failing_since", "last_moved", "moving_since"])
async def test_what_was_noted_by_a_clock_of_the_future_is_taken_back(
    hass: HomeAssistant, dropbox_server: DropboxServer, note: str
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    engine = engine_of(entry)
    results = notes_of(entry).results
    setattr(results, note, datetime.fromisoformat(FUTURE))

    engine.publish()

    assert getattr(results, note) <= dt_util.utcnow()


async def test_a_backup_that_did_not_get_there_is_told_after_a_clock_was_behind(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a machine without a battery is, until it has reached a time server."""
    entry = await set_up_entry(hass, dropbox_server)
    await make_backup(hass, "Good")
    await wait_until_idle(hass, entry)
    engine = engine_of(entry)
    notes_of(entry).missed = Missed("Lost", dt_util.utcnow(), Reason(Trouble.UNEXPECTED))
    with monkeypatch.context() as behind:
        behind.setattr(dt_util, "utcnow", lambda: datetime.fromisoformat("2000-01-01T00:00:00Z"))
        engine.publish()
    engine.publish()

    problem = entity(hass, entry, "binary_sensor", "problem")
    assert problem.attributes["kind"] == "upload_failed"
    assert "Lost" in problem.attributes["detail"]
