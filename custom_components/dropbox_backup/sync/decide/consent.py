"""Which deletions need a person's consent. Pure.

Backups that were newly verified in Dropbox pay for as many old ones, and a few more may go. What
goes beyond that is somebody's decision: the cause may be a new rule, another folder, files that
were moved in, or notes that were lost.
"""

from collections.abc import Iterable, Set as AbstractSet
from dataclasses import dataclass

from .models import RemoteBackup, RemoteFile

# So many deletions need neither a newly verified backup nor consent.
_FREE = 3

type Revision = tuple[str, str]
"""Name of a file in the backup folder, and Dropbox's id of one content of it."""


def revision_of(file: RemoteFile) -> Revision:
    """Return what an answer is bound to."""
    return file.name, file.rev


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided about deletions: it holds for these revisions, and only for the number of
    backups to keep and the folder for which it was given.
    """

    keep: int
    folder: str
    revisions: frozenset[Revision] = frozenset()

    def on_same_terms(self, other: Answer) -> bool:
        """Tell whether both are about the same rules and the same folder."""
        return (self.keep, self.folder) == (other.keep, other.folder)

    def joined_to(self, earlier: Answer | None) -> Answer:
        """Return this answer together with an earlier one on the same terms."""
        if earlier is None or not self.on_same_terms(earlier):
            return self
        return Answer(self.keep, self.folder, self.revisions | earlier.revisions)


@dataclass(frozen=True, slots=True)
class Decision:
    """What may be deleted, and what waits for consent; both newest first."""

    approved: tuple[RemoteBackup, ...]
    unconfirmed: tuple[RemoteBackup, ...]


def decide(
    to_delete: Iterable[RemoteBackup],
    *,
    newly_verified: int,
    approved: AbstractSet[Revision],
    once_declined: AbstractSet[Revision],
) -> Decision:
    """Decide about what the rules want to delete.

    `newly_verified`: how many were verified since the last pruning. `approved`: what was decided
    already. `once_declined`: what a person chose to keep, under other rules perhaps: it never goes
    unasked.
    """
    to_delete = tuple(to_delete)
    undecided = [one for one in to_delete if revision_of(one.file) not in approved]
    many = len(undecided) > _FREE + newly_verified
    if not many and not any(revision_of(one.file) in once_declined for one in undecided):
        return Decision(to_delete, ())
    return Decision(
        tuple(one for one in to_delete if revision_of(one.file) in approved), tuple(undecided)
    )
