"""Dropbox Backup: gets every Home Assistant backup to Dropbox, and proves that it arrived.

This file wires the parts of one config entry together; nothing else.
"""

from datetime import datetime, timedelta
import logging
from typing import Any

from homeassistant.components import persistent_notification
from homeassistant.components.backup import async_get_manager
from homeassistant.const import CONF_TOKEN, EVENT_CORE_CONFIG_UPDATE, Platform
from homeassistant.core import Event, HomeAssistant
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers import config_validation as cv, instance_id
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.config_entry_oauth2_flow import (
    OAuth2Session,
    async_get_config_entry_implementation,
)
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.typing import ConfigType

from .auth import EntryToken
from .backup import agent_id_of, async_notify_agents_changed
from .const import CONF_FOLDER, DOMAIN, NOTES_KEPT_FOR, ROOT_FOLDER
from .coordinator import DropboxBackupConfigEntry, DropboxBackupCoordinator
from .dropbox_api.client import DropboxClient
from .dropbox_api.errors import DropboxError, SignInError
from .dropbox_api.retry import RETRY_FOR, Waiter
from .options import policy_of
from .repairs import async_delete_issues, async_update_issues
from .services import async_register_services
from .sync.engine import Engine
from .sync.local.backups import LocalBackups
from .sync.parts import Parts
from .sync.remote.account import missing_permissions
from .sync.remote.folder import BackupFolder
from .sync.remote.listing import ListingCache
from .sync.report.state import State
from .sync.storage.account_notes import forget_old_notes, move_notes, notes_name
from .sync.storage.journal import journal_of
from .texts import load_texts, texts_of
from .watch import async_watch_backups

_LOGGER = logging.getLogger(__name__)

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = (
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.SENSOR,
    Platform.SWITCH,
)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the services: automations must validate also while no entry is loaded."""
    async_register_services(hass)
    await _forget_old_notes(hass)

    async def a_day_passed(_now: datetime) -> None:
        await _forget_old_notes(hass)

    async_track_time_interval(hass, a_day_passed, timedelta(days=1), cancel_on_shutdown=True)
    return True


async def _forget_old_notes(hass: HomeAssistant) -> None:
    entries = hass.config_entries.async_entries(DOMAIN)
    await forget_old_notes(
        hass, {name for one in entries for name in (one.entry_id, _notes_of(one))}
    )


def _notes_of(entry: DropboxBackupConfigEntry) -> str:
    """Return what the notes of the entry's account are called."""
    return notes_name(entry.unique_id) if entry.unique_id else entry.entry_id


async def _moved_notes_of(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> str:
    """Return the same, after moving there what an earlier version kept under the entry."""
    return await move_notes(hass, entry.entry_id, _notes_of(entry))


async def async_setup_entry(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> bool:
    """Set up one Dropbox account."""
    if missing := missing_permissions(entry.data[CONF_TOKEN]):
        raise ConfigEntryAuthFailed(
            translation_domain=DOMAIN,
            translation_key="missing_scopes",
            translation_placeholders={"scopes": ", ".join(missing)},
        )
    implementation = await async_get_config_entry_implementation(hass, entry)
    session = OAuth2Session(hass, entry, implementation)
    client = DropboxClient(async_get_clientsession(hass), EntryToken(session).get)

    coordinator = DropboxBackupCoordinator(hass, entry)
    entry.async_on_unload(coordinator.outlive)
    notes = await _moved_notes_of(hass, entry)
    journal = await journal_of(hass, notes)
    entry.async_on_unload(journal.save)
    if journal.notes.folder != (path := entry.data[CONF_FOLDER] or ROOT_FOLDER):
        journal.notes.folder = path
        journal.changed()
    own_instance = await instance_id.async_get(hass)

    cache = ListingCache(hass, notes, implementation.domain)
    entry.async_on_unload(cache.close)
    folder = BackupFolder(
        client, entry.data[CONF_FOLDER], own_instance, journal.notes.uploaded.get, cache
    )
    entry.async_on_unload(folder.stop)
    await folder.recall()

    def published(state: State) -> None:
        coordinator.async_set_updated_data(state)
        if not coordinator.outlived:
            async_update_issues(hass, entry, state)

    engine = Engine(
        Parts(
            hass,
            client,
            folder,
            LocalBackups(hass, async_get_manager(hass)),
            journal,
            policy_of(entry.options),
            instance_id=own_instance,
            agent_id=agent_id_of(entry),
            on_change=published,
            on_sign_in_needed=lambda: entry.async_start_reauth(hass),
        )
    )
    coordinator.engine = engine
    entry.runtime_data = coordinator

    async def entry_changed(_hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
        # Usually only the access token has changed: every few hours, also during an upload.
        engine.apply(policy_of(entry.options))

    entry.async_on_unload(entry.add_update_listener(entry_changed))
    try:
        await engine.refresh(within=RETRY_FOR[Waiter.START])
    except SignInError as err:
        raise ConfigEntryAuthFailed(
            translation_domain=DOMAIN,
            translation_key="sign_in_needed",
            translation_placeholders={"reason": texts_of(hass).of(err.fault)},
        ) from err
    except DropboxError as err:
        if journal.notes.folder_seen:
            # It worked before and will again. Until then entities and alarms must be there to say
            # that it does not.
            _LOGGER.warning("Dropbox can't be reached, it is tried again: %s", err)
            engine.publish()
            return await _start(hass, entry, coordinator)
        raise ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key="cannot_connect",
            translation_placeholders={"reason": texts_of(hass).of(err.fault)},
        ) from err

    return await _start(hass, entry, coordinator)


async def _start(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    coordinator: DropboxBackupCoordinator,
) -> bool:
    """Show the entities and put the worker to work."""
    engine = coordinator.engine
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    entry.async_create_background_task(hass, engine.run(), f"{DOMAIN} worker")
    entry.async_create_background_task(hass, engine.watch(), f"{DOMAIN} watch of the backup folder")
    async_watch_backups(hass, entry, engine)
    async_notify_agents_changed(hass, entry)

    async def settings_changed(_event: Event[Any]) -> None:  # Any: those that changed
        await load_texts(hass)
        engine.publish()

    # What is shown was told in the language, and the time zone, of before.
    entry.async_on_unload(hass.bus.async_listen(EVENT_CORE_CONFIG_UPDATE, settings_changed))
    return True


async def async_unload_entry(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> bool:
    """Unload one account: the worker is cancelled by Home Assistant right after."""
    await entry.runtime_data.engine.save()
    if entry.disabled_by is not None:  # after a reload the issues are still true
        async_delete_issues(hass, entry)
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Put the account's notes aside for some weeks. The backups in Dropbox stay, which is said."""
    journal = await journal_of(hass, await _moved_notes_of(hass, entry))
    await journal.put_aside()
    async_delete_issues(hass, entry)
    texts = await load_texts(hass)
    account, folder = entry.title, entry.data[CONF_FOLDER] or ROOT_FOLDER
    persistent_notification.async_create(
        hass,
        texts.fill("account_removed", account=account, folder=folder, days=NOTES_KEPT_FOR.days),
        texts.fill("account_removed_title"),
        f"{DOMAIN}_{entry.entry_id}_removed",
    )
