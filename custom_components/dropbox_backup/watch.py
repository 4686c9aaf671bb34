"""What makes the worker look for new backups: every cause ends in `engine.request`."""

from datetime import datetime, timedelta
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.manager import (
    BackupManagerState,
    IdleEvent,
    ManagerStateEvent,
)
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.hassio import is_hassio
from homeassistant.helpers.start import async_at_started

from .coordinator import DropboxBackupConfigEntry
from .sync.engine import Engine
from .sync.local.supervisor import (
    RUNNING,
    SUPERVISOR_EVENT,
    job_ended_by,
    state_told_by,
    supervisor_state,
)
from .sync.report.state import ProblemKind
from .waits import WAITS

_BACKUP_JOBS = "backup_manager_"
# Backups may lie on a network share that was connected just now.
_MOUNT_JOB = "mount_manager_create_mount"


@callback
def async_watch_backups(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, engine: Engine
) -> None:
    """Watch until the entry is unloaded."""

    @callback
    def manager_event(event: ManagerStateEvent) -> None:
        # Every backup ends with an idle event, also one that failed at another location: the local
        # copy is there.
        if isinstance(event, IdleEvent):
            engine.request("Home Assistant has finished with a backup")

    @callback
    def supervisor_event(event: dict[str, Any]) -> None:  # Any: Supervisor's JSON
        # Supervisor's command line and the action `hassio.backup_full` make backups behind the
        # manager's back.
        if (job := job_ended_by(event)) and job.startswith((_BACKUP_JOBS, _MOUNT_JOB)):
            engine.request("Supervisor has finished with a backup or a network share")
        if state_told_by(event) == RUNNING and (_is_silent(engine) or not manager_is_idle()):
            engine.request("Supervisor is back")

    def manager_is_idle() -> bool:
        return async_get_manager(hass).state is BackupManagerState.IDLE

    @callback
    def started(_hass: HomeAssistant) -> None:
        engine.request("Home Assistant has started")

    if is_hassio(hass):
        entry.async_on_unload(_watch_silence(hass, engine))
    entry.async_on_unload(async_get_manager(hass).async_subscribe_events(manager_event))
    entry.async_on_unload(async_dispatcher_connect(hass, SUPERVISOR_EVENT, supervisor_event))
    entry.async_on_unload(async_at_started(hass, started))


@callback
def _watch_silence(hass: HomeAssistant, engine: Engine) -> CALLBACK_TYPE:
    """Ask Supervisor now and then whether it is back, while a location does not answer."""
    # Once for each outage: Supervisor may answer while a location still can't be read.
    due = True

    async def ask_supervisor(_now: datetime) -> None:
        nonlocal due
        if not _is_silent(engine) or await supervisor_state(hass) is None:
            due = True
        elif due:
            due = False
            engine.request("Supervisor is back")

    every = timedelta(seconds=WAITS.between_questions)
    return async_track_time_interval(hass, ask_supervisor, every)


def _is_silent(engine: Engine) -> bool:
    return engine.problem is not None and engine.problem.kind is ProblemKind.LOCATION_UNREACHABLE
