"""What must survive a restart of Home Assistant, in one file of its storage per config entry."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
import voluptuous as vol

from ..const import DOMAIN
from ..dropbox_api.upload import UploadSession
from .models import BackupId, Missed

_VERSION = 1
_SAVE_DELAY = 1.0


@dataclass(slots=True)
class Results:
    """When what happened last, or began: `failing_since` the first of the checks that failed."""

    last_attempt: datetime | None = None
    last_check: datetime | None = None
    last_upload: datetime | None = None
    failing_since: datetime | None = None
    watching_since: datetime | None = None


@dataclass(slots=True)
class Notes:
    """Everything the journal holds.

    `uploaded`: content hash of what this Home Assistant uploaded, by backup id: proof of ownership
    if the catalog is lost.
    `dismissed`: backups that were deleted from Dropbox on purpose while a local one was still
    there.
    `sessions`: open upload sessions, by backup id.
    `confirmed_keep`: the number of backups to keep that has been carried out, or confirmed, before.
    `folder_seen`: the backup folder was there once, so that its absence is news.
    `missed`: what Home Assistant made for Dropbox and could not be uploaded, until a newer one is.
    `folder_was_missing`: it vanished, and the user has not said yet that they know.
    """

    results: Results = field(default_factory=Results)
    uploaded: dict[BackupId, str] = field(default_factory=dict)
    dismissed: set[BackupId] = field(default_factory=set)
    sessions: dict[BackupId, UploadSession] = field(default_factory=dict)
    confirmed_keep: int | None = None
    missed: Missed | None = None
    folder_seen: bool = False
    folder_was_missing: bool = False


def _date(value: object) -> datetime | None:
    date = dt_util.parse_datetime(value) if isinstance(value, str) else None
    return date if date and date.tzinfo else None  # a time of no known zone can't be compared


def _only(item: Callable[[Any], Any]) -> Callable[[object], list[Any]]:
    """Return a validator of lists that leaves out what `item` refuses."""

    def validate(value: object) -> list[Any]:
        valid = []
        for one in value if isinstance(value, list) else []:
            try:
                valid.append(item(one))
            except vol.Invalid:
                continue
        return valid

    return validate


_count = vol.All(int, vol.Range(min=0))
_SESSION = vol.Schema(
    {
        vol.Required("backup_id"): str,
        vol.Required("session_id"): str,
        vol.Required("size"): _count,
        vol.Required("chunk_size"): vol.All(int, vol.Range(min=1)),
        vol.Required("arrived"): _count,
        vol.Required("arrived_hash"): str,
        vol.Required("ahead"): [vol.ExactSequence([_count, str])],
    },
    extra=vol.REMOVE_EXTRA,
)
_MISSED = vol.Schema(
    {
        vol.Required("name"): str,
        vol.Required("made"): vol.All(_date, datetime),
        vol.Required("reason"): str,
    },
    extra=vol.REMOVE_EXTRA,
)
_NOTES = vol.Schema(
    {
        **{vol.Optional(item.name, default=None): _date for item in fields(Results)},
        vol.Optional("uploaded", default=list): _only(vol.ExactSequence([str, str])),
        vol.Optional("dismissed", default=list): _only(str),
        vol.Optional("sessions", default=list): _only(_SESSION),
        vol.Optional("confirmed_keep", default=None): vol.Any(None, _count),
        vol.Optional("missed", default=None): vol.Any(None, _MISSED),
        vol.Optional("folder_seen", default=False): bool,
        vol.Optional("folder_was_missing", default=False): bool,
    },
    extra=vol.REMOVE_EXTRA,
)


def parse_notes(data: object) -> Notes:
    """Return the notes; what can't be read is left out. Dropbox's listing is the truth, these only
    save work.
    """
    try:
        values = _NOTES(data if isinstance(data, dict) else {})
    except vol.Invalid:
        return Notes()
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
                arrived_hash=one["arrived_hash"],
                ahead=dict(one["ahead"]),
            )
            for one in values["sessions"]
        },
        confirmed_keep=values["confirmed_keep"],
        missed=Missed(**values["missed"]) if values["missed"] else None,
        folder_seen=values["folder_seen"],
        folder_was_missing=values["folder_was_missing"],
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
                "arrived_hash": session.arrived_hash,
                "ahead": [list(item) for item in sorted(session.ahead.items())],
            }
            for backup_id, session in notes.sessions.items()
        ],
        "confirmed_keep": notes.confirmed_keep,
        "missed": _missed_as_json(notes.missed),
        "folder_seen": notes.folder_seen,
        "folder_was_missing": notes.folder_was_missing,
    }


def _missed_as_json(missed: Missed | None) -> dict[str, str] | None:
    if missed is None:
        return None
    return {"name": missed.name, "made": missed.made.isoformat(), "reason": missed.reason}


class Journal:
    """The notes of one config entry, saved soon after every change."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Nothing is read yet."""
        # Upload sessions are of use only together with a token, but nobody else's business.
        self._store: Store[dict[str, Any]] = Store(
            hass, _VERSION, f"{DOMAIN}.{entry_id}", private=True
        )
        self.notes = Notes()
        self._changes = 0
        self._written = 0
        self._writing = asyncio.Lock()
        self._closed = False
        self._paused = False

    async def load(self) -> None:
        """Read what an earlier run wrote."""
        self.notes = parse_notes(await self._store.async_load())

    def changed(self) -> None:
        """Save the notes within a second."""
        if self._closed or self._paused:
            return
        self._store.async_delay_save(lambda: write_notes(self.notes), _SAVE_DELAY)

    async def save(self) -> None:
        """Return when the notes as they are now have been written. Many that wait share one
        writing.
        """
        if self._closed or self._paused:
            return
        self._changes += 1
        mine = self._changes
        async with self._writing:
            if self._written >= mine:
                return
            written = self._changes
            await self._store.async_save(write_notes(self.notes))
            self._written = written

    async def pause(self) -> None:
        """Write nothing until `resume`: Home Assistant packs its storage into a backup, and gives
        that up when a file of it is replaced at the wrong moment.
        """
        await self.save()
        self._paused = True

    async def resume(self) -> None:
        """Write again, first what happened meanwhile."""
        self._paused = False
        await self.save()

    async def close(self) -> None:
        """Write the notes a last time: the file may be another journal's next, or be deleted.

        An upload through Home Assistant outlives the config entry that began it.
        """
        self._closed = True
        await self._store.async_save(write_notes(self.notes))

    async def remove(self) -> None:
        """Delete the file: the config entry is gone."""
        await self._store.async_remove()
