"""Publishes the worker's state to entities, diagnostics and service responses."""

import logging

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator

from .const import DOMAIN
from .sync.engine import Engine
from .sync.report.state import State

_LOGGER = logging.getLogger(__name__)

type DropboxBackupConfigEntry = ConfigEntry[DropboxBackupCoordinator]


class DropboxBackupCoordinator(DataUpdateCoordinator[State]):
    """Never polls: the worker has timers of its own and publishes whenever something changes."""

    config_entry: DropboxBackupConfigEntry
    engine: Engine  # given by the setup of the config entry, which wires the parts together
    # An upload by Home Assistant goes on when the config entry is unloaded.
    outlived = False

    def __init__(self, hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
        """Nothing is published yet."""
        super().__init__(hass, _LOGGER, config_entry=entry, name=DOMAIN)

    @callback
    def outlive(self) -> None:
        """Note that the config entry was unloaded: from now on the state is out of date."""
        self.outlived = True
