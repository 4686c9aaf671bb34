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
from .sync.state import State

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
        return _problem(self.coordinator.data) is not None

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return what the problem is: a word for automations and a text for people."""
        kind, detail = _problem(self.coordinator.data) or (None, None)
        return {"kind": kind, "detail": detail}


def _problem(state: State) -> tuple[str, str] | None:
    """Return the gravest problem."""
    if state.problem is not None:
        return state.problem.kind.value, state.problem.detail
    if state.refused:
        reasons = (f"{name}: {reason}" for name, reason in sorted(state.refused.items()))
        return "backup_refused", "; ".join(reasons)
    if state.unconfirmed:
        return (
            "confirm_retention",
            f"{len(state.unconfirmed)} backups would be deleted, which needs your confirmation",
        )
    return None
