"""The switch for automations that need the line for something else."""

from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import DropboxBackupConfigEntry
from .entity import DropboxBackupEntity
from .sync.decide.upload_window import HoldReason

PARALLEL_UPDATES = 0

UPLOADS = SwitchEntityDescription(key="uploads")


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the switch of one account."""
    async_add_entities([DropboxBackupUploads(entry.runtime_data, UPLOADS)])


class DropboxBackupUploads(DropboxBackupEntity, SwitchEntity):
    """On while uploads may run, off while they are paused. Outlives restarts."""

    @property
    @override
    def is_on(self) -> bool:
        """Return whether uploads are not paused."""
        return self.coordinator.data.hold is not HoldReason.PAUSED

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Let uploads go on at once."""
        self.coordinator.engine.resume_uploads()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Pause uploads."""
        self.coordinator.engine.pause_uploads()
