"""Dropbox Backup: gets every Home Assistant backup to Dropbox, and proves that it arrived.

This file wires the parts of one config entry together; nothing else.
"""

from datetime import time, timedelta
import logging

from homeassistant.components.backup import async_get_manager
from homeassistant.const import CONF_TOKEN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryNotReady
from homeassistant.helpers import config_validation as cv, instance_id
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.config_entry_oauth2_flow import (
    OAuth2Session,
    async_get_config_entry_implementation,
)
from homeassistant.helpers.typing import ConfigType

from .auth import EntryToken
from .backup import agent_id_of, async_notify_agents_changed
from .const import (
    CONF_ALARM_AFTER,
    CONF_CHECK_INTERVAL,
    CONF_CHUNKS_AT_ONCE,
    CONF_FOLDER,
    CONF_HOURS_FROM,
    CONF_HOURS_TO,
    CONF_KEEP,
    CONF_SPEED_LIMIT,
    CONF_UPLOAD_AUTOMATICALLY,
    DEFAULT_ALARM_AFTER,
    DEFAULT_CHECK_INTERVAL,
    DEFAULT_CHUNKS_AT_ONCE,
    DEFAULT_KEEP,
    DOMAIN,
)
from .coordinator import DropboxBackupConfigEntry, DropboxBackupCoordinator
from .dropbox_api.client import DropboxClient
from .dropbox_api.errors import DropboxError, SignInError
from .repairs import async_delete_issues, async_update_issues
from .services import async_register_services
from .sync.account import missing_permissions
from .sync.journal import journal_of, remove_journal
from .sync.listing import ListingCache
from .sync.local import LocalBackups
from .sync.manners import Hours
from .sync.models import Policy
from .sync.reconciler import Reconciler
from .sync.remote import BackupFolder
from .sync.remote_watch import watch_dropbox
from .sync.state import State
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

# Home Assistant's start must not wait long for a Dropbox that is away: it tries the setup again by
# itself.
_SETUP_PATIENCE = 10.0

_BYTES_PER_SECOND_IN_A_MBIT = 125_000.0


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the services: automations must validate also while no entry is loaded."""
    async_register_services(hass)
    return True


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
    journal = await journal_of(hass, entry.entry_id)
    entry.async_on_unload(journal.save)
    own_instance = await instance_id.async_get(hass)

    cache = ListingCache(hass, entry.entry_id, implementation.domain)
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

    reconciler = Reconciler(
        hass,
        client,
        folder,
        LocalBackups(hass, async_get_manager(hass)),
        journal,
        policy_of(entry),
        instance_id=own_instance,
        agent_id=agent_id_of(entry),
        on_change=published,
        on_sign_in_needed=lambda: entry.async_start_reauth(hass),
    )
    coordinator.reconciler = reconciler
    entry.runtime_data = coordinator
    try:
        await reconciler.refresh(within=_SETUP_PATIENCE)
    except SignInError as err:
        raise ConfigEntryAuthFailed(
            translation_domain=DOMAIN,
            translation_key="sign_in_needed",
            translation_placeholders={"reason": err.reason},
        ) from err
    except DropboxError as err:
        if journal.notes.folder_seen:
            # It worked before and will again. Until then entities and alarms must be there to say
            # that it does not.
            _LOGGER.warning("Dropbox can't be reached, it is tried again: %s", err)
            reconciler.publisher.publish()
            return await _start(hass, entry, client, coordinator)
        raise ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key="cannot_connect",
            translation_placeholders={"reason": err.reason},
        ) from err

    return await _start(hass, entry, client, coordinator)


async def _start(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    client: DropboxClient,
    coordinator: DropboxBackupCoordinator,
) -> bool:
    """Show the entities and put the worker to work."""
    reconciler = coordinator.reconciler
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    entry.async_create_background_task(hass, reconciler.run(), f"{DOMAIN} worker")
    entry.async_create_background_task(
        hass, watch_dropbox(client, reconciler), f"{DOMAIN} watch of the backup folder"
    )
    async_watch_backups(hass, entry, reconciler)
    async_notify_agents_changed(hass, entry)
    return True


def policy_of(entry: DropboxBackupConfigEntry) -> Policy:
    """Return what the user chose in the options."""
    options = entry.options
    days = options.get(CONF_ALARM_AFTER, DEFAULT_ALARM_AFTER)
    mbits = options.get(CONF_SPEED_LIMIT, 0)
    chunks = options.get(CONF_CHUNKS_AT_ONCE, DEFAULT_CHUNKS_AT_ONCE)
    return Policy(
        upload_automatically=options.get(CONF_UPLOAD_AUTOMATICALLY, True),
        check_interval=timedelta(hours=options.get(CONF_CHECK_INTERVAL, DEFAULT_CHECK_INTERVAL)),
        keep=int(options.get(CONF_KEEP, DEFAULT_KEEP)),
        alarm_after=timedelta(days=days) if days else None,
        bytes_per_second=mbits * _BYTES_PER_SECOND_IN_A_MBIT if mbits else None,
        hours=hours_of(options.get(CONF_HOURS_FROM), options.get(CONF_HOURS_TO)),
        # The default gives way where memory is short, what somebody chose does not.
        chunks_at_once=None if chunks == DEFAULT_CHUNKS_AT_ONCE else chunks,
    )


def hours_of(begin: str | None, end: str | None) -> Hours | None:
    """Return the hours between two times of day as the options hold them, None for always."""
    if begin is None or end is None:
        return None
    return Hours(time.fromisoformat(begin), time.fromisoformat(end))


async def async_unload_entry(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> bool:
    """Unload one account: the worker is cancelled by Home Assistant right after."""
    await entry.runtime_data.reconciler.save()
    if entry.disabled_by is not None:  # after a reload the issues are still true
        async_delete_issues(hass, entry)
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Forget what was kept for the account. The backups in Dropbox stay."""
    await remove_journal(hass, entry.entry_id)
    await ListingCache(hass, entry.entry_id).remove()
    async_delete_issues(hass, entry)
