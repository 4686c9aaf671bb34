"""The backups in Dropbox, from the files there and what the catalog says of them. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from homeassistant.components.backup import AgentBackup

from ..decide.file_names import is_our_name
from ..decide.models import (
    BackupId,
    BadCopy,
    RemoteBackup,
    RemoteFile,
    WhyNot,
    newest_first,
)
from ..decide.ownership import Ownership, made_by
from .catalog import Catalog, CatalogEntry


def with_proof(entry: CatalogEntry, ownership: Ownership) -> CatalogEntry:
    """Return the entry with what the journal proves: that we uploaded this very content."""
    if not ownership.uploaded_here(entry.backup, entry.content_hash):
        return entry
    owner = ownership.owner(entry.backup, entry.content_hash, entry.owner)
    return replace(entry, owner=owner, verified=entry.verified or datetime.now(UTC))


def entry_of_archive(file: RemoteFile, backup: AgentBackup, ownership: Ownership) -> CatalogEntry:
    """Return the entry of an archive that says of itself that it is this backup."""
    return with_proof(CatalogEntry(file.content_hash, backup, owner=made_by(backup)), ownership)


def entries_of(archives: Iterable[RemoteFile], catalog: Catalog) -> Catalog:
    """Return the entries that hold for these files as they are."""
    there = {file.name: file.content_hash for file in archives}
    return {name: entry for name, entry in catalog.items() if there.get(name) == entry.content_hash}


def backups_of(
    archives: Iterable[RemoteFile], catalog: Catalog, ownership: Ownership
) -> dict[BackupId, RemoteBackup]:
    """Return the backups by id, newest first. Takes milliseconds for a thousand."""
    copies: dict[BackupId, list[RemoteBackup]] = {}
    for file in archives:
        entry = catalog.get(file.name)
        backup = with_proof(entry, ownership).describe(file) if entry else None
        if backup is not None:
            copies.setdefault(backup.backup_id, []).append(backup)
    backups = (_best_of(of_one_id) for of_one_id in copies.values())
    return {one.backup_id: one for one in newest_first(backups)}


def _best_of(copies: list[RemoteBackup]) -> RemoteBackup:
    """Return the one that stands for an id everywhere."""
    best, *others = copies
    if not others:
        return best
    best = min(copies, key=_stands_for_its_id)
    reasons = ((copy.file, _why_not(copy, best)) for copy in copies)
    bad = tuple(BadCopy(file, why) for file, why in reasons if why is not None)
    return replace(best, bad_copies=bad)


def _stands_for_its_id(copy: RemoteBackup) -> tuple[bool, bool, float, str]:
    """Order the copies of one backup: what was verified comes first, and of that what lies under a
    name that we gave; else the newest.
    """
    named_by_us = is_our_name(copy.file.name, copy.backup)
    return copy.verified is None, not named_by_us, -copy.file.uploaded.timestamp(), copy.file.name


def _why_not(copy: RemoteBackup, best: RemoteBackup) -> WhyNot | None:
    """Return why a copy is not the verified backup; None if it is, or nobody knows."""
    if best.verified is None or copy.verified is not None:
        return None
    if copy.file.content_hash == best.file.content_hash:
        return None
    if copy.backup.protected != best.backup.protected:
        return WhyNot.NOT_COMPARABLE
    if copy.file.size != best.file.size:
        return WhyNot.OTHER_SIZE
    return WhyNot.NOT_COMPARABLE if copy.backup.protected else WhyNot.OTHER_CONTENT
