"""What makes the worker look for new backups: every cause ends in `reconciler.request`."""

from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.manager import IdleEvent, ManagerStateEvent
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.start import async_at_started

from .coordinator import DropboxBackupConfigEntry
from .sync.reconciler import Reconciler

# homeassistant/components/hassio/const.py; importing hassio would load it on installations that
# have no Supervisor.
_SUPERVISOR_EVENT = "supervisor_event"
_BACKUP_JOBS = "backup_manager_"
# Backups may lie on a network share that was connected just now.
_MOUNT_JOB = "mount_manager_create_mount"


@callback
def async_watch_backups(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry, reconciler: Reconciler
) -> None:
    """Watch until the entry is unloaded."""

    @callback
    def manager_event(event: ManagerStateEvent) -> None:
        # Every backup ends with an idle event, also one that failed at another location: the local
        # copy is there.
        if isinstance(event, IdleEvent):
            reconciler.request("Home Assistant has finished with a backup")

    @callback
    def supervisor_event(event: dict[str, Any]) -> None:  # Any: Supervisor's JSON
        # Supervisor's command line and the action `hassio.backup_full` make backups behind the
        # manager's back.
        job = event.get("data")
        if event.get("event") != "job" or not isinstance(job, dict) or job.get("done") is not True:
            return
        if str(job.get("name")).startswith((_BACKUP_JOBS, _MOUNT_JOB)):
            reconciler.request("Supervisor has finished with a backup or a network share")

    @callback
    def started(_hass: HomeAssistant) -> None:
        reconciler.request("Home Assistant has started")

    entry.async_on_unload(async_get_manager(hass).async_subscribe_events(manager_event))
    entry.async_on_unload(async_dispatcher_connect(hass, _SUPERVISOR_EVENT, supervisor_event))
    entry.async_on_unload(async_at_started(hass, started))
