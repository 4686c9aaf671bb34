"""What the entities of one Dropbox account have in common."""

from typing import Final

from homeassistant.helpers.device_registry import DeviceEntryType, DeviceInfo
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.update_coordinator import CoordinatorEntity
from homeassistant.loader import async_get_loaded_integration

from .const import CONF_FOLDER, DOMAIN
from .coordinator import DropboxBackupCoordinator

_WEBSITE: Final = "https://www.dropbox.com/home"


class DropboxBackupEntity(CoordinatorEntity[DropboxBackupCoordinator]):
    """Shows the worker's state, and is therefore available while the config entry is loaded."""

    _attr_has_entity_name = True

    def __init__(
        self, coordinator: DropboxBackupCoordinator, description: EntityDescription
    ) -> None:
        """Take the translation key, and the end of the unique id, from the description's key."""
        super().__init__(coordinator)
        entry = coordinator.config_entry
        self.entity_description = description
        self._attr_translation_key = description.key
        self._attr_unique_id = f"{entry.entry_id}_{description.key}"
        self._attr_device_info = DeviceInfo(
            entry_type=DeviceEntryType.SERVICE,
            identifiers={(DOMAIN, entry.entry_id)},
            name=f"Dropbox {entry.title}",
            manufacturer="Dropbox",
            # The folder is what tells two accounts apart, and what a person looks for.
            model=entry.data[CONF_FOLDER] or "/",
            sw_version=str(async_get_loaded_integration(coordinator.hass, DOMAIN).version),
            # Not the folder itself: that of an app lies elsewhere for its owner than for the app.
            configuration_url=_WEBSITE,
        )
