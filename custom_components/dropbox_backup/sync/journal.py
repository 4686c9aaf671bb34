"""What must survive a restart of Home Assistant, in one file of its storage per account."""

from collections.abc import Callable, Iterable, Set as AbstractSet
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util.hass_dict import HassKey
import voluptuous as vol

from .. import untrusted
from ..const import DOMAIN
from ..dropbox_api.upload import UploadSession
from ..untrusted import UntrustedError
from .consent import Answer, Revision
from .encryption import Root
from .models import BackupId, LocalBackup, Missed, date_of, id_of
from .storage import StorageFile

_SAVE_DELAY = 1.0
_JOURNALS: HassKey[dict[str, Journal]] = HassKey(f"{DOMAIN}_journals")


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
    folder_seen: bool = False
    folder_was_missing: bool = False
    paused: bool = False
    first_seen: dict[BackupId, datetime] = field(default_factory=dict)
    wanted: set[BackupId] = field(default_factory=set)
    everything_wanted: bool = False
    wanted_since: datetime | None = None
    acknowledged: set[str] = field(default_factory=set)
    folder: str | None = None

    def is_wanted(self, backup_id: BackupId) -> bool:
        """Tell whether a person asked for a backup, by name or with everything else."""
        return self.everything_wanted or backup_id in self.wanted

    def put_aside(self) -> None:
        """Forget what is over when the account is removed; what was done with its backups stays."""
        self.results = Results()
        self.missed = None
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
        backup_id = id_of(one.backup)
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

    def prune(self, here: AbstractSet[BackupId], there: AbstractSet[BackupId]) -> None:
        """Forget what can't matter any more: what is neither here nor in Dropbox, and what is being
        done with what is not here, or is in Dropbox by now.

        What was deleted on purpose is never forgotten: it may lie on a network share that is away,
        and it would come back to Dropbox together with it.
        """
        for backup_id in self.uploaded.keys() - here - there:
            del self.uploaded[backup_id]
        self.newly_verified &= here | there
        for backup_id in self.first_seen.keys() - here:
            del self.first_seen[backup_id]
        for backup_id in self.sessions.keys() - (here - there):
            del self.sessions[backup_id]


# More backups than anybody has.
_MOST = 100_000
# Of one upload: Dropbox takes no larger file than that.
_MOST_CHUNKS = 1_000_000
_LONGEST_PATH = 4096


def _by(schema: vol.Schema) -> Callable[[object], Any]:
    """Return a reader that takes what the schema takes."""

    def read(value: object) -> Any:
        try:
            return schema(value)
        except (vol.Invalid, RecursionError) as err:
            raise UntrustedError("expected what we wrote") from err

    return read


def _ids_with(reader: Callable[[Any], Any]) -> Callable[[object], list[tuple[str, Any]]]:
    """Return a reader of pairs, the first of each a backup id; it leaves out what it can't read."""

    def read_pair(value: object) -> tuple[str, Any]:
        backup_id, about = value if isinstance(value, list) else (None, None)
        return untrusted.exact(backup_id), reader(about)

    return lambda value: untrusted.readable(read_pair, value, _MOST)


def _all_of(reader: Callable[[Any], Any]) -> Callable[[object], list[Any]]:
    """Return a reader of lists that leaves out what `reader` can't read."""
    return lambda value: untrusted.readable(reader, value, _MOST)


_chunk_number = partial(untrusted.whole, most=_MOST_CHUNKS)
_SESSION = vol.Schema(
    {
        vol.Required("backup_id"): untrusted.exact,
        vol.Required("session_id"): partial(untrusted.exact, longest=untrusted.LONGEST_TEXT),
        vol.Required("size"): untrusted.size,
        vol.Required("chunk_size"): partial(untrusted.whole, least=1),
        vol.Required("arrived"): _chunk_number,
        vol.Required("hash_state"): untrusted.text,
        vol.Required("ahead"): [vol.ExactSequence([_chunk_number, untrusted.text])],
        vol.Required("etag"): partial(untrusted.or_none, untrusted.exact),
    },
    extra=vol.REMOVE_EXTRA,
)
_COMMIT = vol.Schema(
    {
        vol.Required("backup_id"): untrusted.exact,
        vol.Required("name"): untrusted.exact,
        vol.Required("content_hash"): untrusted.exact,
        vol.Required("size"): untrusted.size,
        vol.Required("modified"): untrusted.date,
        vol.Required("noted"): untrusted.date,
        vol.Required("unwanted"): untrusted.flag,
    },
    extra=vol.REMOVE_EXTRA,
)
_MISSED = vol.Schema(
    {
        vol.Required("name"): untrusted.text,
        vol.Required("made"): untrusted.date,
        vol.Required("reason"): untrusted.text,
    },
    extra=vol.REMOVE_EXTRA,
)


def _answer(value: object) -> Answer:
    """Return what was decided, as far as it can be read."""
    written = value if isinstance(value, dict) else {}

    def revision(one: object) -> Revision:
        name, rev = one if isinstance(one, list) else (None, None)
        return untrusted.exact(name), untrusted.exact(rev)

    return Answer(
        untrusted.whole(written.get("keep")),
        untrusted.text(written.get("folder")),
        frozenset(untrusted.readable(revision, written.get("revisions"), _MOST)),
    )


# Each is read on its own: one that can't be takes no other with it.
_READERS: dict[str, Callable[[object], Any]] = {
    **{item.name: untrusted.date for item in fields(Results)},
    "uploaded": _ids_with(untrusted.exact),
    "dismissed": _all_of(untrusted.exact),
    "sessions": _all_of(_by(_SESSION)),
    "commits": _all_of(_by(_COMMIT)),
    "key_root": _by(vol.Schema(vol.Match(r"^[0-9a-f]*\Z"))),
    "newly_verified": _all_of(untrusted.exact),
    "approved": _answer,
    "declined": _answer,
    "missed": _by(_MISSED),
    "folder_seen": untrusted.flag,
    "folder_was_missing": untrusted.flag,
    "paused": untrusted.flag,
    "first_seen": _ids_with(untrusted.date),
    "wanted": _all_of(untrusted.exact),
    "everything_wanted": untrusted.flag,
    "wanted_since": untrusted.date,
    "acknowledged": _all_of(untrusted.exact),
    "folder": partial(untrusted.exact, longest=_LONGEST_PATH),
}


def parse_notes(data: object) -> Notes:
    """Return the notes; what can't be read is left out. Dropbox's listing is the truth, these only
    save work.
    """
    written = data if isinstance(data, dict) else {}
    values: dict[str, Any] = {
        name: untrusted.or_none(reader, written.get(name)) for name, reader in _READERS.items()
    }
    return Notes(
        results=Results(**{item.name: values[item.name] for item in fields(Results)}),
        uploaded={BackupId(key): value for key, value in values["uploaded"]},
        dismissed={BackupId(one) for one in values["dismissed"]},
        sessions={
            BackupId(one["backup_id"]): UploadSession(
                session_id=one["session_id"],
                size=one["size"],
                chunk_size=one["chunk_size"],
                arrived=one["arrived"],
                hash_state=one["hash_state"],
                ahead=dict(one["ahead"]),
                etag=one["etag"],
            )
            for one in values["sessions"]
        },
        key_root=Root(values["key_root"] or ""),
        newly_verified={BackupId(one) for one in values["newly_verified"]},
        approved=values["approved"],
        declined=values["declined"],
        commits={
            BackupId(one["backup_id"]): Commit(
                one["name"],
                one["content_hash"],
                one["size"],
                one["modified"],
                one["noted"],
                one["unwanted"],
            )
            for one in values["commits"]
        },
        missed=Missed(**values["missed"]) if values["missed"] else None,
        folder_seen=values["folder_seen"] is True,
        folder_was_missing=values["folder_was_missing"] is True,
        paused=values["paused"] is True,
        first_seen={BackupId(key): value for key, value in values["first_seen"]},
        wanted={BackupId(one) for one in values["wanted"]},
        everything_wanted=values["everything_wanted"] is True,
        wanted_since=values["wanted_since"],
        acknowledged=set(values["acknowledged"]),
        folder=values["folder"],
    )


def write_notes(notes: Notes) -> dict[str, Any]:
    """Return the notes as JSON data."""
    dates: dict[str, datetime | None] = asdict(notes.results)
    return {
        **{name: date.isoformat() if date else None for name, date in dates.items()},
        "uploaded": [list(item) for item in sorted(notes.uploaded.items())],
        "dismissed": sorted(notes.dismissed),
        "sessions": [
            {
                "backup_id": backup_id,
                "session_id": session.session_id,
                "size": session.size,
                "chunk_size": session.chunk_size,
                "arrived": session.arrived,
                "hash_state": session.hash_state,
                "ahead": [list(item) for item in sorted(session.ahead.items())],
                "etag": session.etag,
            }
            for backup_id, session in notes.sessions.items()
        ],
        "key_root": notes.key_root.salts,
        "newly_verified": sorted(notes.newly_verified),
        "approved": _answer_as_json(notes.approved),
        "declined": _answer_as_json(notes.declined),
        "commits": [
            {
                "backup_id": backup_id,
                **asdict(commit),
                "modified": commit.modified.isoformat(),
                "noted": commit.noted.isoformat(),
            }
            for backup_id, commit in notes.commits.items()
        ],
        "missed": _missed_as_json(notes.missed),
        "folder_seen": notes.folder_seen,
        "folder_was_missing": notes.folder_was_missing,
        "paused": notes.paused,
        "first_seen": [
            [backup_id, seen.isoformat()] for backup_id, seen in sorted(notes.first_seen.items())
        ],
        "wanted": sorted(notes.wanted),
        "everything_wanted": notes.everything_wanted,
        "wanted_since": notes.wanted_since.isoformat() if notes.wanted_since else None,
        "acknowledged": sorted(notes.acknowledged),
        "folder": notes.folder,
    }


def _answer_as_json(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    revisions = [list(one) for one in sorted(answer.revisions)]
    return {"keep": answer.keep, "folder": answer.folder, "revisions": revisions}


def _missed_as_json(missed: Missed | None) -> dict[str, str] | None:
    if missed is None:
        return None
    return {"name": missed.name, "made": missed.made.isoformat(), "reason": missed.reason}


class Journal:
    """The notes of one account, saved soon after every change.

    `on_writable` is told when they can't be written any more, and when they can again.
    """

    def __init__(self, hass: HomeAssistant, name: str) -> None:
        """Nothing is read yet. `name`: that of the file."""
        self.notes = Notes()
        self.on_writable: Callable[[], None] = lambda: None
        self._file = StorageFile(
            hass,
            name,
            lambda: write_notes(self.notes),
            delay=_SAVE_DELAY,
            on_writable=self._tell_writable,
        )

    @property
    def writable(self) -> bool:
        """Tell whether what is to survive a restart could be written the last time."""
        return self._file.writable

    async def load(self) -> None:
        """Read what an earlier run wrote."""
        self.notes = parse_notes(await self._file.load())

    def changed(self) -> None:
        """Save the notes within a second."""
        self._file.changed()

    async def save(self) -> None:
        """Return when the notes as they are now have been written, if they can be."""
        await self._file.save()

    async def put_aside(self) -> None:
        """Keep what is to be known if the account is added again: its config entry is gone. An
        upload of Home Assistant's own may outlive it, and goes on taking notes.
        """
        self.notes.put_aside()
        await self.save()

    def _tell_writable(self) -> None:
        self.on_writable()


async def journal_of(hass: HomeAssistant, name: str) -> Journal:
    """Return the one journal of an account, also over reloads: an upload by Home Assistant outlives
    the reload, or the removal, of the entry that began it, and goes on taking notes.
    """
    journals = hass.data.setdefault(_JOURNALS, {})
    if (journal := journals.get(name)) is None:
        journal = Journal(hass, name)
        await journal.load()
        journals[name] = journal
    return journal


async def folder_used_before(hass: HomeAssistant, name: str) -> str | None:
    """Return where the backups of an account went that is not set up now, if that is known."""
    journal = Journal(hass, name)
    try:
        await journal.load()
    except HomeAssistantError:  # a later version wrote it
        return None
    return journal.notes.folder
