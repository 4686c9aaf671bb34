"""What one Home Assistant may do to a folder, kept apart from everything that it knows itself.

It is judged by contents: what a file is worth follows from its bytes, and from who put it there.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.decide.models import date_of
from custom_components.dropbox_backup.sync.remote.catalog import parse_catalog
from custom_components.dropbox_backup.sync.report.events import BackupEvent, EventKind
from tests.faults.storm.dropbox import StormyDropbox, caller
from tests.support.memory_dropbox import StoredFile
from tests.support.memory_home import Made

# So many deletions are carried out without asking, beside those that new backups pay for.
_FEW = 3
_LISTINGS = {"list_folder", "list_folder_continue"}
_SENDS_ARCHIVES = {
    "upload",
    "upload_session_append",
    "upload_session_finish",
    "upload_session_finish_batch",
}
# What says that a file is there, or makes it.
_PROOFS = _LISTINGS | _SENDS_ARCHIVES | {"get_metadata"}
_PROOFS_KEPT = 8

type Rev = str


@dataclass(slots=True)
class Truth:
    """What is known to nobody in the house.

    `good`: what was made, and by which Home Assistant, by content hash. `spoilt`: contents that are
    what is left of a good one. `personal`: revisions that a person gave a name of their own.
    `broken`: which rules were, in words.
    """

    good: dict[str, tuple[Made, str]] = field(default_factory=dict)
    spoilt: dict[str, Made] = field(default_factory=dict)
    personal: set[Rev] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


async def _nothing() -> None:
    """Let nobody act."""


@dataclass(slots=True)
class Books:
    """The books about the Home Assistant `instance_id` that keeps `keep` backups. `others` act
    before and after each of its requests.

    `asked`: backups whose deletion a person asked for, `dismissed` those of which that was done.
    `consented`, `declined`: what a person said of revisions when they were asked. `commits`: the
    revisions that it made, `damaged` those of them that are not what was sent. `damage_next`: the
    next one is to be.
    """

    instance_id: str
    keep: int
    truth: Truth
    dropbox: StormyDropbox
    others: Callable[[], Awaitable[None]] = _nothing
    asked: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)
    consented: set[Rev] = field(default_factory=set)
    declined: set[Rev] = field(default_factory=set)
    commits: set[Rev] = field(default_factory=set)
    damaged: set[Rev] = field(default_factory=set)
    damage_next: bool = False
    _paid: int = 0  # verified since the last pruning
    _unasked: int = 0  # deleted in this one without anybody's word
    _seen: dict[str, dict[str, StoredFile]] = field(default_factory=dict)
    _sent_since: set[str] = field(default_factory=set)
    _proofs: dict[str, deque[frozenset[str]]] = field(default_factory=dict)

    # Requests

    async def moment(self) -> None:
        """Let others act."""
        await self.others()

    def answered(self, route: str) -> None:
        """Note what was to be known at that moment."""
        who = caller.get()
        if route in _LISTINGS:
            self._seen[who] = dict(self.dropbox.files)
            self._sent_since.discard(who)
        elif route in _SENDS_ARCHIVES:
            self._sent_since.add(who)
        if route in _PROOFS:
            there = frozenset(file.content_hash for file in self.dropbox.files.values())
            self._proofs.setdefault(who, deque(maxlen=_PROOFS_KEPT)).append(there)

    def stores(self, data: bytes, commit: UploadCommit) -> bytes:
        """Return what Dropbox makes of what was sent."""
        if not self.damage_next or not commit.path.endswith(".tar"):
            return data
        self.damage_next = False
        return data[:-1] + bytes([data[-1] ^ 0xFF])

    def committed(self, file: StoredFile) -> None:
        """Note a file that was made."""
        if not file.name.endswith(".tar"):
            return
        self.commits.add(file.rev)
        if file.content_hash in self.truth.good:
            self._verified_one()
        else:
            self.damaged.add(file.rev)

    # What was said

    def heard(self, event: BackupEvent) -> None:
        """Hear what the integration tells."""
        if event.kind is EventKind.VERIFIED:
            self._verified_one()

    def _verified_one(self) -> None:
        if self._unasked:
            self.pruned(asks=False)
        self._paid += 1

    def pruned(self, *, asks: bool) -> None:
        """Begin to count anew: a pruning is over. `asks`: it waits for somebody's word."""
        if self._unasked or not asks:
            self._paid = 0
        self._unasked = 0

    def told_success(self, made: Made, what: str) -> None:
        """Check rule 4: somebody relies on it from now on."""
        proofs = self._proofs.get(caller.get(), ())
        now = {file.content_hash for file in self.dropbox.files.values()}
        if made.content_hash not in now and not any(made.content_hash in one for one in proofs):
            self._break(f"{what} of {made.backup.name} was told done, and it was not there")

    def begin_to_prove(self) -> None:
        """Count no answer from before."""
        self._proofs.pop(caller.get(), None)

    # Deletions

    def deletes(self, file: StoredFile) -> None:
        """Check rules 1 to 3."""
        if file.rev in self.damaged:
            return
        made = self._made_of(file)
        if made is None:
            self._break(f"{file.name} is no backup of this house, and was deleted")
            return
        if self._is_pinned(file):
            self._break(f"{file.name} was pinned, and deleted")
        if made.backup.backup_id in self.asked:
            return
        if file.rev in self.truth.personal:
            self._break(f"{file.name} is somebody's own copy, and was deleted")
        if caller.get() in self._sent_since:
            self._break(f"{file.name} was judged by a listing from before an upload")
        self._check_consent(file)
        seen = self._seen.get(caller.get(), {})
        enough = max(self._newer(made, file, seen), self._newer(made, file, self.dropbox.files))
        if self.keep == 0 or enough < self.keep:
            self._break(f"{file.name} was deleted with {enough} newer good ones")

    def _check_consent(self, file: StoredFile) -> None:
        if file.rev in self.declined:
            self._break(f"{file.name} was to be kept, and deleted")
        if file.rev not in self.consented:
            self._unasked += 1
        if self._unasked > _FEW + self._paid:
            self._break(f"{self._unasked} were deleted unasked, {self._paid} paid for")

    def _newer(self, made: Made, file: StoredFile, files: Mapping[str, StoredFile]) -> int:
        own = counts_as_made(made, file.uploaded)
        return self.newer_than(own, files.values(), but=made.backup.backup_id)

    def newer_than(self, when: datetime, files: Iterable[StoredFile], *, but: str) -> int:
        """Return how many good backups of ours in files count as made then or later."""
        newer = set()
        for other in files:
            made, owner = self.truth.good.get(other.content_hash, (None, None))
            if made is None or owner != self.instance_id or other.rev in self.truth.personal:
                continue
            if self._is_pinned(other) or made.backup.backup_id == but:
                continue
            if counts_as_made(made, other.uploaded) >= when:
                newer.add(made.backup.backup_id)
        return len(newer)

    def _made_of(self, file: StoredFile) -> Made | None:
        """Return of which backup of ours a file has the content, or what is left of it."""
        if (spoilt := self.truth.spoilt.get(file.content_hash)) is not None:
            return spoilt
        made, owner = self.truth.good.get(file.content_hash, (None, None))
        # What another made is deleted by a person only.
        if owner != self.instance_id and made and made.backup.backup_id not in self.asked:
            return None
        return made

    def _is_pinned(self, file: StoredFile) -> bool:
        catalog = self.dropbox.files.get(CATALOG_NAME)
        entry: Any = parse_catalog(catalog.data).get(file.name) if catalog else None
        return bool(entry and entry.pinned and entry.content_hash == file.content_hash)

    def _break(self, rule: str) -> None:
        self.truth.broken.append(f"{self.instance_id}: {rule}")


def counts_as_made(made: Made, uploaded: datetime) -> datetime:
    """Return the archive's date, unless Dropbox had it before, which keeps whole seconds."""
    return min(date_of(made.backup), uploaded + timedelta(seconds=1))
