"""Backups and plans as plain data, for the responses of actions and for diagnostics."""

from collections.abc import Collection, Iterable

from homeassistant.components.backup import AgentBackup
from homeassistant.util.json import JsonObjectType, JsonValueType

from .sync.models import LocalBackup, RemoteBackup, date_of
from .sync.plan import Plan, Skipped
from .sync.reconciler import Reconciler
from .sync.retention import Verdict


def remote_backup(one: RemoteBackup, reconciler: Reconciler) -> JsonObjectType:
    """Return everything that is known of a backup in Dropbox. `size` in bytes."""
    backup = one.backup
    return {
        **_named(backup),
        "size": one.file.size,
        "path": reconciler.folder.path_of(one.file.name),
        "content_hash": one.file.content_hash,
        "uploaded": one.file.uploaded.isoformat(),
        "verified": one.verified is not None,
        "verified_at": one.verified.isoformat() if one.verified else None,
        "encrypted": one.protection,
        "pinned": one.pinned,
        "of_this_home_assistant": one.owner == reconciler.state.instance_id,
        "automatic": backup.extra_metadata.get("with_automatic_settings") is True,
        "homeassistant_version": backup.homeassistant_version,
        "database_included": backup.database_included,
        "folders": [folder.value for folder in backup.folders],
        "addons": [addon.name or addon.slug for addon in backup.addons],
        "bad_copies": [
            {
                "path": reconciler.folder.path_of(copy.file.name),
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
    return {**_named(one.backup.backup), "size": one.backup.file.size, "reason": one.reason}


def uploads(plan: Plan) -> JsonObjectType:
    """Return what of the local backups would be uploaded, and why the others would not."""
    return {
        "upload": [_local(one) for one in plan.upload],
        "skipped": [_skipped(one) for one in (*plan.conflicts, *plan.skipped)],
    }


def _local(one: LocalBackup) -> JsonObjectType:
    return {**_named(one.backup), "size": one.backup.size}


def _skipped(one: Skipped) -> JsonObjectType:
    return {**_local(one.local), "reason": one.reason}


def _named(backup: AgentBackup) -> JsonObjectType:
    return {
        "backup_id": backup.backup_id,
        "name": backup.name,
        "date": date_of(backup).isoformat(),
    }
