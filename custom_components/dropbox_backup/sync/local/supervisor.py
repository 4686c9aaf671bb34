"""What is asked of Supervisor directly, on systems that have one.

Home Assistant's `hassio` and what belongs to it are imported only there.
"""

import logging

from homeassistant.components.backup import BackupAgent
from homeassistant.core import HomeAssistant
from homeassistant.loader import async_get_integration

_LOGGER = logging.getLogger(__name__)

# homeassistant/components/hassio/const.py
SUPERVISOR_DOMAIN = "hassio"
SUPERVISOR_EVENT = "supervisor_event"
RUNNING = "running"
# Supervisor is in this state as long as it packs.
PACKING = "freeze"
BUSY = "busy"
PACKING_JOBS = {"backup_manager_full_backup", "backup_manager_partial_backup"}


async def supervisor_state(hass: HomeAssistant) -> str | None:
    """Return what Supervisor is doing, such as `running` or, while it packs a backup, `freeze`.
    `busy` if its answer takes too long, None if it is not there, or refuses while it starts or
    stops.
    """
    from aiohasupervisor.exceptions import SupervisorTimeoutError  # noqa: PLC0415  (see above)
    from homeassistant.components.hassio import (  # noqa: PLC0415  (see above)
        get_supervisor_client,
    )

    try:
        return str((await get_supervisor_client(hass).info()).state)
    except SupervisorTimeoutError:
        return BUSY
    except Exception as err:  # noqa: BLE001  (its client has errors of its own)
        _LOGGER.debug("Supervisor does not answer: %s", err)
        return None


async def has_made_backups(hass: HomeAssistant) -> bool:
    """Tell whether Supervisor makes a backup, or has made one since it started: it remembers. True
    if it does not answer.
    """
    from homeassistant.components.hassio import (  # noqa: PLC0415  (see above)
        get_supervisor_client,
    )

    try:
        jobs = (await get_supervisor_client(hass).jobs.info()).jobs
    except Exception as err:  # noqa: BLE001  (its client has errors of its own)
        _LOGGER.debug("Supervisor does not tell its jobs: %s", err)
        return True
    return any(job.name in PACKING_JOBS for job in jobs)


async def supervisor_agents(hass: HomeAssistant) -> list[BackupAgent]:
    """Return Supervisor's locations of backups. Raises the errors of Supervisor's client.

    Home Assistant asks for them once, when it starts. If Supervisor is away then, it does not know
    them until it starts again, or until a network share is connected.
    """
    integration = await async_get_integration(hass, SUPERVISOR_DOMAIN)
    platform = await integration.async_get_platform("backup")
    return [*await platform.async_get_backup_agents(hass)]


def state_told_by(event: object) -> str | None:
    """Return Supervisor's state if it is what an event of Supervisor tells."""
    match event:
        case {"event": "supervisor_update", "update_key": "info", "data": {"state": str(state)}}:
            return state
        case _:
            return None


def job_ended_by(event: object) -> str | None:
    """Return the name of the job if its end is what an event of Supervisor tells."""
    match event:
        case {"event": "job", "data": {"name": str(name), "done": True}}:
            return name
        case _:
            return None
