"""The catalog: one small JSON file in the backup folder with the metadata of each backup and what
we know of it.

A cache plus annotations. If it is lost it is rebuilt from the archives; only pins and verification
dates are lost then. An entry holds only for the content it was written for: a file that has another
content hash is read anew.

Several Home Assistants share it, some perhaps with a newer version of this integration: what this
one does not know is kept as it is, and a newer format is never rewritten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
import json
from typing import Any

from homeassistant.components.backup import AgentBackup
import voluptuous as vol

from ... import untrusted
from ..archive.metadata import ArchiveError, backup_from_dict
from ..decide.models import Annotations, Protection, RemoteBackup, RemoteFile

# The catalog is one JSON document, with a line for each entry between these two. They are decoded
# and encoded one by one: Python's JSON lets no other thread run before it is done, and a thousand
# entries at once would hold up a small board for a tenth of a second.
_FORMAT = 1
_HEAD, _TAIL = b'{"format":1,"backups":{', b"}}"
_SEPARATORS = (",", ":")


@dataclass(frozen=True, slots=True)
class CatalogEntry(Annotations):
    """What the catalog says of the content with this hash."""

    content_hash: str
    backup: AgentBackup

    def describe(self, file: RemoteFile) -> RemoteBackup | None:
        """Return the backup that this file is, unless its content is not what the entry was written
        for.
        """
        if file.content_hash != self.content_hash:
            return None
        return RemoteBackup(self.backup, file, **self.annotations)


type Catalog = Mapping[str, CatalogEntry]
"""Entries by file name."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What else is in a catalog: `entries` that can't be read, by file name, and what stands beside
    the entries.
    """

    format: int = _FORMAT
    entries: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def writable(self) -> bool:
        """Tell whether we know how to write it."""
        return self.format == _FORMAT

    def of(self, archives: Iterable[RemoteFile]) -> Rest:
        """Leave out the entries of files that are not there with that content any more."""
        there = {file.name: file.content_hash for file in archives}
        kept = {
            name: entry
            for name, entry in self.entries.items()
            if isinstance(entry, dict) and entry.get("content_hash") == there.get(name)
        }
        return Rest(self.format, kept, self.more)


NOTHING_ELSE = Rest()
UNREADABLE = Rest(format=0)
"""That of a catalog that was not read, and so must not be written either."""


_ENTRY = vol.Schema(
    {
        vol.Required("content_hash"): untrusted.content_hash,
        vol.Required("backup"): dict,
        vol.Optional("owner", default=None): untrusted.optional(untrusted.exact),
        vol.Optional("pinned", default=False): untrusted.flag,
        vol.Optional("verified", default=None): untrusted.optional(untrusted.date),
        # Another version may know more of them.
        vol.Optional("protection", default=Protection.UNKNOWN): vol.Any(
            vol.Coerce(Protection), lambda _: Protection.UNKNOWN
        ),
    },
    extra=vol.REMOVE_EXTRA,
)
_ENTRY_KEYS = {item.name for item in fields(CatalogEntry)}
_BACKUP_KEYS = {item.name for item in fields(AgentBackup)}


def parse_catalog(text: bytes) -> dict[str, CatalogEntry]:
    """Return the entries that can be read. One bad entry, or bytes that are no catalog, never
    raise: what is not here is read from the archives again. Blocking for large catalogs.
    """
    return read_catalog(text)[0]


def read_catalog(text: bytes) -> tuple[dict[str, CatalogEntry], Rest]:
    """Return the entries that can be read, and all the rest. Never raises, as `parse_catalog`."""
    entries: dict[str, CatalogEntry] = {}
    unreadable: dict[str, object] = {}
    items, frame = _items(text)
    for name, value in items:
        try:
            entries[name] = _entry(value)
        except vol.Invalid, ArchiveError:
            unreadable[name] = value
    form = frame.pop("format", _FORMAT)
    number = untrusted.or_none(untrusted.whole, form)
    return entries, Rest(UNREADABLE.format if number is None else number, unreadable, frame)


def _entry(value: object) -> CatalogEntry:
    data: dict[str, Any] = _ENTRY(value)
    assert isinstance(value, dict)
    unknown = {key: item for key, item in value.items() if key not in _ENTRY_KEYS}
    if more := {key: item for key, item in value["backup"].items() if key not in _BACKUP_KEYS}:
        unknown["backup"] = more
    return CatalogEntry(**{**data, "backup": backup_from_dict(data["backup"]), "unknown": unknown})


def entry_of(backup: RemoteBackup) -> CatalogEntry:
    """Return what the catalog says of a backup."""
    return CatalogEntry(backup.file.content_hash, backup.backup, **backup.annotations)


def write_catalog(catalog: Catalog, rest: Rest = NOTHING_ELSE) -> bytes:
    """Return the catalog, sorted by file name so that the same entries give the same bytes.

    Blocking for large catalogs.
    """
    values = {name: _values(entry) for name, entry in catalog.items()} | dict(rest.entries)
    lines = [
        f"{_encode(name)}:{_encode(value)}".encode(errors="replace")
        for name, value in sorted(values.items())
    ]
    frame = {"format": rest.format, **rest.more}
    head = b"%b,%b" % (_encode(frame).encode(errors="replace")[:-1], b'"backups":{')
    return b"\n".join((head, b",\n".join(lines), _TAIL))


def _values(entry: CatalogEntry) -> dict[str, Any]:
    unknown: dict[str, Any] = dict(entry.unknown)
    return {
        "content_hash": entry.content_hash,
        "backup": {**unknown.pop("backup", {}), **entry.backup.as_dict()},
        "owner": entry.owner,
        "pinned": entry.pinned,
        "verified": entry.verified.isoformat() if entry.verified else None,
        "protection": entry.protection,
        **unknown,
    }


def _encode(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=_SEPARATORS)


def _items(text: bytes) -> tuple[Iterable[tuple[str, object]], dict[str, object]]:
    """Return what can be read: what is said of each file, by its name, and what stands beside."""
    head, *lines = text.split(b"\n")
    if head == _HEAD and lines[-1:] == [_TAIL]:
        return (
            item
            for line in lines[:-1]
            for item in _decode(b"{%b}" % line.removesuffix(b",")).items()
        ), {}
    # Not as we write it.
    document = _decode(text)
    backups = document.pop("backups", None)
    return (backups.items() if isinstance(backups, dict) else ()), document


def _decode(text: bytes) -> dict[str, object]:
    return untrusted.or_none(untrusted.json_object, text) or {}
