"""Whatever comes in, from wherever: Home Assistant's page opens, entities and actions answer, what
must survive can be written, and the worker uploads the next good backup.
"""

import copy
import json
import random
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant
from homeassistant.helpers.json import json_bytes
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dropbox_backup.const import CONF_KEEP, DEFAULT_FOLDER, DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from tests.conftest import THOROUGH
from tests.support.account import (
    ask,
    engine_of,
    journal_of,
    make_backup,
    put_local,
    set_up_entry,
    shut_down,
    start_again,
    state_of,
    wait_until_idle,
)
from tests.support.backup_page import BackupPage, OpenPage, own_agents
from tests.support.core_archives import archive
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind

pytestmark = [pytest.mark.usefixtures("quick_worker"), pytest.mark.timeout(300)]

ROUNDS = 40 if THOROUGH else 6
CATALOG = f"{DEFAULT_FOLDER}/{CATALOG_NAME}"
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
NASTY: list[Any] = [
    "\ud800",
    "a\udfff\ud800b",
    "\0",
    "\x1b[31m\nERROR",
    "\u202e\u2028",
    "",
    "x" * 20_000,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-02T03:04:05",
    "2099-01-01T00:00:00Z",
    "\ud8002026-01-02T03:04:05Z",
    -1,
    0,
    10**30,
    2**63,
    1e308,
    float("nan"),
    float("inf"),
    True,
    None,
    [],
    {},
    {"a": {"\ud800": 10**30}},
    ["\ud800"] * 3,
    [{}] * 2000,
    DEEP,
]


@pytest.fixture(autouse=True)
def _no_half_character_reaches_the_date_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the process would have ended: that parser is written in C."""
    parse = dt_util.parse_datetime

    def guarded(text: str, **more: Any) -> Any:
        assert not any("\ud800" <= char <= "\udfff" for char in text), ascii(text)
        return parse(text, **more)

    monkeypatch.setattr(dt_util, "parse_datetime", guarded)


def spoiled(value: Any, lot: random.Random) -> Any:
    """Return JSON data with something nasty anywhere in it, mostly deep down."""
    if isinstance(value, dict) and value and lot.random() < 0.9:
        key = lot.choice(list(value))
        return {**value, key: spoiled(value[key], lot)}
    if isinstance(value, list) and value and lot.random() < 0.9:
        at = lot.randrange(len(value))
        return [*value[:at], spoiled(value[at], lot), *value[at + 1 :]]
    return copy.deepcopy(lot.choice(NASTY))


def about(lot: random.Random, slug: str) -> dict[str, Any]:
    """Return a `backup.json` with nasty values."""
    good: Any = {
        "slug": slug,
        "name": "Odd",
        "date": "2026-01-02T03:04:05+00:00",
        "homeassistant": {"version": "2026.1.0", "exclude_database": True},
        "addons": [{"slug": "x", "name": "X", "version": "1"}],
        "folders": ["share", "ssl"],
        "extra": {
            "instance_id": "x",
            "supervisor.backup_request_date": "2026-01-02T03:04:05+00:00",
        },
        "protected": False,
    }
    for _ in range(lot.randint(1, 3)):
        good = spoiled(good, lot)
        if not isinstance(good, dict):
            return {"name": good}
    return dict(good)


async def _still_works(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    page: BackupPage,
    name: str,
) -> None:
    made = await make_backup(hass, name)
    await wait_until_idle(hass, entry)
    assert made.backup_id in {one.backup.backup_id for one in state_of(entry).backups}, name
    found = await page.send("backup/info")
    assert found["success"]
    assert not [one for one in found["result"]["agent_errors"] if one.startswith(DOMAIN)]
    for state in hass.states.async_all():
        json_bytes(state.as_dict())
    json_bytes(await ask(hass, "list_backups"))
    json_bytes(await ask(hass, "apply_retention", dry_run=True))
    await engine_of(entry).save()
    assert journal_of(entry).writable


async def test_archives_and_catalog_of_anybody(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    open_page: OpenPage,
    lot: random.Random,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    await _still_works(hass, entry, page, "First")
    files = dropbox_server.account.files
    for number in range(ROUNDS):
        slug = f"{number:08x}"
        metadata = about(lot, slug)
        files.put(f"{DEFAULT_FOLDER}/odd{number}.tar", archive(**metadata))
        if lot.random() < 0.5:
            sidecar = spoiled({**metadata, "backup_id": slug, "size": 5}, lot)
            path = f"{DEFAULT_FOLDER}/odd{number}.metadata.json"
            files.put(path, json.dumps(sidecar).encode())
        document = spoiled(json.loads(files.read(CATALOG)), lot)
        files.put(CATALOG, json.dumps(document).encode())
        engine_of(entry).request("something came in")
        await wait_until_idle(hass, entry)
        if lot.random() < 0.3:
            await hass.config_entries.async_reload(entry.entry_id)
            await wait_until_idle(hass, entry)
        await _still_works(hass, entry, page, f"Good {number}")


async def test_local_archives_of_anybody(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    lot: random.Random,
) -> None:
    """Home Assistant's own listing is not ours to mend; ours and the worker hold, and a good one
    among them arrives.
    """
    for number in range(4 * ROUNDS):
        put_local(hass, archive(**about(lot, f"{number:08x}")), f"odd{number}.tar")
    put_local(hass, archive(slug="900d900d", name="Good"), "good.tar")
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 0})
    assert "900d900d" in {one.backup.backup_id for one in state_of(entry).backups}
    assert state_of(entry).problem is None
    for state in hass.states.async_all():
        json_bytes(state.as_dict())
    (agent_id,) = own_agents(hass)
    agent = async_get_manager(hass).backup_agents[agent_id]
    for backup in await agent.async_list_backups():
        json_bytes(backup.as_dict())


async def test_what_home_assistant_stored_of_ours_was_changed(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    open_page: OpenPage,
    hass_storage: dict[str, Any],
    lot: random.Random,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    await _still_works(hass, entry, page, "First")
    for number in range(ROUNDS):
        await shut_down(hass, entry)
        await hass.async_block_till_done()
        for key in [key for key in hass_storage if key.startswith(f"{DOMAIN}.")]:
            data = spoiled(hass_storage[key]["data"], lot)
            hass_storage[key] = {**hass_storage[key], "data": data}
        await start_again(hass, entry)
        engine_of(entry).resume_uploads()  # "paused" is a value like any other
        await _still_works(hass, entry, page, f"Good {number}")


async def test_answers_of_whoever_answers_for_dropbox(
    hass: HomeAssistant,
    dropbox_server: DropboxServer,
    open_page: OpenPage,
    lot: random.Random,
) -> None:
    entry = await set_up_entry(hass, dropbox_server)
    page = await open_page()
    file: dict[str, Any] = {
        ".tag": "file",
        "name": "x.tar",
        "id": "id:x",
        "client_modified": "2026-01-01T00:00:00Z",
        "server_modified": "2026-01-01T00:00:00Z",
        "rev": "0123456789abcdef0",
        "size": 5,
        "path_lower": "/x.tar",
        "path_display": "/x.tar",
        "content_hash": "0" * 64,
    }
    answers: dict[str, dict[str, Any]] = {
        "files/list_folder/continue": {"entries": [file], "cursor": "x", "has_more": False},
        "users/get_space_usage": {
            "used": 5,
            "allocation": {".tag": "individual", "allocated": 10**10},
        },
        "files/get_metadata": file,
        "files/upload": file,
        "files/delete_v2": {"metadata": file},
    }
    for number in range(ROUNDS):
        dropbox_server.faults.clear()
        for route, answer in answers.items():
            body = json.dumps(spoiled(answer, lot))
            dropbox_server.faults.add(
                Fault(
                    FaultKind.STATUS, route, status=200, body=body, content_type="application/json"
                )
            )
        engine_of(entry).request("a strange answer comes")
        await wait_until_idle(hass, entry)
        dropbox_server.faults.clear()
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until_idle(hass, entry)
        await _still_works(hass, entry, page, f"Good {number}")
