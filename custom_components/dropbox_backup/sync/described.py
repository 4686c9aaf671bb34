"""The backups in Dropbox, from the files there and what the catalog says of them. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .catalog import Catalog, CatalogEntry
from .models import BackupId, RemoteBackup, RemoteFile, id_of, newest_first
from .names import is_our_name


@dataclass(frozen=True, slots=True)
class Proof:
    """What the journal of the Home Assistant with `instance_id` proves: `uploaded` returns the
    content hash that it uploaded for a backup id.
    """

    instance_id: str
    uploaded: Callable[[BackupId], str | None]

    def added_to(self, entry: CatalogEntry) -> CatalogEntry:
        """Add that we uploaded this very content, and verified it."""
        if self.uploaded(id_of(entry.backup)) != entry.content_hash:
            return entry
        return replace(
            entry,
            owner=entry.owner or self.instance_id,
            verified=entry.verified or datetime.now(UTC),
        )


def entries_of(archives: Iterable[RemoteFile], catalog: Catalog) -> Catalog:
    """Return the entries that hold for these files as they are."""
    there = {file.name: file.content_hash for file in archives}
    return {name: entry for name, entry in catalog.items() if there.get(name) == entry.content_hash}


def backups_of(
    archives: Iterable[RemoteFile], catalog: Catalog, proof: Proof
) -> dict[BackupId, RemoteBackup]:
    """Return the backups by id, newest first. Takes milliseconds for a thousand."""
    backups: dict[BackupId, RemoteBackup] = {}
    for file in archives:
        entry = catalog.get(file.name)
        backup = proof.added_to(entry).describe(file) if entry else None
        if backup is None:
            continue
        there = backups.setdefault(id_of(backup.backup), backup)
        if there is not backup:
            backups[id_of(backup.backup)] = min(there, backup, key=_stands_for_its_id)
    return {id_of(one.backup): one for one in newest_first(backups.values())}


def _stands_for_its_id(backup: RemoteBackup) -> tuple[bool, bool, datetime, str]:
    """Of two files with one id, the one that was verified comes first, then the one that is not
    somebody's own copy, or else the older one.
    """
    file = backup.file
    copied = not is_our_name(file.name, backup.backup)
    return backup.verified is None, copied, file.uploaded, file.name
