"""Whether something keeps backups from being safe in Dropbox."""

from typing import Any, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import DropboxBackupConfigEntry
from .entity import DropboxBackupEntity
from .texts import texts_of

PARALLEL_UPDATES = 0

PROBLEM = BinarySensorEntityDescription(key="problem", device_class=BinarySensorDeviceClass.PROBLEM)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensor of one account."""
    async_add_entities([DropboxBackupProblem(entry.runtime_data, PROBLEM)])


class DropboxBackupProblem(DropboxBackupEntity, BinarySensorEntity):
    """On while somebody has to do something, or Dropbox is away. The attributes say what it is."""

    @property
    @override
    def is_on(self) -> bool:
        """Return whether there is a problem."""
        return self.coordinator.data.alarm is not None

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return what the problem is: codes for automations and a text for people."""
        alarm = self.coordinator.data.alarm
        return {
            "kind": alarm.kind.value if alarm else None,
            "detail": texts_of(self.hass).of(*alarm.reasons) if alarm else None,
            "detail_code": alarm.reason.code.value if alarm else None,
        }
