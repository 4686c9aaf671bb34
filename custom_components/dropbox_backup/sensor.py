"""What the worker knows, as sensors."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    MAX_LENGTH_STATE_STATE,
    PERCENTAGE,
    EntityCategory,
    UnitOfInformation,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .coordinator import DropboxBackupConfigEntry
from .entity import DropboxBackupEntity
from .sync.decide.models import RemoteBackup, date_of
from .sync.report.state import State, Status

PARALLEL_UPDATES = 0

# Attributes go to every open browser at each change: the complete list is an action's answer.
_LISTED_BACKUPS = 25
_LISTED_NAMES = 10

# Nothing of Python's runs for each of a thousand backups.
_SIZE = attrgetter("file.size")


@dataclass(frozen=True, kw_only=True)
class DropboxBackupSensorDescription(SensorEntityDescription):
    """How a sensor comes from the state."""

    value_fn: Callable[[State], StateType | datetime]
    attributes_fn: Callable[[State], dict[str, Any]] | None = None


def _waiting(state: State) -> int | None:
    """Return how many are still to be uploaded, which nobody knows before the first plan."""
    return None if state.plan is None else len(state.waiting)


def _status(state: State) -> dict[str, Any]:
    """Return until when the status lasts, if only the clock ends it, when all is looked at again,
    and whether new backups are encrypted.
    """
    waits = state.status in {Status.WAITING_FOR_HOURS, Status.RETRYING}
    return {
        "until": state.next_check if waits else None,
        "next_check": state.next_check,
        "encryption": state.settings.encryption if state.settings else None,
    }


def _newest_name(state: State) -> str | None:
    return state.newest.backup.name[:MAX_LENGTH_STATE_STATE] if state.newest else None


def _newest(state: State) -> dict[str, Any]:
    return _described(state.newest) | {"file": state.newest.file.name} if state.newest else {}


def _described(one: RemoteBackup) -> dict[str, Any]:
    return {
        "backup_id": one.backup.backup_id,
        "name": one.backup.name,
        "date": date_of(one.backup),
        "size": one.file.size,
        "encrypted": one.protection,
        "verified": one.verified is not None,
        "bad_copies": [
            {"name": copy.file.name, "size": copy.file.size, "why": copy.why.value}
            for copy in one.bad_copies
        ],
    }


def _percent(state: State) -> float:
    progress = state.progress or state.begun
    return round(progress.percent, 1) if progress else 0


def _uploading(state: State) -> dict[str, Any]:
    """Return what is on its way. `sent` and `size` are also those of what was begun and waits."""
    progress = state.progress or state.begun
    active = state.progress is not None
    speed, left = (progress.speed, progress.seconds_left) if progress else (None, None)
    return {
        "uploading": list(progress.names) if progress and active else [],
        "sent": progress.sent if progress else None,
        "size": progress.size if progress else None,
        "bytes_per_second": None if speed is None else round(speed),
        "seconds_left": None if left is None else round(left),
    }


SENSORS = (
    DropboxBackupSensorDescription(
        key="status",
        device_class=SensorDeviceClass.ENUM,
        options=[status.value for status in Status],
        value_fn=lambda state: state.status.value,
        attributes_fn=_status,
    ),
    DropboxBackupSensorDescription(
        key="last_upload",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda state: state.last_upload,
    ),
    DropboxBackupSensorDescription(
        key="newest_backup",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda state: state.newest.date if state.newest else None,
    ),
    DropboxBackupSensorDescription(
        key="last_backup",
        value_fn=_newest_name,
        attributes_fn=_newest,
    ),
    DropboxBackupSensorDescription(
        key="backups_in_dropbox",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda state: len(state.backups) if state.listed else None,
        attributes_fn=lambda state: {
            "backups": [_described(one) for one in state.backups[:_LISTED_BACKUPS]]
        },
    ),
    DropboxBackupSensorDescription(
        key="backups_size",
        device_class=SensorDeviceClass.DATA_SIZE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfInformation.BYTES,
        # As Dropbox counts. In GB small backups would be shown as nothing.
        suggested_unit_of_measurement=UnitOfInformation.MEGABYTES,
        suggested_display_precision=1,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda state: sum(map(_SIZE, state.backups)) if state.listed else None,
    ),
    DropboxBackupSensorDescription(
        key="waiting",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=_waiting,
        attributes_fn=lambda state: {
            "waiting": [one.backup.name for one in state.waiting[:_LISTED_NAMES]]
        },
    ),
    # 0 while there is nothing to upload: gauges, graphs and numeric conditions have no use for
    # "unknown". What was begun and waits keeps its percent.
    DropboxBackupSensorDescription(
        key="upload_progress",
        native_unit_of_measurement=PERCENTAGE,
        suggested_display_precision=0,
        value_fn=_percent,
        attributes_fn=_uploading,
    ),
    DropboxBackupSensorDescription(
        key="space_free",
        device_class=SensorDeviceClass.DATA_SIZE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfInformation.BYTES,
        suggested_unit_of_measurement=UnitOfInformation.GIGABYTES,
        suggested_display_precision=2,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda state: state.space.free if state.space else None,
    ),
    DropboxBackupSensorDescription(
        key="space_used",
        device_class=SensorDeviceClass.DATA_SIZE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfInformation.BYTES,
        suggested_unit_of_measurement=UnitOfInformation.GIGABYTES,
        suggested_display_precision=2,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda state: state.space.used if state.space else None,
    ),
    DropboxBackupSensorDescription(
        # Every check would be a line in Home Assistant's activity. The status has it as attribute.
        key="next_check",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda state: state.next_check,
    ),
    DropboxBackupSensorDescription(
        key="last_attempt",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda state: state.last_attempt,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of one account."""
    async_add_entities(
        DropboxBackupSensor(entry.runtime_data, description) for description in SENSORS
    )


class DropboxBackupSensor(DropboxBackupEntity, SensorEntity):
    """One row of the table."""

    entity_description: DropboxBackupSensorDescription
    # Long, or different every second, and of no use in history.
    _unrecorded_attributes = frozenset(
        {"backups", "waiting", "sent", "bytes_per_second", "seconds_left", "next_check"}
    )

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the value."""
        return self.entity_description.value_fn(self.coordinator.data)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return what belongs to the value."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self.coordinator.data) if attributes_fn else None
