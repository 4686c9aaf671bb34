"""From what the server stores to Dropbox's types: metadata and error unions."""

from __future__ import annotations

from typing import Any

from tests.support.dropbox_server import paths
from tests.support.dropbox_server.entries import Entry, StoredFile, StoredFolder, Tombstone
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.schema import files
from tests.support.dropbox_server.storage import ConflictError, NotFoundError, StorageError


def metadata(entry: Entry) -> Any:
    """Make a FileMetadata, FolderMetadata or DeletedMetadata."""
    common = {
        "name": paths.name(entry.path),
        "path_lower": paths.key(entry.path),
        "path_display": entry.path,
    }
    match entry:
        case StoredFile():
            return files.FileMetadata(
                id=entry.id,
                client_modified=entry.client_modified,
                server_modified=entry.server_modified,
                rev=entry.rev,
                size=entry.size,
                content_hash=entry.content_hash,
                is_downloadable=True,
                **common,
            )
        case StoredFolder():
            return files.FolderMetadata(id=entry.id, **common)
        case Tombstone():
            return files.DeletedMetadata(**common)


def lookup_error(error: StorageError | PathRefusedError) -> Any:
    """Make a `LookupError` union."""
    if isinstance(error, NotFoundError):
        return files.LookupError(error.tag)
    return files.LookupError.malformed_path(None)


def write_error(error: StorageError | PathRefusedError) -> Any:
    """Make a `WriteError` union."""
    if isinstance(error, ConflictError):
        return files.WriteError.conflict(files.WriteConflictError(error.kind))
    if isinstance(error, PathRefusedError) and error.tag == "disallowed_name":
        return files.WriteError.disallowed_name
    return files.WriteError.malformed_path(None)
