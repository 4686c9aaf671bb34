"""Dropbox as a location of Home Assistant's own backups."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any, override

from homeassistant.components.backup import (
    AgentBackup,
    BackupAgent,
    BackupAgentError,
    BackupNotFound,
    OnProgressCallback,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from . import untrusted
from .codes import Reason
from .const import DOMAIN
from .coordinator import DropboxBackupConfigEntry
from .dropbox_api.errors import DropboxError, FullError, NotFoundError, SignInError
from .packing import async_begin_packing, async_end_packing
from .sync.archive.metadata import presentable
from .sync.decide.models import BackupId, RemoteBackup, read_date
from .sync.engine import Engine
from .sync.pruner import Asked, OwnCopyError
from .sync.report.problems import why_of
from .sync.upload.upload_notes import DeletedMeanwhileError
from .texts import texts_of

_LISTENERS: HassKey[list[Callable[[], None]]] = HassKey(f"{DOMAIN}_backup_agent_listeners")


def agent_id_of(entry: DropboxBackupConfigEntry) -> str:
    """Return the id under which Home Assistant keeps its settings of this location."""
    return agent_id_for(entry.unique_id)


def agent_id_for(account_id: str | None) -> str:
    """Return the same for an account that need not be set up."""
    return f"{DOMAIN}.{_unique_id(account_id)}"


def _unique_id(account_id: str | None) -> str:
    """Return an id that outlives the config entry and does not give away the account: Home
    Assistant logs it.
    """
    return sha256(str(account_id).encode()).hexdigest()[:12]


async def async_get_backup_agents(hass: HomeAssistant, **kwargs: Any) -> list[BackupAgent]:
    """Return one agent per account."""
    return [
        DropboxBackupAgent(hass, entry)
        for entry in hass.config_entries.async_loaded_entries(DOMAIN)
    ]


async def async_pre_backup(hass: HomeAssistant) -> None:
    """Keep quiet while Home Assistant packs a backup, and get ready to upload it."""
    entries: list[DropboxBackupConfigEntry] = hass.config_entries.async_loaded_entries(DOMAIN)
    for entry in entries:
        engine = entry.runtime_data.engine
        entry.async_create_background_task(
            hass, engine.prepare_upload(), f"{DOMAIN} preparation of an upload"
        )
    await async_begin_packing(hass)


async def async_post_backup(hass: HomeAssistant) -> None:
    """Write again what was held back."""
    await async_end_packing(hass)


@callback
def async_register_backup_agents_listener(
    hass: HomeAssistant, *, listener: Callable[[], None], **kwargs: Any
) -> Callable[[], None]:
    """Tell the listener when agents come or go; return how to stop that."""
    listeners = hass.data.setdefault(_LISTENERS, [])
    listeners.append(listener)

    @callback
    def remove_listener() -> None:
        listeners.remove(listener)

    return remove_listener


@callback
def async_notify_agents_changed(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Tell Home Assistant whenever the entry is loaded or unloaded."""

    @callback
    def notify() -> None:
        if (listeners := hass.data.get(_LISTENERS)) is None:
            return
        for listener in tuple(listeners):
            listener()

    entry.async_on_unload(entry.async_on_state_change(notify))


@contextmanager
def _in_home_assistants_words(agent: DropboxBackupAgent) -> Generator[None]:
    """Turn our errors into those that Home Assistant's backup page shows."""
    try:
        yield
    except DeletedMeanwhileError as err:
        raise BackupAgentError(
            translation_domain=DOMAIN, translation_key="deleted_meanwhile"
        ) from err
    except OwnCopyError as err:
        raise BackupAgentError(
            translation_domain=DOMAIN,
            translation_key="own_copy",
            translation_placeholders={"file": err.file_name},
        ) from err
    except NotFoundError as err:
        raise BackupNotFound(translation_domain=DOMAIN, translation_key="backup_not_found") from err
    except SignInError as err:
        agent.entry.async_start_reauth(agent.hass)
        raise _agent_error(agent.hass, "sign_in_needed", err) from err
    except FullError as err:
        raise _agent_error(agent.hass, "dropbox_full", err) from err
    except DropboxError as err:
        raise _agent_error(agent.hass, "dropbox_error", err) from err
    except BackupAgentError as err:  # reading what Home Assistant hands out
        raise _agent_error(agent.hass, "backup_unreadable", err) from err


def _agent_error(hass: HomeAssistant, key: str, err: Exception) -> BackupAgentError:
    return BackupAgentError(
        translation_domain=DOMAIN,
        translation_key=key,
        translation_placeholders={"reason": texts_of(hass).of(why_of(err))},
    )


class DropboxBackupAgent(BackupAgent):
    """One Dropbox account. Listing answers from memory; the worker keeps that up to date."""

    domain = DOMAIN

    def __init__(self, hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
        """Home Assistant shows the entry's title as the name of the location."""
        super().__init__()
        self.hass = hass
        self.entry = entry
        self.name = entry.title
        self.unique_id = _unique_id(entry.unique_id)
        # Kept: Home Assistant goes on with an upload over a reload of the entry.
        self._engine: Engine = entry.runtime_data.engine

    @override
    async def async_upload_backup(
        self,
        *,
        open_stream: Callable[[], Coroutine[Any, Any, AsyncIterator[bytes]]],
        backup: AgentBackup,
        on_progress: OnProgressCallback,
        **kwargs: Any,
    ) -> None:
        """Upload a backup and verify it. Tries for long: Home Assistant may have no other copy."""
        with _in_home_assistants_words(self):
            await self._engine.upload_for_home_assistant(
                presentable(backup), open_stream, lambda sent: on_progress(bytes_uploaded=sent)
            )

    @override
    async def async_list_backups(self, **kwargs: Any) -> list[AgentBackup]:
        """Return the backups in Dropbox as the worker knows them: without asking."""
        with _in_home_assistants_words(self):
            await self._engine.ensure_listed()
        return [_for_the_page(one) for one in self._engine.backups]

    @override
    async def async_get_backup(self, backup_id: str, **kwargs: Any) -> AgentBackup:
        """Return one backup."""
        with _in_home_assistants_words(self):
            await self._engine.ensure_listed()
            return _for_the_page(self._engine.find(BackupId(backup_id)))

    @override
    async def async_download_backup(self, backup_id: str, **kwargs: Any) -> AsyncIterator[bytes]:
        """Return the archive as a stream that survives broken connections and fails at its end if
        it is damaged.
        """
        with _in_home_assistants_words(self):
            stream = self._engine.download(BackupId(backup_id))
            # What is gone is said before Home Assistant has promised a file to anybody.
            beginning = await anext(stream, b"")
        return _translated_stream(self.hass, beginning, stream)

    @override
    async def async_delete_backup(self, backup_id: str, **kwargs: Any) -> None:
        """Delete a backup. Home Assistant's own retention comes this way, too, and can't be told
        from a person.
        """
        with _in_home_assistants_words(self):
            await self._engine.delete(
                [BackupId(backup_id)], Reason(Asked.BY_HOME_ASSISTANT), spare_own_copies=True
            )


def _for_the_page(one: RemoteBackup) -> AgentBackup:
    """Return the backup with a date that Home Assistant can compute with: it retains none, of no
    location, when one date among all of them is none.
    """
    if untrusted.or_none(untrusted.date, one.backup.date) is not None:
        return one.backup
    return replace(one.backup, date=(read_date(one.backup.date) or one.file.uploaded).isoformat())


async def _translated_stream(
    hass: HomeAssistant, beginning: bytes, rest: AsyncGenerator[bytes]
) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(rest):
            yield beginning
            async for piece in rest:
                yield piece
    except DropboxError as err:
        raise _agent_error(hass, "download_failed", err) from err
