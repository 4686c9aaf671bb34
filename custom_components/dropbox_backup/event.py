"""An event entity: what happened to backups, for automations and the logbook."""

from typing import override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import EVENT_BACKUP
from .coordinator import DropboxBackupConfigEntry
from .entity import DropboxBackupEntity
from .sync.report.events import BackupEvent, EventKind
from .texts import texts_of

# Pushed by the worker.
PARALLEL_UPDATES = 0

BACKUP = EventEntityDescription(key="backup", event_types=[kind.value for kind in EventKind])


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the event entity of one account."""
    async_add_entities([DropboxBackupEvent(entry.runtime_data, BACKUP)])


class DropboxBackupEvent(DropboxBackupEntity, EventEntity):
    """The last thing that happened to a backup."""

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to the worker."""
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.engine.subscribe(self._happened))

    @callback
    def _happened(self, event: BackupEvent) -> None:
        about = {
            "backup_id": event.backup_id,
            "name": event.name,
            "size": event.size,
            "reason": texts_of(self.hass).of(event.reason) if event.reason else None,
            "reason_code": event.reason.code.value if event.reason else None,
        }
        self._trigger_event(event.kind.value, about)
        self.async_write_ha_state()
        self.hass.bus.async_fire(
            EVENT_BACKUP,
            {
                "entity_id": self.entity_id,
                "device_id": self.device_entry.id if self.device_entry else None,
                "account": self.coordinator.config_entry.title,
                "event_type": event.kind.value,
                **about,
            },
        )

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Show nothing of the worker's state but its events."""
