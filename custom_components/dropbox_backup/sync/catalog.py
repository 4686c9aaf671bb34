"""The catalog: one small JSON file in the backup folder with the metadata of each backup and what
we know of it.

A cache plus annotations. If it is lost it is rebuilt from the archives; only pins and verification
dates are lost then. An entry holds only for the content it was written for: a file that has another
content hash is read anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
import json
from typing import Any

from homeassistant.components.backup import AgentBackup
import voluptuous as vol

from .. import untrusted
from .archive import ArchiveError, backup_from_dict
from .models import RemoteBackup, RemoteFile

# The catalog is one JSON document, with a line for each entry between these two. They are decoded
# and encoded one by one: Python's JSON lets no other thread run before it is done, and a thousand
# entries at once would hold up a small board for a tenth of a second.
_HEAD, _TAIL = b'{"format":1,"backups":{', b"}}"
_SEPARATORS = (",", ":")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What the catalog says of the content with this hash."""

    content_hash: str
    backup: AgentBackup
    owner: str | None
    pinned: bool = False
    verified: datetime | None = None

    def describe(self, file: RemoteFile) -> RemoteBackup | None:
        """Return the backup that this file is, unless its content is not what the entry was written
        for.
        """
        if file.content_hash != self.content_hash:
            return None
        return RemoteBackup(self.backup, file, self.owner, self.pinned, self.verified)


type Catalog = Mapping[str, CatalogEntry]
"""Entries by file name."""


_ENTRY = vol.Schema(
    {
        vol.Required("content_hash"): vol.Match(r"^[0-9a-f]{64}\Z"),
        vol.Required("backup"): dict,
        vol.Optional("owner", default=None): vol.Any(None, str),
        vol.Optional("pinned", default=False): bool,
        vol.Optional("verified", default=None): untrusted.optional(untrusted.date),
    },
    extra=vol.REMOVE_EXTRA,
)


def parse_catalog(text: bytes) -> dict[str, CatalogEntry]:
    """Return the entries that can be read. One bad entry, or bytes that are no catalog, never
    raise: what is not here is read from the archives again. Blocking for large catalogs.
    """
    entries = {}
    for name, value in _items(text):
        try:
            data: dict[str, Any] = _ENTRY(value)
            entries[name] = CatalogEntry(**{**data, "backup": backup_from_dict(data["backup"])})
        except vol.Invalid, ArchiveError:
            continue
    return entries


def entry_of(backup: RemoteBackup) -> CatalogEntry:
    """Return what the catalog says of a backup."""
    return CatalogEntry(
        backup.file.content_hash, backup.backup, backup.owner, backup.pinned, backup.verified
    )


def write_catalog(catalog: Catalog) -> bytes:
    """Return the catalog, sorted by file name so that the same entries give the same bytes.

    Blocking for large catalogs.
    """
    lines = [
        # A name from a foreign archive may have half a character.
        f"{_encode(name)}:{_encode(_values(entry))}".encode(errors="replace")
        for name, entry in sorted(catalog.items())
    ]
    return b"\n".join((_HEAD, b",\n".join(lines), _TAIL))


def _values(entry: CatalogEntry) -> dict[str, Any]:
    return {
        "content_hash": entry.content_hash,
        "backup": entry.backup.as_dict(),
        "owner": entry.owner,
        "pinned": entry.pinned,
        "verified": entry.verified.isoformat() if entry.verified else None,
    }


def _encode(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=_SEPARATORS)


def _items(text: bytes) -> Iterator[tuple[str, object]]:
    """Yield what can be read: what is said of each file, by its name."""
    head, *lines = text.split(b"\n")
    if head == _HEAD and lines[-1:] == [_TAIL]:
        for line in lines[:-1]:
            yield from _decode(b"{%b}" % line.removesuffix(b",")).items()
        return
    # Not as we write it.
    backups = _decode(text).get("backups")
    if isinstance(backups, dict):
        yield from backups.items()


def _decode(text: bytes) -> dict[str, object]:
    try:
        document = json.loads(text)
    except ValueError, RecursionError:
        return {}
    return document if isinstance(document, dict) else {}
