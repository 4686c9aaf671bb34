"""Backups and plans as plain data, for the responses of actions and for diagnostics."""

from collections.abc import Collection, Iterable

from homeassistant.components.backup import AgentBackup
from homeassistant.util.json import JsonObjectType, JsonValueType

from .codes import Reason
from .sync.decide.models import LocalBackup, RemoteBackup, date_of
from .sync.decide.plan import Plan, Skipped
from .sync.decide.retention import Verdict
from .sync.engine import Engine
from .texts import Texts, in_time_zone


def remote_backup(one: RemoteBackup, engine: Engine, texts: Texts) -> JsonObjectType:
    """Return everything that is known of a backup in Dropbox. `size` in bytes."""
    backup = one.backup
    return {
        **_named(backup, texts),
        **_sized(one.file.size, texts),
        "path": engine.path_of(one.file.name),
        "content_hash": one.file.content_hash,
        "uploaded": in_time_zone(one.file.uploaded).isoformat(),
        "uploaded_text": texts.date(one.file.uploaded),
        "verified": one.verified is not None,
        "verified_at": in_time_zone(one.verified).isoformat() if one.verified else None,
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
    verdicts: Iterable[Verdict], deleted: Collection[RemoteBackup], texts: Texts
) -> dict[str, JsonValueType]:
    """Return what is kept and what is deleted, each with the reason."""
    files = {(one.file.name, one.file.rev) for one in deleted}
    return {
        "keep": [verdict(one, texts) for one in verdicts if one.keep],
        "delete": [
            verdict(one, texts)
            for one in verdicts
            if (one.backup.file.name, one.backup.file.rev) in files
        ],
    }


def verdict(one: Verdict, texts: Texts) -> JsonObjectType:
    """Return what retention says of a backup in Dropbox."""
    return {
        **_named(one.backup.backup, texts),
        **_sized(one.backup.file.size, texts),
        **because(one.reason, texts),
    }


def uploads(plan: Plan, texts: Texts) -> JsonObjectType:
    """Return what of the local backups would be uploaded, and why the others would not."""
    return {
        "upload": [_local(one, texts) for one in plan.upload],
        "skipped": [_skipped(one, texts) for one in (*plan.conflicts, *plan.skipped)],
    }


def because(reason: Reason, texts: Texts, name: str = "reason") -> JsonObjectType:
    """Return a reason: a sentence for people, and a code for automations."""
    return {name: texts.of(reason), f"{name}_code": reason.code.value}


def _sized(size: int, texts: Texts) -> JsonObjectType:
    return {"size": size, "size_text": texts.size(size)}


def _local(one: LocalBackup, texts: Texts) -> JsonObjectType:
    return {**_named(one.backup, texts), **_sized(one.backup.size, texts)}


def _skipped(one: Skipped, texts: Texts) -> JsonObjectType:
    return {**_local(one.local, texts), **because(one.reason, texts)}


def _named(backup: AgentBackup, texts: Texts) -> JsonObjectType:
    return {
        "backup_id": backup.backup_id,
        "name": backup.name,
        "date": in_time_zone(date_of(backup)).isoformat(),
        "date_text": texts.date(date_of(backup)),
    }
