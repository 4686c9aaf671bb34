"""Buttons for what a person may want done now."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .coordinator import DropboxBackupConfigEntry
from .entity import DropboxBackupEntity
from .services import refuse_while_paused
from .sync.reconciler import Reconciler
from .sync.wishes import Selection

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DropboxBackupButtonDescription(ButtonEntityDescription):
    """What a button does. No button waits for an upload: that may take hours."""

    press_fn: Callable[[Reconciler], Coroutine[Any, Any, None]]


async def _back_up(reconciler: Reconciler) -> None:
    try:
        await reconciler.back_up()
    except HomeAssistantError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="backup_not_started",
            translation_placeholders={"reason": str(err)},
        ) from err


async def _upload(reconciler: Reconciler) -> None:
    refuse_while_paused(reconciler)
    reconciler.request("the button was pressed", Selection())


BUTTONS = (
    DropboxBackupButtonDescription(key="back_up_now", press_fn=_back_up),
    DropboxBackupButtonDescription(key="upload_now", press_fn=_upload),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DropboxBackupConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the buttons of one account."""
    async_add_entities(
        DropboxBackupButton(entry.runtime_data, description) for description in BUTTONS
    )


class DropboxBackupButton(DropboxBackupEntity, ButtonEntity):
    """One row of the table."""

    entity_description: DropboxBackupButtonDescription

    @override
    async def async_press(self) -> None:
        """Do it."""
        await self.entity_description.press_fn(self.coordinator.reconciler)
