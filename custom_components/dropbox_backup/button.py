"""Buttons for what a person may want done now."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .coordinator import DropboxBackupConfigEntry, DropboxBackupCoordinator
from .entity import DropboxBackupEntity
from .services import error_of, refuse_while_paused
from .sync.report.problems import why_of
from .sync.requests import Outcomes, Selection
from .texts import texts_of

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DropboxBackupButtonDescription(ButtonEntityDescription):
    """What a button does, and what a person is told when there is nothing to do. No button waits
    for an upload: that may take hours.
    """

    press_fn: Callable[[DropboxBackupCoordinator, Context | None], Coroutine[Any, Any, None]]


# Seconds that a person waits to be told that there is nothing to do: the check takes that long.
_LOOK_FOR = 10.0


async def _back_up(coordinator: DropboxBackupCoordinator, _asker: Context | None) -> None:
    try:
        await coordinator.engine.back_up()
    except HomeAssistantError as err:
        texts = texts_of(coordinator.hass)
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="backup_not_started",
            translation_placeholders={"reason": texts.of(why_of(err))},
        ) from err


async def _upload(coordinator: DropboxBackupCoordinator, asker: Context | None) -> None:
    engine = coordinator.engine
    refuse_while_paused(engine)
    uploading = engine.request("the button was pressed", Selection())
    # An automation goes on in any case: for it, nothing has failed.
    by_person = asker is not None and asker.user_id is not None and asker.parent_id is None
    if not by_person or not await _is_over(coordinator, uploading) or uploading.result():
        return
    if (problem := engine.problem) is not None:
        raise error_of(coordinator.hass, problem)
    raise ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="nothing_to_upload",
        translation_placeholders={"count": str(engine.state.good)},
    )


async def _is_over(
    coordinator: DropboxBackupCoordinator, uploading: asyncio.Future[Outcomes]
) -> bool:
    """Wait until it is known whether there is something to upload; tell whether all is done."""
    begun = asyncio.Event()

    def look(*_: object) -> None:
        if coordinator.engine.state.waiting or uploading.done():
            begun.set()

    stop = coordinator.async_add_listener(look)
    uploading.add_done_callback(look)
    look()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_FOR):
            await begun.wait()
    stop()
    return uploading.done() and not uploading.cancelled()


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
        await self.entity_description.press_fn(self.coordinator, self._context)
