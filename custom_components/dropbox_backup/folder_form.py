"""The form for the backup folder: what it offers, where its errors belong, and what the last page
tells about the folder that was chosen.
"""

from collections.abc import Sequence

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.config import BackupConfigData
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import instance_id
from homeassistant.helpers.selector import (
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
)
import voluptuous as vol

from .codes import Bytes
from .const import CONF_FOLDER, DEFAULT_FOLDER
from .dropbox_api.client import DropboxClient
from .sync.remote.account import Obstacle, ObstacleError, look_into
from .texts import Texts, load_texts

_ABOUT_THE_FOLDER = {
    Obstacle.NAME_TOO_LONG,
    Obstacle.NAME_ENDS_BADLY,
    Obstacle.NAME_HAS_BACKSLASH,
    Obstacle.NAME_HAS_CONTROL,
    Obstacle.NAME_REFUSED,
    Obstacle.FILE_IN_PLACE,
    Obstacle.NOT_WRITABLE,
}


def folder_form(suggested: str, with_backups: Sequence[str]) -> vol.Schema:
    """Return the form: it suggests one folder, and offers others that have backups."""
    offered = list(dict.fromkeys([suggested, *with_backups, DEFAULT_FOLDER]))
    field: TextSelector | SelectSelector
    if all(folder == suggested for folder in with_backups):  # a list would only be in the way
        field = TextSelector()
    else:
        field = SelectSelector(
            SelectSelectorConfig(
                options=offered, custom_value=True, mode=SelectSelectorMode.DROPDOWN
            )
        )
    return vol.Schema({vol.Required(CONF_FOLDER, default=suggested): field})


def errors_of(err: ObstacleError) -> dict[str, str]:
    """Return what is in the way, at its field."""
    return {CONF_FOLDER if err.obstacle in _ABOUT_THE_FOLDER else "base": err.obstacle}


def reason_of(err: ObstacleError, texts: Texts) -> str:
    """Return what the error's text names. An invisible character would break the sentence."""
    if err.reason is None or err.obstacle is Obstacle.NAME_HAS_CONTROL:
        return ""
    return texts.write(err.reason)


async def contents_text(hass: HomeAssistant, client: DropboxClient, folder: str) -> str:
    """Return a sentence, with what precedes it, about what lies in a folder already; nothing if
    Dropbox does not say.
    """
    contents = await look_into(client, folder, await instance_id.async_get(hass))
    if contents is None:
        return ""
    texts = await load_texts(hass)
    parts = []
    if contents.own:
        size = Bytes(contents.own_size)
        parts.append(texts.fill("found_own", count=contents.own, size=size))
    if contents.others:
        size = Bytes(contents.others_size)
        parts.append(texts.fill("found_others", count=contents.others, size=size))
    if contents.unknown:
        parts.append(texts.fill("found_unknown", count=contents.unknown))
    listed = "\n".join(f"- {part}" for part in parts)
    return f"\n\n{texts.fill('found')}\n\n{listed}" if parts else f" {texts.fill('found_nothing')}"


async def location_text(hass: HomeAssistant, agent_id: str) -> str:
    """Return what Home Assistant's page says of this location, and what is right: its settings may
    be left over from an account that was removed.
    """
    config = _backup_config(hass)
    switched_on = config is not None and agent_id in config.create_backup.agent_ids
    return (await load_texts(hass)).fill("location_on" if switched_on else "location_off")


async def readable_text(hass: HomeAssistant) -> str:
    """Return a warning that backups go up readable, nothing if Home Assistant has a key to encrypt
    them.
    """
    config = _backup_config(hass)
    if config is None or config.create_backup.password:
        return ""
    return f"\n\n{(await load_texts(hass)).fill('no_encryption_key')}"


def _backup_config(hass: HomeAssistant) -> BackupConfigData | None:
    try:
        return async_get_manager(hass).config.data
    except HomeAssistantError:  # not set up
        return None
