"""Which remote backups to keep, and why. Pure."""

from collections.abc import Iterable, Set as AbstractSet
from dataclasses import dataclass

from ...codes import Code, Reason
from .consent import Revision, revision_of
from .file_names import is_our_name
from .models import RemoteBackup, newest_first


class Rule(Code):
    """Why a backup is kept, or deleted."""

    NOT_KNOWN_AS_OURS = "not_known_as_ours"
    OF_ANOTHER = "of_another_home_assistant"
    PINNED = "pinned"
    OWN_COPY = "own_copy"
    DECLINED = "chosen_to_keep"
    ALL_KEPT = "all_kept"
    NEWEST = "one_of_the_newest"
    UNVERIFIED = "not_verified"
    SURPLUS = "older_than_the_newest"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What retention says of one backup, and why."""

    backup: RemoteBackup
    keep: bool
    reason: Reason


def judge(
    backups: Iterable[RemoteBackup],
    keep: int,
    instance_id: str,
    declined: AbstractSet[Revision] = frozenset(),
) -> tuple[Verdict, ...]:
    """Judge every backup, newest first.

    Deleted is only what is proven to be of this Home Assistant, is called as we called it, is not
    pinned, and is older than `keep` verified backups of which the same is true; so the newest good
    backup always stays. `keep` 0 keeps everything. A person was asked about the deletion of the
    `declined`, and chose to keep them.
    """
    verdicts = []
    newer_verified = 0
    for backup in newest_first(backups):
        verdict = _judge_one(backup, keep, instance_id, newer_verified)
        if not verdict.keep and revision_of(backup.file) in declined:
            verdict = Verdict(backup, keep=True, reason=Reason(Rule.DECLINED))
        verdicts.append(verdict)
        if counts(backup, instance_id):
            newer_verified += 1
    return tuple(verdicts)


def counts(backup: RemoteBackup, instance_id: str) -> bool:
    """Tell whether a backup takes one of the places: pinned ones, and a person's own copies, are
    kept on top of them.
    """
    return (
        backup.owner == instance_id
        and backup.verified is not None
        and not backup.pinned
        and is_our_name(backup.file.name, backup.backup)
    )


def _judge_one(backup: RemoteBackup, keep: int, instance_id: str, newer_verified: int) -> Verdict:
    if backup.owner is None:
        return Verdict(backup, keep=True, reason=Reason(Rule.NOT_KNOWN_AS_OURS))
    if backup.owner != instance_id:
        return Verdict(backup, keep=True, reason=Reason(Rule.OF_ANOTHER))
    if backup.pinned:
        return Verdict(backup, keep=True, reason=Reason(Rule.PINNED))
    if not is_our_name(backup.file.name, backup.backup):
        return Verdict(backup, keep=True, reason=Reason(Rule.OWN_COPY))
    if keep == 0:
        return Verdict(backup, keep=True, reason=Reason(Rule.ALL_KEPT))
    if newer_verified >= keep:
        return Verdict(backup, keep=False, reason=Reason.of(Rule.SURPLUS, keep=keep))
    if backup.verified is None:
        return Verdict(backup, keep=True, reason=Reason(Rule.UNVERIFIED))
    return Verdict(backup, keep=True, reason=Reason.of(Rule.NEWEST, keep=keep))
