"""Stops writing to Home Assistant's storage while that is packed into a backup.

Home Assistant says when it begins and when it has ended. The end may never be said: Supervisor,
which packs where there is one, can die in between. So writing also begins again when anything else
shows that nobody packs any more, and in any case after an hour (`_LONGEST`).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
import logging
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.manager import (
    BackupManagerState,
    IdleEvent,
    ManagerStateEvent,
)
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.event import async_call_later, async_track_time_interval
from homeassistant.helpers.hassio import is_hassio
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .sync.local.supervisor import (
    BUSY,
    PACKING,
    PACKING_JOBS,
    RUNNING,
    SUPERVISOR_EVENT,
    job_ended_by,
    state_told_by,
    supervisor_state,
)
from .sync.storage.write_hold import write_hold_of
from .waits import WAITS

_LOGGER = logging.getLogger(__name__)

# Longer than packing a large database takes on a slow board: the storage is packed together with
# it, and what else is in a backup does not count.
_LONGEST = timedelta(hours=1)
# Beside those that pack the one that ends a freeze: the job that begins it ends at once.
_ENDING_JOBS = {*PACKING_JOBS, "backup_manager_thaw_all"}
_PACKING: HassKey[Packing] = HassKey(f"{DOMAIN}_packing")


async def async_begin_packing(hass: HomeAssistant) -> None:
    """Write nothing from now on. Never raises: Home Assistant would give up the backup."""
    if (packing := hass.data.get(_PACKING)) is None:
        packing = hass.data[_PACKING] = Packing(hass)
    await packing.begin()


async def async_end_packing(hass: HomeAssistant) -> None:
    """Write what was held back."""
    if (packing := hass.data.get(_PACKING)) is not None:
        await packing.end()


class Packing:
    """Holds writes back, and watches for the end of the packing that Home Assistant announced."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Nothing has begun."""
        self._hass = hass
        self._hold = write_hold_of(hass)
        self._watches: list[CALLBACK_TYPE] = []
        self._unanswered = 0

    async def begin(self) -> None:
        """Return when nothing is written any more."""
        hass, manager = self._hass, async_get_manager(self._hass)
        self._stop_watching()
        self._watches = [
            async_call_later(hass, _LONGEST, self._too_long),
            hass.bus.async_listen(EVENT_HOMEASSISTANT_STOP, self._stopping),
        ]
        if manager.state is not BackupManagerState.IDLE:
            # Then this is its backup. Otherwise it is Supervisor's, and what the manager does
            # meanwhile says nothing of that.
            self._watches.append(manager.async_subscribe_events(self._manager_event))
        if is_hassio(hass):
            self._watches += [
                async_dispatcher_connect(hass, SUPERVISOR_EVENT, self._supervisor_event),
                async_track_time_interval(
                    hass, self._ask_supervisor, timedelta(seconds=WAITS.between_questions)
                ),
            ]
        await self._hold.hold_writes()

    async def end(self) -> None:
        """Return when all that was held back has been written."""
        self._stop_watching()
        await self._hold.release_writes()

    def _stop_watching(self) -> None:
        self._unanswered = 0
        for stop in self._watches:
            stop()
        self._watches = []

    @callback
    def _manager_event(self, event: ManagerStateEvent) -> None:
        if isinstance(event, IdleEvent):
            self._is_over()

    @callback
    def _supervisor_event(self, event: Mapping[str, Any]) -> None:  # Any: Supervisor's JSON
        if job_ended_by(event) in _ENDING_JOBS or state_told_by(event) == RUNNING:
            self._is_over()

    async def _ask_supervisor(self, _now: datetime) -> None:
        """Notice that Supervisor has died, or restarted without an event."""
        state = await supervisor_state(self._hass)
        self._unanswered = self._unanswered + 1 if state is None else 0
        # A single failed answer means nothing.
        if state not in {None, PACKING, BUSY} or self._unanswered > 1:
            await self.end()

    async def _too_long(self, _now: datetime) -> None:
        _LOGGER.warning(
            "Home Assistant began to pack a backup %s ago and has not said that it has ended; what "
            "waits for that is written now",
            _LONGEST,
        )
        await self.end()

    async def _stopping(self, _event: Event) -> None:
        # What is not written when Home Assistant stops is lost.
        await self.end()

    @callback
    def _is_over(self) -> None:
        # Not at once: the dispatcher is still going through its listeners.
        self._hass.async_create_task(
            self.end(), f"{DOMAIN} writing what was held back", eager_start=False
        )
