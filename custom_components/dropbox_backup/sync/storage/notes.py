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
    """When something last happened, or began."""

    last_attempt: datetime | None = None
    last_check: datetime | None = None
    last_upload: datetime | None = None
    # When bytes of an upload were last sent.
    last_moved: datetime | None = None
    # When bytes were first sent after the last upload had arrived.
    moving_since: datetime | None = None
    # When the first of the failing checks was.
    failing_since: datetime | None = None
    # When the integration was set up.
    watching_since: datetime | None = None

    def note_moved(self, now: datetime) -> None:
        """Take note that bytes of an upload are being sent."""
        self.last_moved = now
        begun, arrived = self.moving_since, self.last_upload
        if begun is None or (arrived is not None and arrived >= begun):
            self.moving_since = now


@dataclass(frozen=True, slots=True)
class Commit:
    """A file that we were about to make.

    Written down before Dropbox is asked to make it. Whatever is found under that name with this
    size and time is our own work, even if its content is wrong.
    """

    name: str
    # What it should be.
    content_hash: str
    size: int
    # In whole seconds.
    modified: datetime
    # When this was written down.
    noted: datetime
    # The backup was deleted while it was being uploaded.
    unwanted: bool = False


@dataclass(slots=True)
class Notes:
    """Everything the journal holds."""

    results: Results = field(default_factory=Results)
    # The content hash of what this Home Assistant uploaded, or was about to: a file with that
    # content is ours, and is what was sent.
    uploaded: dict[BackupId, str] = field(default_factory=dict)
    # Backups that were deleted from Dropbox on purpose while a local copy still existed.
    dismissed: set[BackupId] = field(default_factory=set)
    # Open upload sessions.
    sessions: dict[BackupId, UploadSession] = field(default_factory=dict)
    # Where the keys come from that backups are encrypted with on their way.
    key_root: Root = field(default_factory=Root)
    # Backups uploaded, about to be, or compared since old ones were last deleted. As many old ones
    # may be deleted without asking.
    newly_verified: set[BackupId] = field(default_factory=set)
    # Deletions that were decided and have yet to be carried out.
    approved: Answer | None = None
    # Backups that a person chose to keep when asked about their deletion.
    declined: Answer | None = None
    # Files that we were about to make, until it is known what became of them.
    commits: dict[BackupId, Commit] = field(default_factory=dict)
    # What Home Assistant made for Dropbox and could not upload, until a newer backup arrives.
    missed: Missed | None = None
    # What Home Assistant is uploading itself. If it is killed meanwhile, only this note tells.
    handed_out: dict[BackupId, Missed] = field(default_factory=dict)
    # The backup folder has existed before, so its absence is news.
    folder_seen: bool = False
    # It vanished, and the user has not confirmed that they know.
    folder_was_missing: bool = False
    # The user has paused uploads.
    paused: bool = False
    # When local backups were first seen, or uploaded, whose own date is later.
    first_seen: dict[BackupId, datetime] = field(default_factory=dict)
    # Backups that a person asked for and that have yet to be uploaded.
    wanted: set[BackupId] = field(default_factory=set)
    # A person asked for all others as well.
    everything_wanted: bool = False
    # A person asked for those made since then, and it is not known yet which these are.
    wanted_since: datetime | None = None
    # Effects of Home Assistant's own settings that the user has accepted.
    acknowledged: set[str] = field(default_factory=set)
    # Backups that Home Assistant handed out although there is a key, and nobody could tell whether
    # they are encrypted.
    unexamined: set[BackupId] = field(default_factory=set)
    # Where backups go: suggested if the account is removed and added again.
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
        `known`: what is in Dropbox, or will be uploaded from here; `going_on`: what is being
        uploaded now. What somebody deleted is not missed.
        """
        known = known | self.dismissed
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
