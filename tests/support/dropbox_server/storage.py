"""One namespace's files: a change log on disk, and the tree that it adds up to in memory.

Every change is one line of `changes.jsonl`; replaying them gives the tree, the revisions, the
deleted files and the numbers that cursors point to. So a restarted server continues old cursors.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
import json
from pathlib import Path
import secrets
import shutil
from typing import Literal

from tests.support.dropbox_server import hashing, paths
from tests.support.dropbox_server.clock import Clock
from tests.support.dropbox_server.entries import (
    Content,
    Entry,
    StoredFile,
    StoredFolder,
    Tombstone,
    from_json,
    to_json,
)

ConflictKind = Literal["file", "folder", "file_ancestor"]


class StorageError(Exception):
    """Base of everything that the tree refuses."""


class NotFoundError(StorageError):
    """Nothing is at that path; or not what was asked for: `tag` is a `LookupError` tag."""

    def __init__(self, tag: Literal["not_found", "not_file", "not_folder"] = "not_found") -> None:
        """Keep the tag."""
        super().__init__(tag)
        self.tag = tag


class ConflictError(StorageError):
    """Something is in the way."""

    def __init__(self, kind: ConflictKind) -> None:
        """Keep what is in the way."""
        super().__init__(kind)
        self.kind = kind


class NestedPathsError(StorageError):
    """A folder cannot be moved into itself."""


class FileTree:
    """The files of one namespace. Use it from the server's event loop only."""

    def __init__(self, directory: Path, namespace_id: str, clock: Clock) -> None:
        """Open or create the namespace that lies in `directory`."""
        self.namespace_id = namespace_id
        self.directory = directory
        self.clock = clock
        self.blobs = directory / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.entries: dict[str, Entry] = {}
        self.revisions: dict[str, StoredFile] = {}
        self.history: dict[str, list[StoredFile | Tombstone]] = {}
        self.log: list[str] = []
        self.last_change: dict[str, int] = {}
        # For each path the numbers of the changes that it came with, and that it went with.
        self._lives: dict[str, list[tuple[int, int | None]]] = {}
        self.used = 0
        self.watchers: set[asyncio.Event] = set()
        self._journal_path = directory / "changes.jsonl"
        self._epoch_path = directory / "epoch"
        self.cursor_epoch = int(self._epoch_path.read_text()) if self._epoch_path.exists() else 0
        self._replay()
        self._journal = self._journal_path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the change log."""
        self._journal.close()

    # -- reading ---------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """The number of the latest change."""
        return len(self.log)

    def lived_at(self, path_key: str, number: int) -> bool:
        """Tell whether something was at a path right after the change with that number."""
        return any(
            came <= number and (went is None or number < went)
            for came, went in self._lives.get(path_key, [])
        )

    def live(self, path: str) -> StoredFile | StoredFolder | None:
        """Return what is at `path` now, if anything."""
        entry = self.entries.get(paths.key(path))
        return None if isinstance(entry, Tombstone) else entry

    def by_id(self, file_id: str) -> StoredFile | StoredFolder | None:
        """Return the entry with that id."""
        for entry in self.entries.values():
            if not isinstance(entry, Tombstone) and entry.id == file_id:
                return entry
        return None

    def get(self, path: str) -> StoredFile | StoredFolder:
        """Return what is at `path`; raises NotFoundError."""
        paths.check_readable(path)
        entry = self.live(path)
        if entry is None:
            raise NotFoundError
        return entry

    def get_file(self, path: str) -> StoredFile:
        """Return the file at `path`; raises NotFoundError (`not_file` for a folder)."""
        entry = self.get(path)
        if not isinstance(entry, StoredFile):
            raise NotFoundError("not_file")
        return entry

    def descendants(self, path: str) -> list[StoredFile | StoredFolder]:
        """List everything below a folder."""
        folder = paths.key(path)
        return [
            entry
            for path_key, entry in self.entries.items()
            if paths.is_within(path_key, folder) and not isinstance(entry, Tombstone)
        ]

    def blob_path(self, file: StoredFile) -> Path:
        """Where the bytes of a revision lie on disk."""
        return self.blobs / file.blob

    # -- writing ---------------------------------------------------------------------------------

    def new_blob(self) -> Path:
        """Name a new blob; nothing is created."""
        return self.blobs / secrets.token_hex(12)

    def commit(
        self,
        path: str,
        content: Content,
        *,
        mode: Literal["add", "overwrite", "update"] = "add",
        rev: str | None = None,
        autorename: bool = False,
        strict_conflict: bool = False,
        client_modified: datetime | None = None,
    ) -> StoredFile:
        """Put content at a path by Dropbox's rules (`WriteMode`, `CommitInfo` in the SDK).

        Raises PathRefusedError and ConflictError. Identical content at the path is no conflict:
        nothing is written and the file that is there is returned, unless `strict_conflict`.
        """
        paths.check_writable(path)
        existing = self.live(path)
        if (
            isinstance(existing, StoredFile)
            and existing.content_hash == content.content_hash
            and not strict_conflict
        ):
            (self.blobs / content.blob).unlink(missing_ok=True)
            return existing
        if not self._may_write(path, mode, rev, strict_conflict=strict_conflict):
            if not autorename:
                raise ConflictError("folder" if isinstance(existing, StoredFolder) else "file")
            path = self._free_name(path, conflicted=mode == "update")
            existing = None
        now = self.clock.timestamp()
        file = StoredFile(
            path=self._make_parents(path) if existing is None else existing.path,
            id=existing.id if isinstance(existing, StoredFile) else _new_id(),
            rev=self._new_rev(),
            size=content.size,
            content_hash=content.content_hash,
            client_modified=client_modified or now,
            server_modified=now,
            blob=content.blob,
        )
        self._record(file)
        return file

    def create_folder(self, path: str, *, autorename: bool = False) -> StoredFolder:
        """Create a folder and its parents; raises PathRefusedError and ConflictError."""
        paths.check_writable(path)
        existing = self.live(path)
        if existing is not None:
            if not autorename:
                raise ConflictError("folder" if isinstance(existing, StoredFolder) else "file")
            path = self._free_name(path, conflicted=False)
        folder = StoredFolder(self._make_parents(path), _new_id())
        self._record(folder)
        return folder

    def delete(self, path: str, rev: str | None = None) -> StoredFile | StoredFolder:
        """Delete a file, or a folder with all its contents; returns what was there.

        Raises NotFoundError, and ConflictError when `rev` is given and is not the file's.
        """
        entry = self.get(path)
        if rev is not None:
            if isinstance(entry, StoredFolder):
                raise ConflictError("folder")
            if entry.rev != rev:
                raise ConflictError("file")
        self._bury(entry)
        return entry

    def move(self, source: str, target: str, *, autorename: bool = False) -> Entry:
        """Move a file or folder; its id stays, its revision is new.

        Raises NotFoundError for the source; PathRefusedError, ConflictError and NestedPathsError
        for the target.
        """
        entry = self.get(source)
        paths.check_writable(target)
        if paths.is_within(paths.key(target), paths.key(entry.path)):
            raise NestedPathsError
        existing = self.live(target)
        if existing is not None:
            if not autorename:
                raise ConflictError("folder" if isinstance(existing, StoredFolder) else "file")
            target = self._free_name(target, conflicted=False)
        below = self.descendants(entry.path) if isinstance(entry, StoredFolder) else []
        target = self._make_parents(target)
        self._bury(entry)
        for item in (entry, *below):
            moved = target + item.path[len(entry.path) :]
            if isinstance(item, StoredFile):
                self._record(replace(item, path=moved, rev=self._new_rev()))
            else:
                self._record(replace(item, path=moved))
        return self.entries[paths.key(target)]

    def restore(self, path: str, file: StoredFile) -> StoredFile:
        """Bring a revision back at `path`; raises PathRefusedError and ConflictError."""
        paths.check_writable(path)
        existing = self.live(path)
        if isinstance(existing, StoredFolder):
            raise ConflictError("folder")
        if isinstance(existing, StoredFile) and existing.rev == file.rev:
            return existing
        restored = replace(
            file,
            path=existing.path if existing else self._make_parents(path),
            rev=self._new_rev(),
            server_modified=self.clock.timestamp(),
        )
        self._record(restored)
        return restored

    # -- for tests and the demo ------------------------------------------------------------------

    def put(
        self, path: str, data: bytes | Path, *, client_modified: datetime | None = None
    ) -> StoredFile:
        """Write a file as another client of this account would; blocking for large files."""
        blob = self.new_blob()
        if isinstance(data, Path):
            shutil.copyfile(data, blob)
        else:
            blob.write_bytes(data)
        return self.commit(
            path, self.content_of(blob), mode="overwrite", client_modified=client_modified
        )

    def content_of(self, blob: Path) -> Content:
        """Describe a blob that is written; blocking for large files."""
        return Content(blob.name, blob.stat().st_size, hashing.hash_file(blob))

    def read(self, path: str) -> bytes:
        """Return the bytes of a file; raises NotFoundError."""
        return self.path_on_disk(path).read_bytes()

    def path_on_disk(self, path: str) -> Path:
        """Where the bytes of the file at `path` lie; writing there damages the file silently."""
        return self.blob_path(self.get_file(path))

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder is at `path`."""
        return self.live(path) is not None

    def list(self, path: str = "") -> list[StoredFile]:
        """List all files below `path`, sorted by path."""
        below = (entry for entry in self.descendants(path) if isinstance(entry, StoredFile))
        return sorted(below, key=lambda file: paths.key(file.path))

    def purge(self) -> None:
        """Free the disk space of deleted files and old revisions; they cannot be restored then."""
        kept = {entry.blob for entry in self.entries.values() if isinstance(entry, StoredFile)}
        for file in self.revisions.values():
            if file.blob not in kept:
                self.blob_path(file).unlink(missing_ok=True)
        self._forget_purged()

    def _forget_purged(self) -> None:
        self.revisions = {
            rev: file for rev, file in self.revisions.items() if self.blob_path(file).exists()
        }
        for path_key, history in self.history.items():
            self.history[path_key] = [
                entry
                for entry in history
                if isinstance(entry, Tombstone) or entry.rev in self.revisions
            ]

    def expire_cursors(self) -> None:
        """Make every cursor of this namespace answer `reset`."""
        self.cursor_epoch += 1
        self._epoch_path.write_text(str(self.cursor_epoch))
        for watcher in self.watchers:
            watcher.set()

    # -- the change log --------------------------------------------------------------------------

    def _record(self, entry: Entry) -> None:
        self._apply(entry)
        self._journal.write(json.dumps(to_json(entry)) + "\n")
        self._journal.flush()
        for watcher in self.watchers:
            watcher.set()

    def _apply(self, entry: Entry) -> None:
        path_key = paths.key(entry.path)
        previous = self.entries.get(path_key)
        if isinstance(previous, StoredFile):
            self.used -= previous.size
        if isinstance(entry, StoredFile):
            self.used += entry.size
            self.revisions[entry.rev] = entry
        if isinstance(entry, StoredFile | Tombstone):
            self.history.setdefault(path_key, []).append(entry)
        self.entries[path_key] = entry
        self.log.append(path_key)
        self.last_change[path_key] = len(self.log)
        lives = self._lives.setdefault(path_key, [])
        is_live = bool(lives) and lives[-1][1] is None
        if isinstance(entry, Tombstone) and is_live:
            lives[-1] = (lives[-1][0], len(self.log))
        elif not isinstance(entry, Tombstone) and not is_live:
            lives.append((len(self.log), None))

    def _replay(self) -> None:
        if not self._journal_path.exists():
            return
        with self._journal_path.open(encoding="utf-8") as journal:
            for line in journal:
                if line.endswith("\n"):  # a torn last line was never answered
                    self._apply(from_json(json.loads(line)))
        self._forget_purged()

    # -- rules -----------------------------------------------------------------------------------

    def _may_write(self, path: str, mode: str, rev: str | None, *, strict_conflict: bool) -> bool:
        existing = self.live(path)
        if existing is None:
            # Without strictness an update of a file that is gone simply writes it again.
            return not (mode == "update" and strict_conflict)
        if isinstance(existing, StoredFolder):
            return False
        return mode == "overwrite" or (mode == "update" and existing.rev == rev)

    def _free_name(self, path: str, *, conflicted: bool) -> str:
        # Dropbox counts from 2 for `add`; a conflicted copy has no number at first.
        for number in range(1 if conflicted else 2, 10_000):
            candidate = (
                paths.conflicted(path, number) if conflicted else paths.numbered(path, number)
            )
            if self.live(candidate) is None:
                return candidate
        raise ConflictError("file")

    def _make_parents(self, path: str) -> str:
        """Create missing parents; return `path` with the case that the parents already have."""
        above = ""
        for folder in paths.ancestors(path):
            wanted = f"{above}/{paths.name(folder)}"
            entry = self.live(wanted)
            if isinstance(entry, StoredFile):
                raise ConflictError("file_ancestor")
            if entry is None:
                entry = StoredFolder(wanted, _new_id())
                self._record(entry)
            above = entry.path
        return f"{above}/{paths.name(path)}"

    def _bury(self, entry: StoredFile | StoredFolder) -> None:
        now = self.clock.timestamp()
        for item in self.descendants(entry.path) if isinstance(entry, StoredFolder) else []:
            self._record(
                Tombstone(item.path, isinstance(item, StoredFolder), implied=True, deleted_at=now)
            )
        self._record(
            Tombstone(entry.path, isinstance(entry, StoredFolder), implied=False, deleted_at=now)
        )

    def _new_rev(self) -> str:
        """Dropbox's revs are at least nine hex digits and are not comparable."""
        return f"{self.head + 1:08x}{secrets.token_hex(8)}"


def _new_id() -> str:
    return "id:" + secrets.token_urlsafe(16)
