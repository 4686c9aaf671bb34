"""What the journal holds of one account, as types. Pure."""

from collections.abc import Iterable, Set as AbstractSet
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from ...dropbox_api.upload.upload import UploadSession
from ..archive.encryption import Root
from ..decide.consent import Answer
from ..decide.models import BackupId, LocalBackup, Missed, date_of


@dataclass(slots=True)
class Results:
    """When what happened last, or began: `failing_since` the first of the checks that failed,
    `last_moved` the last time that bytes of an upload were sent, `moving_since` the first time
    since the last upload.
    """

    last_attempt: datetime | None = None
    last_check: datetime | None = None
    last_upload: datetime | None = None
    last_moved: datetime | None = None
    moving_since: datetime | None = None
    failing_since: datetime | None = None
    watching_since: datetime | None = None

    def note_moved(self, now: datetime) -> None:
        """Take note that bytes of an upload are being sent."""
        self.last_moved = now
        begun, arrived = self.moving_since, self.last_upload
        if begun is None or (arrived is not None and arrived >= begun):
            self.moving_since = now


@dataclass(frozen=True, slots=True)
class Commit:
    """A file that was about to be made, `noted` before Dropbox was asked for it: what lies under
    that name and has the size and the time that we gave it is our own work, whatever its content.

    `content_hash` is what it should be, `modified` in whole seconds. `unwanted`: the backup was
    deleted while it was on its way.
    """

    name: str
    content_hash: str
    size: int
    modified: datetime
    noted: datetime
    unwanted: bool = False


@dataclass(slots=True)
class Notes:
    """Everything the journal holds.

    `uploaded`: content hash of what this Home Assistant uploaded, or was about to make a file, by
    backup id: a file with that content is ours, and is what was sent.
    `dismissed`: backups that were deleted from Dropbox on purpose while a local one was still
    there.
    `sessions`: open upload sessions, by backup id.
    `key_root`: where the keys of those come from that are encrypted on the way.
    `newly_verified`: what was uploaded, or was about to be, or compared, since old backups were
    deleted last: as many of these may go without asking.
    `approved`: deletions that were decided and are still to be carried out.
    `declined`: what a person chose to keep when they were asked about its deletion.
    `commits`: files that were about to be made, until it is known what became of them.
    `handed_out`: what Home Assistant is uploading there itself: if that ends unheard, nobody else
    knows of it any more.
    `folder_seen`: the backup folder was there once, so that its absence is news.
    `missed`: what Home Assistant made for Dropbox and could not be uploaded, until a newer one is.
    `folder_was_missing`: it vanished, and the user has not said yet that they know.
    `paused`: the user has paused the uploads.
    `first_seen`: when local backups were seen first, or uploaded, whose own date was later.
    `wanted`: backups that a person asked for and that are still to be uploaded.
    `everything_wanted`: so are all others. `wanted_since`: so are those made since then, of which
    it is not known yet which they are.
    `acknowledged`: which of Home Assistant's settings a person leaves as they are though they were
    told what these do to backups in Dropbox.
    `unexamined`: backups that Home Assistant handed out although there is a key, and of which
    nobody could tell whether they are encrypted.
    `folder`: where the backups go, to suggest it if the account is removed and added again.
    """

    results: Results = field(default_factory=Results)
    uploaded: dict[BackupId, str] = field(default_factory=dict)
    dismissed: set[BackupId] = field(default_factory=set)
    sessions: dict[BackupId, UploadSession] = field(default_factory=dict)
    key_root: Root = field(default_factory=Root)
    newly_verified: set[BackupId] = field(default_factory=set)
    approved: Answer | None = None
    declined: Answer | None = None
    commits: dict[BackupId, Commit] = field(default_factory=dict)
    missed: Missed | None = None
    handed_out: dict[BackupId, Missed] = field(default_factory=dict)
    folder_seen: bool = False
    folder_was_missing: bool = False
    paused: bool = False
    first_seen: dict[BackupId, datetime] = field(default_factory=dict)
    wanted: set[BackupId] = field(default_factory=set)
    everything_wanted: bool = False
    wanted_since: datetime | None = None
    acknowledged: set[str] = field(default_factory=set)
    unexamined: set[BackupId] = field(default_factory=set)
    folder: str | None = None

    def is_wanted(self, backup_id: BackupId) -> bool:
        """Tell whether a person asked for a backup, by name or with everything else."""
        return self.everything_wanted or backup_id in self.wanted

    def put_aside(self) -> None:
        """Forget what is over when the account is removed; what was done with its backups stays."""
        self.results = Results()
        self.missed = None
        self.handed_out.clear()
        self.folder_seen = self.folder_was_missing = False
        self.paused = False
        self.newly_verified.clear()
        self.approved = None
        self.wanted.clear()
        self.acknowledged.clear()
        self.everything_wanted = False
        self.wanted_since = None

    def dated(self, local: Iterable[LocalBackup], now: datetime) -> tuple[LocalBackup, ...]:
        """Return the local backups so that none counts as made in the future, but as when it was
        seen first, and what was in Dropbox as it counted there: what changed sides would otherwise
        be the newest, uploaded, and deleted again, for ever.
        """
        return tuple(self._dated(one, now) for one in local)

    def _dated(self, one: LocalBackup, now: datetime) -> LocalBackup:
        backup_id = one.backup_id
        if backup_id not in self.first_seen and date_of(one.backup) <= now:
            return one
        # Now may be wrong as well, before and after.
        seen = self.first_seen.setdefault(backup_id, now)
        return replace(one, known_since=min(seen, now))

    def take_back_what_is_to_come(self, now: datetime) -> None:
        """Let nothing have happened in the future: a clock that was wrong once would silence an
        alarm for as long.
        """
        results = self.results
        for item in fields(Results):
            when = getattr(results, item.name)
            if when is not None and when > now:
                setattr(results, item.name, now)
        if self.missed is not None and self.missed.made > now:
            self.missed = replace(self.missed, made=now)

    def miss_what_is_nowhere(
        self, known: AbstractSet[BackupId], going_on: AbstractSet[BackupId]
    ) -> None:
        """Take note of what Home Assistant was uploading when it ended, and what is lost by that.
        `known`: what is here or in Dropbox; `going_on`: what is being uploaded now.
        """
        for backup_id in self.handed_out.keys() - going_on:
            one = self.handed_out.pop(backup_id)
            if backup_id not in known and (self.missed is None or self.missed.made < one.made):
                self.missed = one

    def prune(self, here: AbstractSet[BackupId], there: AbstractSet[BackupId]) -> None:
        """Forget what can't matter any more: what is neither here nor in Dropbox, and what is being
        done with what is not here, or is in Dropbox by now.

        What was deleted on purpose is never forgotten: it may lie on a network share that is away,
        and it would come back to Dropbox together with it.
        """
        for backup_id in self.uploaded.keys() - here - there:
            del self.uploaded[backup_id]
        self.newly_verified &= here | there
        self.unexamined &= there | self.commits.keys()
        for backup_id in self.first_seen.keys() - here:
            del self.first_seen[backup_id]
        for backup_id in self.sessions.keys() - (here - there):
            del self.sessions[backup_id]
