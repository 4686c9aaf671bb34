"""Buttons, pressed."""

from homeassistant.core import Context, HomeAssistant

from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from tests.support.account import (
    entity_id,
)


async def press(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    key: str,
    *,
    context: Context | None = None,
) -> None:
    data = {"entity_id": entity_id(hass, entry, "button", key)}
    await hass.services.async_call("button", "press", data, blocking=True, context=context)
