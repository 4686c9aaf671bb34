"""What would happen now: local and remote backups and the policy make the plan. Pure."""

from collections.abc import Collection, Iterable, Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ...codes import Code, Reason
from .consent import Revision
from .file_names import file_name
from .models import (
    DROPBOX_ROUNDS_BY,
    BackupId,
    LocalBackup,
    Policy,
    RemoteBackup,
    RemoteFile,
    Trouble,
    date_of,
)
from .ownership import owner_of
from .retention import Verdict, judge


class WhySkipped(Code):
    """Why a local backup is not to be uploaded."""

    DISMISSED = "deleted_on_purpose"
    NOT_AUTOMATIC = "not_automatic"
    SURPLUS = "would_be_deleted"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A local backup that is not uploaded, and why."""

    local: LocalBackup
    reason: Reason


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do now."""

    # In this order.
    upload: tuple[LocalBackup, ...]
    # In Dropbox already, but not proven to be the local backups: a restart interrupted that, or
    # somebody else uploaded them.
    verify: tuple[LocalBackup, ...]
    # Not to be uploaded.
    skipped: tuple[Skipped, ...]
    # Can't be uploaded.
    conflicts: tuple[Skipped, ...]
    # On what is in Dropbox now.
    verdicts: tuple[Verdict, ...]
    # On what will be there after the uploads.
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
    unlike: AbstractSet[BackupId] = frozenset(),
    wanted: AbstractSet[BackupId] = frozenset(),
    begun: AbstractSet[BackupId] = frozenset(),
    declined: AbstractSet[Revision] = frozenset(),
) -> Plan:
    """Compute the plan.

    A person chose to keep the `declined`, however old.
    `dismissed` were deleted from Dropbox by the user and are not uploaded again. `unproven` could
    not be verified, so that they take the place of no other; `unlike` were compared, and what is in
    Dropbox is not what lies here. `wanted` are uploaded in any case, and before all others: a
    person asked for them. `begun` come next, then the newest: if there is never time for a whole
    backup before the next one is made, what was begun today is done tomorrow.
    """
    in_dropbox = {backup.backup_id: backup for backup in remote}
    skipped: list[Skipped] = []
    conflicts: list[Skipped] = []
    candidates: list[LocalBackup] = []
    verify: list[LocalBackup] = []
    for one in sorted(local, key=lambda one: one.date, reverse=True):
        backup_id = one.backup_id
        there = in_dropbox.get(backup_id)
        if there is not None and there.verified is not None:
            if not same_backup(one.backup, there.backup):
                conflicts.append(Skipped(one, Reason(Trouble.SAME_ID)))
        elif there is not None and backup_id not in unlike and _may_be(one, there):
            verify.append(one)
        elif backup_id in wanted or (policy.upload_automatically and backup_id not in dismissed):
            candidates.append(one)
        else:
            automatic = policy.upload_automatically
            why = WhySkipped.DISMISSED if automatic else WhySkipped.NOT_AUTOMATIC
            skipped.append(Skipped(one, Reason(why)))

    # What is going to be verified takes its place among the newest as well: an older one that is
    # uploaded on its account would be deleted at once.
    proven = {one.backup_id for one in verify} - unproven
    verdicts = judge(remote, policy.keep, instance_id, declined)
    # Usually there is nothing to upload, and the verdicts are the same.
    expected = verdicts
    if proven or candidates:
        expected = judge(
            _there_then(remote, proven, candidates, instance_id), policy.keep, instance_id, declined
        )
    reasons = {verdict.backup.backup_id: verdict for verdict in expected}
    upload: list[LocalBackup] = []
    for one in candidates:
        verdict = reasons[one.backup_id]
        if verdict.keep or one.backup_id in wanted:
            upload.append(one)
        else:
            why_deleted = Reason.of(WhySkipped.SURPLUS, reason=verdict.reason)
            skipped.append(Skipped(one, why_deleted))
    if len(upload) < len(candidates):
        expected = judge(
            _there_then(remote, proven, upload, instance_id), policy.keep, instance_id, declined
        )
    return Plan(
        upload=_in_order(upload, wanted, begun),
        verify=tuple(verify),
        skipped=tuple(skipped),
        conflicts=tuple(conflicts),
        verdicts=verdicts,
        expected_verdicts=expected,
    )


def _there_then(
    remote: Iterable[RemoteBackup],
    proven: AbstractSet[BackupId],
    candidates: Collection[LocalBackup],
    instance_id: str,
) -> list[RemoteBackup]:
    """Return what will be in Dropbox if all candidates get there. A file that is now taken for one
    of them, and is something else, does not count any more then.
    """
    uploaded = {one.backup_id for one in candidates}
    there = [
        _as_if_verified(one) if one.backup_id in proven else one
        for one in remote
        if one.backup_id not in uploaded
    ]
    return [*there, *(_as_if_uploaded(one, instance_id) for one in candidates)]


def _in_order(
    backups: Iterable[LocalBackup], wanted: AbstractSet[BackupId], begun: AbstractSet[BackupId]
) -> tuple[LocalBackup, ...]:
    """Put first what a person waits for, then what was begun; `backups` are newest first."""

    def rank(one: LocalBackup) -> tuple[bool, bool]:
        return one.backup_id not in wanted, one.backup_id not in begun

    return tuple(sorted(backups, key=rank))


def _may_be(local: LocalBackup, there: RemoteBackup) -> bool:
    """Tell whether it is worth comparing a file in Dropbox with a local backup."""
    return there.file.size == local.backup.size and same_backup(local.backup, there.backup)


def same_backup(one: AgentBackup, other: AgentBackup) -> bool:
    """Tell whether two archives with the same id are the same backup, encrypted or not."""
    return one.date == other.date or date_of(one) == date_of(other)


_SOON = datetime.max.replace(tzinfo=dt_util.UTC)


def _as_if_verified(one: RemoteBackup) -> RemoteBackup:
    # `replace` takes several times as long, and there may be a thousand.
    return RemoteBackup(one.backup, one.file, **{**one.annotations, "verified": _SOON})


def _as_if_uploaded(local: LocalBackup, instance_id: str) -> RemoteBackup:
    backup = local.backup
    file = RemoteFile(
        name=file_name(backup),
        rev="",
        size=backup.size,
        content_hash="",
        uploaded=local.known_since - DROPBOX_ROUNDS_BY,
    )
    return RemoteBackup(backup, file, owner=owner_of(backup, instance_id), verified=_SOON)
