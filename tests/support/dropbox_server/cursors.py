"""list_folder cursors: a position in a namespace's change log."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass, replace
import hashlib
import json

from tests.support.dropbox_server import paths
from tests.support.dropbox_server.entries import Entry, StoredFolder, Tombstone
from tests.support.dropbox_server.storage import FileTree

# Dropbox does not document how many entries come when no limit is given.
DEFAULT_LIMIT = 500


class ResetError(Exception):
    """The cursor is not valid any more; the client must list again."""


class FolderGoneError(Exception):
    """The folder of the cursor does not exist any more."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client is: `base` is the change at which it began, `position` the last it saw."""

    account_id: str
    namespace_id: str
    epoch: int
    folder: str
    folder_id: str
    recursive: bool
    include_deleted: bool
    limit: int
    base: int
    position: int

    def encode(self) -> str:
        """Make the opaque text that the client keeps."""
        payload = json.dumps(asdict(self), separators=(",", ":")).encode()
        check = hashlib.sha256(payload).digest()[:8]
        return "AA" + base64.urlsafe_b64encode(check + payload).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read a cursor; raises ResetError for anything that this server did not make."""
        try:
            raw = base64.urlsafe_b64decode(text.removeprefix("AA") + "=" * (-(len(text) - 2) % 4))
            check, payload = raw[:8], raw[8:]
            if hashlib.sha256(payload).digest()[:8] != check:
                raise ResetError
            return cls(**json.loads(payload))
        except (binascii.Error, ValueError, TypeError) as error:
            raise ResetError from error


def start(
    tree: FileTree,
    account_id: str,
    folder: StoredFolder | None,
    *,
    recursive: bool = False,
    include_deleted: bool = False,
    limit: int | None = None,
    latest: bool = False,
) -> Cursor:
    """Begin to list a folder (None is the root), or with `latest` only what changes from now on."""
    return Cursor(
        account_id=account_id,
        namespace_id=tree.namespace_id,
        epoch=tree.cursor_epoch,
        folder=paths.key(folder.path) if folder else "",
        folder_id=folder.id if folder else "",
        recursive=recursive,
        include_deleted=include_deleted,
        limit=limit or DEFAULT_LIMIT,
        base=tree.head,
        position=tree.head if latest else 0,
    )


def check(tree: FileTree, cursor: Cursor) -> None:
    """Raise ResetError or FolderGoneError if the cursor cannot go on."""
    if cursor.epoch != tree.cursor_epoch or cursor.position > tree.head:
        raise ResetError
    if not cursor.folder:
        return
    folder = tree.live(cursor.folder)
    if folder is None:
        raise FolderGoneError
    if folder.id != cursor.folder_id:
        # Deleted and made again: the children of the old folder were never reported as deleted.
        raise ResetError


def has_changes(tree: FileTree, cursor: Cursor, *, omit_passing: bool = False) -> bool:
    """Tell whether `page` would return anything."""
    entries, _, _ = page(tree, replace(cursor, limit=1), omit_passing=omit_passing)
    return bool(entries)


def page(
    tree: FileTree, cursor: Cursor, *, omit_passing: bool = False
) -> tuple[list[Entry], Cursor, bool]:
    """Return the next entries, the cursor behind them, and whether there are more.

    `omit_passing`: without what came and went since the cursor.
    """
    told: dict[str, Entry] = {}
    position = cursor.position
    for number in range(cursor.position + 1, tree.head + 1):
        path_key = tree.log[number - 1]
        latest = tree.last_change[path_key] == number
        passing = omit_passing and _came_and_went(tree, cursor, path_key)
        if latest and not passing and _visible(tree, cursor, path_key, number):
            teller = _teller(tree, cursor, path_key, number)
            if teller not in told and len(told) == cursor.limit:
                return list(told.values()), replace(cursor, position=position), True
            told[teller] = tree.entries[teller]
        position = number
    return list(told.values()), replace(cursor, position=position), False


def _came_and_went(tree: FileTree, cursor: Cursor, path_key: str) -> bool:
    gone = isinstance(tree.entries[path_key], Tombstone)
    return gone and not tree.lived_at(path_key, cursor.position)


def _visible(tree: FileTree, cursor: Cursor, path_key: str, number: int) -> bool:
    in_scope = (
        # A recursive listing contains the folder itself.
        paths.is_within(path_key, cursor.folder) or (path_key == cursor.folder != "")
        if cursor.recursive
        else paths.parent(path_key) == cursor.folder
    )
    if not in_scope or not isinstance(tree.entries[path_key], Tombstone):
        return in_scope
    return cursor.include_deleted or number > cursor.base


def _teller(tree: FileTree, cursor: Cursor, path_key: str, number: int) -> str:
    """Return the entry that tells of a change: for what went with its folder, the folder's.

    It comes on the same page. On a later one it may not come any more: the folder may be there
    again by then, and nobody would have told of what it lost.
    """
    entry, above = tree.entries[path_key], paths.parent(path_key)
    if (
        number > cursor.base
        and isinstance(entry, Tombstone)
        and entry.implied
        and isinstance(tree.entries.get(above), Tombstone)
    ):
        return _teller(tree, cursor, above, tree.last_change[above])
    return path_key
