"""What happened to which backup, in Home Assistant's activity."""

from collections.abc import Callable
from typing import Any

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ENTITY_ID,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
)
from homeassistant.core import Event, HomeAssistant, callback

from .codes import Bytes
from .const import DOMAIN, EVENT_BACKUP
from .texts import texts_of

type Describe = Callable[[Event[dict[str, Any]]], dict[str, str]]


@callback
def async_describe_events(
    hass: HomeAssistant, async_describe_event: Callable[[str, str, Describe], None]
) -> None:
    """Tell how to describe our events."""

    @callback
    def describe(event: Event[dict[str, Any]]) -> dict[str, str]:
        about = event.data
        texts = texts_of(hass)
        reason = {"reason": about["reason"]} if about["reason"] else {}
        return {
            LOGBOOK_ENTRY_NAME: about["account"],
            LOGBOOK_ENTRY_ENTITY_ID: about["entity_id"],
            LOGBOOK_ENTRY_MESSAGE: texts.fill(
                "backup_because" if reason else "backup_alone",
                what=texts.fill(about["event_type"]),
                name=about["name"],
                size=Bytes(about["size"]),
                **reason,
            ),
        }

    async_describe_event(DOMAIN, EVENT_BACKUP, describe)
