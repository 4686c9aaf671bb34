"""Holds back what would be written into Home Assistant's storage while that is packed."""

import asyncio
from collections.abc import Awaitable, Iterable
import logging
from typing import Protocol
from weakref import WeakSet

from homeassistant.core import HomeAssistant
from homeassistant.util.hass_dict import HassKey

from ...const import DOMAIN

_LOGGER = logging.getLogger(__name__)

_HOLD: HassKey[WriteHold] = HassKey(f"{DOMAIN}_write_hold")


class HeldFile(Protocol):
    """A file that is written only while nothing is held back."""

    async def settle(self) -> None:
        """Write what waits, and return when no writing is under way."""

    async def catch_up(self) -> None:
        """Write what was held back."""


class WriteHold:
    """One per Home Assistant, as there is one storage: it outlives reloads, and binds the files of
    all config entries, also of those that are set up while it lasts.

    Home Assistant gives up packing when a file of its storage is replaced at the wrong moment.
    """

    def __init__(self) -> None:
        """Hold nothing back."""
        self.held = False
        self._files: WeakSet[HeldFile] = WeakSet()

    def bind(self, file: HeldFile) -> None:
        """Tell a file from now on."""
        self._files.add(file)

    async def hold_writes(self) -> None:
        """Return when nothing is written any more that is packed. Never raises."""
        self.held = True
        await self._all(file.settle() for file in list(self._files))

    async def release_writes(self) -> None:
        """Write again, first what was held back: at once. Never raises."""
        if self.held:
            self.held = False
            await self._all(file.catch_up() for file in list(self._files))

    async def _all(self, works: Iterable[Awaitable[None]]) -> None:
        for failure in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(failure, Exception):
                # Home Assistant would give up its backup for it.
                _LOGGER.error("Unexpected error while writing", exc_info=failure)


def write_hold_of(hass: HomeAssistant) -> WriteHold:
    """Return the one of this Home Assistant."""
    if (hold := hass.data.get(_HOLD)) is None:
        hold = hass.data[_HOLD] = WriteHold()
    return hold
