"""The words of the product as types: see docs/architecture.md."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Any, NewType

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ... import untrusted
from ...codes import Code, Reason
from ...const import (
    DEFAULT_ALARM_AFTER,
    DEFAULT_CHECK_INTERVAL,
    DEFAULT_KEEP,
    DEFAULT_UPLOAD_AUTOMATICALLY,
)
from .upload_window import Hours

BackupId = NewType("BackupId", str)

# Backups are compared by date again and again, also every second during an upload.
_DATES = 4096
# Dropbox keeps whole seconds.
DROPBOX_ROUNDS_BY = timedelta(seconds=1)


def id_of(backup: AgentBackup) -> BackupId:
    """Return the id that Home Assistant gave the backup."""
    return BackupId(backup.backup_id)


def date_of(backup: AgentBackup) -> datetime:
    """Return when the backup was made. Its text may carry any offset, or, in a foreign file, be no
    date at all.
    """
    return read_date(backup.date) or untrusted.EARLIEST


def made_at(backup: AgentBackup, known_since: datetime) -> datetime:
    """Return when the backup counts as made, for all that compares it with others or with now.

    What its archive says is not trusted where it is impossible: what lay there at `known_since` was
    not made after it. Of clocks that differ a little, that changes a date a little: no tolerance is
    needed, and with one the order would depend on which side of it a date lies.
    """
    return min(date_of(backup), known_since)


def read_date(value: object) -> datetime | None:
    """Return the date that an archive states, None if it is none."""
    if not isinstance(value, str):
        return None
    return _read_date(value, dt_util.get_default_time_zone())


@lru_cache(_DATES)
def _read_date(text: str, zone: tzinfo) -> datetime | None:
    return untrusted.or_none(lambda value: untrusted.date(value, zone), text)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user chose."""

    upload_automatically: bool = DEFAULT_UPLOAD_AUTOMATICALLY
    check_interval: timedelta = timedelta(hours=DEFAULT_CHECK_INTERVAL)
    # How many backups to keep; 0 keeps all.
    keep: int = DEFAULT_KEEP
    # Alarm when no new backup has arrived for so long; None: never for that.
    alarm_after: timedelta | None = timedelta(days=DEFAULT_ALARM_AFTER)
    # How fast uploads may go; None: as fast as they can.
    bytes_per_second: float | None = None
    # When uploads may run; None: at any time.
    hours: Hours | None = None
    # How many chunks may be in memory at once; None: as many as fit well.
    chunks_at_once: int | None = None


@dataclass(frozen=True, slots=True)
class LocalBackup:
    """A backup that lies on this Home Assistant."""

    backup: AgentBackup
    # The agent that has it.
    agent_id: str
    # When it was first seen, if its own date lies in the future.
    known_since: datetime = untrusted.LATEST

    @property
    def backup_id(self) -> BackupId:
        """The id that Home Assistant gave it."""
        return id_of(self.backup)

    @property
    def date(self) -> datetime:
        """When it counts as made."""
        return made_at(self.backup, self.known_since)


@dataclass(frozen=True, slots=True)
class Missed:
    """A backup that Home Assistant made for Dropbox, and that it could not bring there."""

    name: str
    made: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the backup folder."""

    name: str
    rev: str
    # In bytes.
    size: int
    content_hash: str
    # By Dropbox's own clock.
    uploaded: datetime


class Protection(StrEnum):
    """What the bytes of the inner archives are. Users' automations see these values."""

    ENCRYPTED = "encrypted"
    NOT_ENCRYPTED = "not_encrypted"
    PARTLY = "partly"
    UNKNOWN = "unknown"

    @property
    def as_flag(self) -> bool | None:
        """Home Assistant's `protected`, or None if the bytes don't tell.

        What is encrypted only in part needs the key to be restored whole.
        """
        return {
            Protection.ENCRYPTED: True,
            Protection.PARTLY: True,
            Protection.NOT_ENCRYPTED: False,
        }.get(self)

    def noted_in(self, backup: AgentBackup) -> AgentBackup:
        """Return a backup whose `protected` says so, unless the bytes don't tell."""
        return backup if self.as_flag is None else replace(backup, protected=self.as_flag)


class Trouble(Code):
    """Why something can't be done with a backup, beside errors of Dropbox and of its archive."""

    DELETED_MEANWHILE = "deleted_meanwhile"
    STOPPED_MEANWHILE = "stopped_meanwhile"
    HELD_BACK = "held_back"
    NO_SUCH_BACKUP = "no_such_backup"
    NOT_THERE = "not_in_dropbox"
    REPLACED = "replaced_in_dropbox"
    SAME_ID = "same_id"
    NO_FREE_NAME = "no_free_name"
    PINNED_BACKUPS = "pinned_backups"
    LOCATION_GONE = "location_gone"
    CONTENT_UNKNOWN = "content_unknown"
    NOT_ENCRYPTABLE = "not_encryptable"
    CHANGED_MEANWHILE = "changed_meanwhile"
    UNEXPECTED = "unexpected_error"
    ERROR = "error"
    DISK_ERROR = "disk_error"
    SAID = "said"


class WhyNot(StrEnum):
    """Why a file that says that it is a backup is not taken for it."""

    OTHER_SIZE = "other_size"
    OTHER_CONTENT = "other_content"
    NOT_COMPARABLE = "not_comparable"
    """It is encrypted and the verified one is not, or each with other keys."""


@dataclass(frozen=True, slots=True)
class BadCopy:
    """A file with the id of a backup that lies in Dropbox verified, and that is not that one."""

    file: RemoteFile
    why: WhyNot


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """What is known of a backup in Dropbox, beside what its archive says: the catalog keeps it."""

    # The id of the Home Assistant that it belongs to; None if nothing proves it.
    owner: str | None
    pinned: bool = False
    # When its content hash in Dropbox was found equal to that of the local archive.
    verified: datetime | None = None
    # What a newer version of this integration noted in the catalog.
    unknown: Mapping[str, object] = field(default_factory=dict)
    # Known only of what we uploaded.
    protection: Protection = Protection.UNKNOWN

    @property
    def annotations(self) -> dict[str, Any]:  # Any: each has a type of its own
        """All of them by their names, for whatever else has them."""
        return {name: getattr(self, name) for name in _ANNOTATIONS}


_ANNOTATIONS = tuple(item.name for item in fields(Annotations))


@dataclass(frozen=True, slots=True)
class RemoteBackup(Annotations):
    """A backup that lies in the backup folder."""

    backup: AgentBackup
    file: RemoteFile
    # Files with the same id that turned out to be something else.
    bad_copies: tuple[BadCopy, ...] = ()

    @property
    def backup_id(self) -> BackupId:
        """The id that Home Assistant gave it."""
        return id_of(self.backup)

    @property
    def date(self) -> datetime:
        """When it counts as made: it was not after Dropbox had it, by Dropbox's clock."""
        return made_at(self.backup, self.file.uploaded + DROPBOX_ROUNDS_BY)


def newest_first(backups: Iterable[RemoteBackup]) -> tuple[RemoteBackup, ...]:
    """Return them by when they count as made; of one time, by what they say themselves, and by the
    name of the file.
    """
    return tuple(sorted(backups, key=age, reverse=True))


def age(one: RemoteBackup) -> tuple[datetime, datetime, str]:
    """Return what sorts backups by when they were made: the newest is the largest."""
    return one.date, date_of(one.backup), one.file.name
