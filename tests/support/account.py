"""A signed-in account in Home Assistant, as tests of its faces need it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
import json
from pathlib import Path
import random
import time
from typing import Any

from homeassistant.components.application_credentials import (
    ClientCredential,
    async_import_client_credential,
)
from homeassistant.components.backup import AgentBackup, async_get_manager
from homeassistant.components.backup.manager import BackupManagerState
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, State as EntityState
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.dropbox_backup.codes import Reason
from custom_components.dropbox_backup.const import (
    CONF_FOLDER,
    CONF_UPLOAD_AUTOMATICALLY,
    DEFAULT_FOLDER,
    DOMAIN,
)
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.sync.archive.metadata import backup_from_json
from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.engine import Engine
from custom_components.dropbox_backup.sync.pruner import Asked
from custom_components.dropbox_backup.sync.report.state import Problem, State, Status
from custom_components.dropbox_backup.sync.storage.account_notes import notes_name
from custom_components.dropbox_backup.sync.storage.journal import JOURNALS, Journal
from custom_components.dropbox_backup.sync.storage.notes import Notes
from tests.support.core_archives import archive
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Line

LOCAL_AGENT = "backup.local"
# Long enough for two busy cores; nothing here takes a second.
_PATIENCE = 30.0
MIB = 1 << 20
ASKED = Reason(Asked.BY_ACTION)  # who asked to delete a backup
CHUNK = 4 * MIB
APPEND = "files/upload_session/append_v2"
FINISH = "files/upload_session/finish"
MANUAL = {CONF_UPLOAD_AUTOMATICALLY: False}
# Four chunks a second.
SLOW = Line(upload_total=CHUNK * 8 * 4)


async def set_up_entry(
    hass: HomeAssistant,
    server: DropboxServer,
    *,
    account: DropboxAccount | None = None,
    options: Mapping[str, Any] | None = None,
    folder: str = DEFAULT_FOLDER,
    readable: bool = True,
) -> DropboxBackupConfigEntry:
    """Set up an entry that is signed in to the local Dropbox, and wait for its first check.

    The entry may also fail to load: its state tells. `readable`: the user knows that without a key
    backups are, and wants no word about it.
    """
    _let_clients_hang_up(hass.loop)
    account = account or server.account
    await _add_credential(hass, server)
    tokens = server.issue_tokens(account=account)
    mock = MockConfigEntry(
        domain=DOMAIN,
        title=account.name,
        unique_id=account.account_id,
        data={
            "auth_implementation": DOMAIN,
            "token": {
                "access_token": tokens.access_token,
                "refresh_token": tokens.refresh_token,
                "expires_in": tokens.expires_in,
                "expires_at": time.time() + tokens.expires_in,
                "token_type": "bearer",
                "scope": tokens.scope,
                "account_id": tokens.account_id,
                "uid": "12345",
            },
            CONF_FOLDER: folder,
        },
        options=options or {},
    )
    mock.add_to_hass(hass)
    entry: DropboxBackupConfigEntry = mock
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    if entry.state is ConfigEntryState.LOADED:
        if readable:
            engine_of(entry).leave_readable()
        await wait_until_idle(hass, entry)
    return entry


def storage_key(entry: DropboxBackupConfigEntry) -> str:
    """Return what the journal of an account is called in Home Assistant's storage."""
    assert entry.unique_id
    return f"{DOMAIN}.{notes_name(entry.unique_id)}"


def _let_clients_hang_up(loop: asyncio.AbstractEventLoop) -> None:
    """Let a client of the local Dropbox end a connection while it is being made.

    The server shares the event loop of the Home Assistant under test, whose fixture takes what
    asyncio reports about it for an error of Home Assistant.
    """
    report = loop.get_exception_handler() or asyncio.AbstractEventLoop.default_exception_handler

    def only_ours(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not context["message"].startswith("Error on transport creation for incoming connection"):
            report(loop, context)

    loop.set_exception_handler(only_ours)


async def _add_credential(hass: HomeAssistant, server: DropboxServer) -> None:
    await async_setup_component(hass, "application_credentials", {})
    credential = ClientCredential(server.app.key, server.app.secret)
    await async_import_client_credential(hass, DOMAIN, credential)


async def make_backup(
    hass: HomeAssistant, name: str = "Nightly", size: int = 0, agent_id: str = LOCAL_AGENT
) -> AgentBackup:
    """Have Home Assistant make a real backup, by default on itself; return it.

    `size`: that many bytes of data, which no compression makes smaller, are in the backup.
    """
    filling = Path(hass.config.path("filling.bin"))
    await hass.async_add_executor_job(filling.write_bytes, random.Random(name).randbytes(size))
    manager = async_get_manager(hass)
    await manager.async_create_backup(
        agent_ids=[agent_id],
        include_addons=None,
        include_all_addons=False,
        include_database=False,
        include_folders=None,
        include_homeassistant=True,
        name=name,
        password=None,
    )
    backups = await manager.backup_agents[agent_id].async_list_backups()
    return next(one for one in backups if one.name == name)


async def ask(hass: HomeAssistant, action: str, **data: Any) -> Any:
    """Call an action of ours and return its response."""
    return await hass.services.async_call(DOMAIN, action, data, blocking=True, return_response=True)


async def tell(hass: HomeAssistant, action: str, **data: Any) -> None:
    """Call an action of ours as an automation does that wants no response."""
    await hass.services.async_call(DOMAIN, action, data, blocking=True)


async def local_backups(hass: HomeAssistant) -> list[AgentBackup]:
    """Return the backups that lie on this Home Assistant."""
    agent = async_get_manager(hass).local_backup_agents[LOCAL_AGENT]
    return await agent.async_list_backups()


def local_path(hass: HomeAssistant, made: AgentBackup) -> Path:
    """Return where a backup lies on this Home Assistant."""
    return async_get_manager(hass).local_backup_agents[LOCAL_AGENT].get_backup_path(made.backup_id)


def put_local(hass: HomeAssistant, content: bytes, name: str = "made.tar") -> Path:
    """Put a file where Home Assistant keeps its backups. It looks there once, when it is asked for
    them first.
    """
    folder = Path(hass.config.path("backups"))
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def use_key(hass: HomeAssistant, key: str | None) -> None:
    """Have Home Assistant encrypt its backups with a key, or with none."""
    async_get_manager(hass).config.update(create_backup={"password": key})


def put_backup(
    server: DropboxServer,
    name: str,
    *,
    backup_id: str | None = None,
    date: str = "2026-01-02T03:04:05+00:00",
    instance_id: str | None = None,
    folder: str = DEFAULT_FOLDER,
    size: int = 1024,
    called: str | None = None,
) -> str:
    """Put an archive into Dropbox; return its id. With `instance_id` as that Home Assistant did,
    else as a person would.

    `called`: the name of the file.
    """
    backup_id = backup_id or sha256(f"{name} {date}".encode()).hexdigest()[:8]
    extra = {"instance_id": instance_id} if instance_id else {}
    content = archive(size, slug=backup_id, name=name, date=date, extra=extra)
    if called is None and instance_id:
        about = {"slug": backup_id, "name": name, "date": date}
        called = file_name(backup_from_json(json.dumps(about).encode(), size))
    called = called or f"{backup_id}.tar"
    server.account.files.put(f"{folder}/{called}", content)
    return backup_id


def archives(server: DropboxServer, folder: str = DEFAULT_FOLDER) -> list[str]:
    """Return the paths of the archives that lie in Dropbox."""
    return sorted(
        entry.path for entry in server.account.files.list(folder) if entry.path.endswith(".tar")
    )


def the_archive(server: DropboxServer) -> bytes:
    """Return the only archive in Dropbox."""
    [path] = archives(server)
    return server.account.files.read(path)


async def shut_down(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Unload an entry, and forget what only Home Assistant's memory holds: as before a restart."""
    await hass.config_entries.async_unload(entry.entry_id)
    del hass.data[JOURNALS]


async def start_again(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Set up an entry again, and wait until its worker has done all there is to do."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_idle(hass, entry)


async def wait_until_idle(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Wait until the worker has done all that it was asked for, and everybody heard of it."""
    await wait_until(lambda: _is_idle(hass, entry))
    await hass.async_block_till_done()


def _is_idle(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> bool:
    engine = engine_of(entry)
    return (
        async_get_manager(hass).state is BackupManagerState.IDLE
        and engine.idle
        and engine.state.next_check is not None
        and engine.state.status not in {Status.CHECKING, Status.UPLOADING, Status.PAUSING}
    )


async def wait_for_an_archive(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, server: DropboxServer
) -> None:
    """Wait until something has arrived in Dropbox, which nobody asked the worker for yet, and then
    until it is at rest.
    """
    await wait_until(lambda: archives(server))
    await wait_until_idle(hass, entry)


async def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is so; fails with a `TimeoutError`."""
    async with asyncio.timeout(_PATIENCE):
        while not condition():  # noqa: ASYNC110  (it may be about anything)
            await asyncio.sleep(0.01)


def engine_of(entry: DropboxBackupConfigEntry) -> Engine:
    """Return the worker of a loaded entry."""
    return entry.runtime_data.engine


def journal_of(entry: DropboxBackupConfigEntry) -> Journal:
    """Return what the account keeps of what must survive a restart."""
    assert entry.unique_id
    return entry.runtime_data.hass.data[JOURNALS][notes_name(entry.unique_id)]


def notes_of(entry: DropboxBackupConfigEntry) -> Notes:
    """Return what is in it."""
    return journal_of(entry).notes


def state_of(entry: DropboxBackupConfigEntry) -> State:
    """Return what the worker knows."""
    return engine_of(entry).state


def let_it_have_failed_for_an_hour(entry: DropboxBackupConfigEntry) -> None:
    """Let the first of the checks that failed have been an hour before, and see what that means."""
    results = notes_of(entry).results
    assert results.failing_since is not None
    results.failing_since -= timedelta(hours=1)
    engine_of(entry).publish()


def problem_of(entry: DropboxBackupConfigEntry) -> Problem:
    """Return what went wrong the last time; there must be something."""
    problem = state_of(entry).problem
    assert problem is not None
    return problem


def entity_id(hass: HomeAssistant, entry: DropboxBackupConfigEntry, platform: str, key: str) -> str:
    """Return the id of one of the entry's entities."""
    unique_id = f"{entry.entry_id}_{key}"
    found = er.async_get(hass).async_get_entity_id(platform, DOMAIN, unique_id)
    assert found is not None, f"there is no {platform} {key}"
    return found


def entity(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, platform: str, key: str
) -> EntityState:
    """Return what one of the entry's entities shows."""
    shown = hass.states.get(entity_id(hass, entry, platform, key))
    assert shown is not None, f"{platform} {key} is disabled"
    return shown


def status(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> str:
    """Return what the sensor "Status" shows."""
    return entity(hass, entry, "sensor", "status").state
