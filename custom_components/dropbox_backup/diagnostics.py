"""What a bug report needs. Everything is picked by hand: what is not named here can't leak."""

from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_TOKEN
from homeassistant.core import HomeAssistant

from . import responses
from .const import CONF_FOLDER
from .coordinator import DropboxBackupConfigEntry
from .sync.engine import Engine
from .sync.report.state import Problem, State
from .texts import Texts, texts_of


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: DropboxBackupConfigEntry
) -> dict[str, Any]:  # Any: JSON
    """Return the options and the worker's state: no token, account id, e-mail address or title."""
    token = entry.data[CONF_TOKEN]
    about_entry = {
        "state": entry.state.value,
        "folder": entry.data[CONF_FOLDER],
        "options": dict(entry.options),
        "scopes": sorted(token.get("scope", "").split()),
        "token_expires_at": token.get("expires_at"),
    }
    if entry.state is not ConfigEntryState.LOADED:
        return {"entry": about_entry}
    engine, texts = entry.runtime_data.engine, texts_of(hass)
    return {
        "entry": about_entry,
        "state": _state(engine.state),
        "manners": _limits(engine),
        "plan": responses.uploads(engine.state.plan, texts) if engine.state.plan else None,
        "backups": await _backups(engine, texts),
    }


def _state(state: State) -> dict[str, Any]:  # Any: JSON
    problem, progress, space = state.problem, state.progress, state.space
    alarm = state.alarm
    return {
        "status": state.status.value,
        "problem": _problem(problem),
        "alarm": _problem(alarm),
        "refused": {one.local.backup.backup_id: str(one.reason) for one in state.refused},
        "unconfirmed": [one.backup.backup_id for one in state.unconfirmed],
        "folder_was_missing": state.folder_was_missing,
        "waiting": [one.backup.backup_id for one in state.waiting],
        "progress": {"sent": progress.sent, "size": progress.size} if progress else None,
        "space": {"used": space.used, "total": space.total} if space else None,
        "backups": len(state.backups),
        "backups_size": sum(one.file.size for one in state.backups),
        "last_attempt": state.last_attempt,
        "last_check": state.last_check,
        "last_upload": state.last_upload,
        "next_check": state.next_check,
    }


def _problem(problem: Problem | None) -> dict[str, Any] | None:  # Any: JSON
    if problem is None:
        return None
    return {"kind": problem.kind.value, "detail": [str(reason) for reason in problem.reasons]}


def _limits(engine: Engine) -> dict[str, Any]:  # Any: JSON
    """Return the limits on uploads that are in force now, which may differ from stored options."""
    policy = engine.policy
    return {
        "hold": engine.state.hold,
        "opens_at": engine.opens_at,
        "hours": str(policy.hours) if policy.hours else None,
        "bytes_per_second": policy.bytes_per_second,
        "chunks_at_once": policy.chunks_at_once,
    }


async def _backups(engine: Engine, texts: Texts) -> list[dict[str, Any]]:  # Any: JSON
    return [
        {
            **responses.remote_backup(one.backup, engine, texts),
            "keep": one.keep,
            "reason": str(one.reason),
        }
        for one in await engine.judge()
    ]
