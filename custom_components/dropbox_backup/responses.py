"""Backups and plans as plain data, for the responses of actions and for diagnostics."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType, JsonValueType

from .sync.decide.models import LocalBackup, RemoteBackup, date_of
from .sync.decide.plan import Plan, Skipped
from .sync.decide.retention import Verdict
from .sync.engine import Engine
from .sync.report.alarm import size_text


def remote_backup(one: RemoteBackup, engine: Engine) -> JsonObjectType:
    """Return everything that is known of a backup in Dropbox. `size` in bytes."""
    backup = one.backup
    return {
        **_named(backup),
        **_sized(one.file.size),
        "path": engine.path_of(one.file.name),
        "content_hash": one.file.content_hash,
        "uploaded": _local_time(one.file.uploaded).isoformat(),
        "uploaded_text": date_text(one.file.uploaded),
        "verified": one.verified is not None,
        "verified_at": _local_time(one.verified).isoformat() if one.verified else None,
        "encrypted": one.protection,
        "of_this_home_assistant": one.owner == engine.state.instance_id,
        "automatic": backup.extra_metadata.get("with_automatic_settings") is True,
        "homeassistant_version": backup.homeassistant_version,
        "database_included": backup.database_included,
        "folders": [folder.value for folder in backup.folders],
        "addons": [addon.name or addon.slug for addon in backup.addons],
        "bad_copies": [
            {
                "path": engine.path_of(copy.file.name),
                "size": copy.file.size,
                "why": copy.why.value,
            }
            for copy in one.bad_copies
        ],
    }


def retention(
    verdicts: Iterable[Verdict], deleted: Collection[RemoteBackup]
) -> dict[str, JsonValueType]:
    """Return what is kept and what is deleted, each with the reason."""
    files = {(one.file.name, one.file.rev) for one in deleted}
    return {
        "keep": [verdict(one) for one in verdicts if one.keep],
        "delete": [
            verdict(one) for one in verdicts if (one.backup.file.name, one.backup.file.rev) in files
        ],
    }


def verdict(one: Verdict) -> JsonObjectType:
    """Return what retention says of a backup in Dropbox."""
    return {
        **_named(one.backup.backup),
        **_sized(one.backup.file.size),
        "reason": one.reason,
    }


def uploads(plan: Plan) -> JsonObjectType:
    """Return what of the local backups would be uploaded, and why the others would not."""
    return {
        "upload": [_local(one) for one in plan.upload],
        "skipped": [_skipped(one) for one in (*plan.conflicts, *plan.skipped)],
    }


def date_text(date: datetime) -> str:
    """Return a date as people read it, in Home Assistant's time zone."""
    return _local_time(date).strftime("%Y-%m-%d %H:%M")


def _local_time(date: datetime) -> datetime:
    with suppress(OverflowError):  # whatever an archive says
        return dt_util.as_local(date)
    return date


def _sized(size: int) -> JsonObjectType:
    return {"size": size, "size_text": size_text(size)}


def _local(one: LocalBackup) -> JsonObjectType:
    return {**_named(one.backup), **_sized(one.backup.size)}


def _skipped(one: Skipped) -> JsonObjectType:
    return {**_local(one.local), "reason": one.reason}


def _named(backup: AgentBackup) -> JsonObjectType:
    return {
        "backup_id": backup.backup_id,
        "name": backup.name,
        "date": _local_time(date_of(backup)).isoformat(),
        "date_text": date_text(date_of(backup)),
    }
