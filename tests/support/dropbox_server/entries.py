"""What a namespace holds: files, folders, and what is left of deleted ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One revision of a file. `size` is in bytes; `blob` names the file on disk."""

    path: str
    id: str
    rev: str
    size: int
    content_hash: str
    client_modified: datetime
    server_modified: datetime
    blob: str


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder."""

    path: str
    id: str


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a deleted or moved entry.

    `implied` entries went with their folder: a delta names the folder only, which per Dropbox's
    docs means all of its children.
    """

    path: str
    was_folder: bool
    implied: bool
    deleted_at: datetime


Entry = StoredFile | StoredFolder | Tombstone


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that lie in the blob folder and are not committed to a path yet."""

    blob: str
    size: int
    content_hash: str


def to_json(entry: Entry) -> dict[str, object]:
    """Make the line of the change log."""
    match entry:
        case StoredFile():
            return {
                "file": entry.path,
                "id": entry.id,
                "rev": entry.rev,
                "size": entry.size,
                "hash": entry.content_hash,
                "client_modified": entry.client_modified.isoformat(),
                "server_modified": entry.server_modified.isoformat(),
                "blob": entry.blob,
            }
        case StoredFolder():
            return {"folder": entry.path, "id": entry.id}
        case Tombstone():
            return {
                "deleted": entry.path,
                "was_folder": entry.was_folder,
                "implied": entry.implied,
                "at": entry.deleted_at.isoformat(),
            }


def from_json(line: dict[str, object]) -> Entry:
    """Read a line of the change log."""
    if "file" in line:
        return StoredFile(
            path=str(line["file"]),
            id=str(line["id"]),
            rev=str(line["rev"]),
            size=int(str(line["size"])),
            content_hash=str(line["hash"]),
            client_modified=datetime.fromisoformat(str(line["client_modified"])),
            server_modified=datetime.fromisoformat(str(line["server_modified"])),
            blob=str(line["blob"]),
        )
    if "folder" in line:
        return StoredFolder(str(line["folder"]), str(line["id"]))
    return Tombstone(
        path=str(line["deleted"]),
        was_folder=bool(line["was_folder"]),
        implied=bool(line["implied"]),
        deleted_at=datetime.fromisoformat(str(line["at"])),
    )
