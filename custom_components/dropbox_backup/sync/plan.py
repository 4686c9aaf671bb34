"""What would happen now: local and remote backups and the policy make the plan. Pure."""

from collections.abc import Collection, Iterable, Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from .models import (
    BackupId,
    LocalBackup,
    Policy,
    RemoteBackup,
    RemoteFile,
    date_of,
    id_of,
    made_by,
)
from .retention import Verdict, judge


@dataclass(frozen=True, slots=True)
class Skipped:
    """A local backup that is not uploaded, and why."""

    local: LocalBackup
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to upload (newest first), what not, and what retention says.

    `conflicts` can't be uploaded, `skipped` are not to be. `verify` are in Dropbox already, but not
    proven to be what lies here: a restart came in between, or somebody else uploaded them.
    `verdicts` are about what is in Dropbox now, `expected_verdicts` about what will be there after
    the uploads.
    """

    upload: tuple[LocalBackup, ...]
    verify: tuple[LocalBackup, ...]
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Skipped, ...]
    verdicts: tuple[Verdict, ...]
    expected_verdicts: tuple[Verdict, ...]

    @property
    def delete(self) -> tuple[RemoteBackup, ...]:
        """What may be deleted now, oldest last."""
        return tuple(verdict.backup for verdict in self.verdicts if not verdict.keep)


def make_plan(
    local: Iterable[LocalBackup],
    remote: Collection[RemoteBackup],
    policy: Policy,
    instance_id: str,
    *,
    dismissed: AbstractSet[BackupId] = frozenset(),
    unproven: AbstractSet[BackupId] = frozenset(),
    wanted: AbstractSet[BackupId] = frozenset(),
) -> Plan:
    """Compute the plan.

    `dismissed` were deleted from Dropbox by the user and are not uploaded again. `unproven` could
    not be verified, so that they take the place of no other. `wanted` are uploaded in any case: a
    person asked for them.
    """
    in_dropbox = {id_of(backup.backup): backup for backup in remote}
    skipped: list[Skipped] = []
    conflicts: list[Skipped] = []
    candidates: list[LocalBackup] = []
    verify: list[LocalBackup] = []
    for one in sorted(local, key=lambda one: date_of(one.backup), reverse=True):
        backup_id = id_of(one.backup)
        if (there := in_dropbox.get(backup_id)) is not None:
            if not same_backup(one.backup, there.backup):
                conflicts.append(
                    Skipped(one, "another backup with the same id is in Dropbox already")
                )
            elif there.verified is None and there.file.size == one.backup.size:
                verify.append(one)
        elif backup_id in wanted:
            candidates.append(one)
        elif not policy.upload_automatically:
            skipped.append(Skipped(one, "new backups are not uploaded automatically"))
        elif backup_id in dismissed:
            skipped.append(Skipped(one, "it was deleted from Dropbox on purpose"))
        else:
            candidates.append(one)

    # What is going to be verified takes its place among the newest as well: an older one that is
    # uploaded on its account would be deleted at once.
    proven = {id_of(one.backup) for one in verify} - unproven
    there_then = [
        replace(one, verified=_SOON) if id_of(one.backup) in proven else one for one in remote
    ]
    expected = judge(
        [*there_then, *(_as_if_uploaded(one, instance_id) for one in candidates)],
        policy.keep,
        instance_id,
    )
    reasons = {id_of(verdict.backup.backup): verdict for verdict in expected}
    upload = []
    for one in candidates:
        verdict = reasons[id_of(one.backup)]
        if verdict.keep or id_of(one.backup) in wanted:
            upload.append(one)
        else:
            skipped.append(Skipped(one, f"it would be deleted at once: {verdict.reason}"))
    uploaded = {id_of(one.backup) for one in upload} | set(in_dropbox)
    return Plan(
        upload=tuple(upload),
        verify=tuple(verify),
        skipped=tuple(skipped),
        conflicts=tuple(conflicts),
        verdicts=judge(remote, policy.keep, instance_id),
        expected_verdicts=tuple(
            verdict for verdict in expected if id_of(verdict.backup.backup) in uploaded
        ),
    )


def same_backup(one: AgentBackup, other: AgentBackup) -> bool:
    """Tell whether two archives with the same id are the same backup, encrypted or not."""
    return date_of(one) == date_of(other)


def owner_of(backup: AgentBackup, instance_id: str) -> str:
    """Return whom an uploaded backup belongs to: who made it, or, when the archive does not say,
    who uploads it.
    """
    return made_by(backup) or instance_id


_SOON = datetime.max.replace(tzinfo=dt_util.UTC)


def _as_if_uploaded(local: LocalBackup, instance_id: str) -> RemoteBackup:
    backup = local.backup
    file = RemoteFile(
        name=backup.backup_id, rev="", size=backup.size, content_hash="", uploaded=_SOON
    )
    return replace(
        RemoteBackup(backup=backup, file=file, owner=owner_of(backup, instance_id)),
        verified=_SOON,
    )
