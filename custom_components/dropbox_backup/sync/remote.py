"""The backup folder in Dropbox: what lies there, and the catalog beside it."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
import logging
from typing import Any

from homeassistant.components.backup import AgentBackup

from ..dropbox_api.client import DropboxClient, FileMetadata, Metadata, UploadCommit
from ..dropbox_api.content_hash import block_digests, content_hash
from ..dropbox_api.download import read_range
from ..dropbox_api.errors import (
    CursorResetError,
    DropboxError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from ..dropbox_api.threads import in_thread
from .catalog import (
    NOTHING_ELSE,
    UNREADABLE,
    Catalog,
    CatalogEntry,
    Rest,
    entry_of,
    read_catalog,
    write_catalog,
)
from .described import Proof, backups_of, entries_of
from .listing import Listing, ListingCache, Snapshot, changes_of, file_of
from .models import BackupId, Protection, RemoteBackup, RemoteFile, made_by
from .names import CATALOG_NAME, file_name, file_names
from .remote_archive import ArchiveReader
from .shared_write import SharedWrite

_LOGGER = logging.getLogger(__name__)

_TRIES_OF_CATALOG = 5
# Tens of thousands of backups.
_LARGEST_CATALOG = 16 * 1024 * 1024
# What a page may have so that it is a matter of a moment.
_SHORT_PAGE = 100
# How often a listing begins whose cursors die between two pages.
_TRIES_OF_LISTING = 4


class FolderMissingError(NotFoundError):
    """There is no backup folder: Dropbox said so when it was asked to list it from its beginning,
    and only that tells.
    """


class BackupFolder:
    """The folder's backups, kept in memory: reading them costs nothing, refreshing them one request
    and often no more.

    `uploaded_by_us` returns from the journal the content hash that we uploaded for a backup id: it
    proves whose a file is when archive and catalog don't say. `cache` remembers the folder over a
    restart.
    """

    def __init__(
        self,
        client: DropboxClient,
        path: str,
        instance_id: str,
        uploaded_by_us: Callable[[BackupId], str | None],
        cache: ListingCache | None = None,
    ) -> None:
        """Nothing is asked yet."""
        self._client = client
        self.path = path.rstrip("/")
        self._proof = Proof(instance_id, uploaded_by_us)
        self._cache = cache
        self._listing: Listing | None = None
        self._seen = False
        self._cursor_is_dead = False
        self._catalog: Catalog = {}
        self._catalog_rev: str | None = None
        self._catalog_rest = NOTHING_ELSE
        self._archive_reader = ArchiveReader(client)
        self._backups: dict[BackupId, RemoteBackup] = {}
        self._refresh_lock = asyncio.Lock()
        self._save_catalog = SharedWrite(self._write_catalog)
        # Not in Dropbox's catalog yet: what goes on top of what others wrote, and what below it.
        self._recorded: Catalog = {}
        self._adopted: Catalog = {}
        # The last writing failed: the catalog in Dropbox lacks what is known here.
        self._behind = False

    # Reading

    @property
    def cursor(self) -> str | None:
        """Dropbox's name for the state of the folder at the last refresh, None before the first."""
        return self._listing.cursor if self._listing and self._seen else None

    def forget_cursor(self) -> None:
        """Take note that Dropbox does not know the cursor any more: list anew at the next look."""
        self._seen = False
        self._cursor_is_dead = True

    @property
    def known(self) -> bool:
        """Tell whether it was seen what lies there, at a refresh or before the last restart."""
        return self._listing is not None

    @property
    def backups(self) -> tuple[RemoteBackup, ...]:
        """The backups as of the last refresh, or, before the first, as remembered; newest first."""
        return tuple(self._backups.values())

    @property
    def unknown_archives(self) -> int:
        """How many files look like backups, but nothing is known of them yet."""
        known = {backup.file.name for backup in self._backups.values()}
        return sum(file.name not in known for file in self._archives())

    def get(self, backup_id: str) -> RemoteBackup | None:
        """Return one backup as of the last refresh."""
        return self._backups.get(BackupId(backup_id))

    def find(self, backup_id: str) -> RemoteBackup:
        """Return one backup as of the last refresh. Raises `NotFoundError`."""
        if (backup := self.get(backup_id)) is None:
            raise NotFoundError(f"there is no backup {backup_id} in Dropbox")
        return backup

    def path_of(self, name: str) -> str:
        """Return the Dropbox path of a file in the folder."""
        return f"{self.path}/{name}"

    def path_for(self, backup: AgentBackup) -> str:
        """Return where a backup belongs."""
        return self.path_of(file_name(backup))

    async def recall(self) -> None:
        """Begin with what was known before the last restart."""
        snapshot = await self._cache.load() if self._cache else None
        if snapshot is not None and snapshot.path == self.path:
            unlisted = dict.fromkeys(snapshot.unlisted, 0)
            self._listing = Listing(snapshot.cursor, dict(snapshot.files), unlisted)
            self._catalog, self._catalog_rev = snapshot.catalog, snapshot.catalog_rev
            self._catalog_rest = snapshot.catalog_rest
            self._archive_reader.foreign = snapshot.foreign
            await self._updatein_thread()

    def stop(self) -> None:
        """Read archives no more: the config entry is unloaded."""
        self._archive_reader.stop()

    def on_archives_read(self, call: Callable[[], object]) -> None:
        """Call when archives were read, or are to be read again, and a refresh would tell more."""
        self._archive_reader.on_news = call

    async def refresh(self, patience: float = 60.0, *, adopt: bool = True) -> None:
        """Learn what changed. Raises `FolderMissingError`, else any `DropboxError`.

        `patience`: for how many seconds failing listings are tried again. `adopt`: whether to read
        archives that are not in the catalog, which takes some seconds at most, and goes on by
        itself, and to write the catalog.
        """
        async with self._refresh_lock:
            known_rev = self._catalog_rev
            await self._list(self._client.with_patience(patience))
            await self._load_catalog(known_rev)
            adopted = await self._adopt() if adopt else {}
            await self._updatein_thread()
        if adopt and (adopted or self._behind or self._catalog_has_more()):
            await self.save_catalog()

    # Changing

    async def insert(self, backup: RemoteBackup) -> None:
        """Take note of a backup that Dropbox has just made a file of. Returns when that has been
        written into the catalog; many that wait share one writing. Raises `DropboxError`.
        """
        if self._listing is None:
            return  # when it is listed, the journal proves whose this is
        self._listing.insert(backup.file)
        await self._note(backup.file.name, entry_of(backup))

    async def annotate(
        self,
        file: RemoteFile,
        *,
        verified: datetime | None = None,
        owner: str | None = None,
        pinned: bool | None = None,
        protection: Protection = Protection.UNKNOWN,
    ) -> bool:
        """Add to what is known of the backup that is in this very revision of a file, if that is
        still what lies there; tell whether it is. An annotation never creates a file.

        `protection`: what its bytes are, whatever it says of itself.

        Returns when that has been written. Raises `DropboxError`.
        """
        entry = self._catalog.get(file.name)
        if self._listing is None or not self._listing.has(file):
            return False
        if entry is None or entry.content_hash != file.content_hash:
            return False
        flag = protection.as_flag
        annotated = replace(
            entry,
            backup=entry.backup if flag is None else replace(entry.backup, protected=flag),
            protection=entry.protection if protection is Protection.UNKNOWN else protection,
            verified=entry.verified if verified is None else verified,
            owner=entry.owner if owner is None else owner,
            pinned=entry.pinned if pinned is None else pinned,
        )
        await self._note(file.name, annotated)
        return True

    async def ask(self, file: RemoteFile, patience: float = 60.0) -> bool:
        """Ask Dropbox whether this very revision of a file is there now, and take note if not.
        Raises `DropboxError`.

        `patience`: for how many seconds it is asked again when it does not answer.
        """
        return await self._ask(self._client.with_patience(patience), file)

    async def look(self, name: str, patience: float = 60.0) -> FileMetadata | None:
        """Ask Dropbox which file is under a name now, take note of it, and return its
        `files.FileMetadata`; None if there is none. Raises `DropboxError`.
        """
        return await self._look(self._client.with_patience(patience), name)

    def free_name(self, backup: AgentBackup, taken: Collection[str] = ()) -> str:
        """Return the best name for a backup under which nothing lies as far as is known; `taken`
        are not free either. Raises `RefusedError` if there is none.
        """
        there = self._listing.files if self._listing else {}
        for name in file_names(backup):
            if name not in taken and name.lower() not in there:
                return name
        raise RefusedError("there are too many files with the name of this backup")

    def file(self, name: str) -> RemoteFile | None:
        """Return the file under a name as far as is known."""
        return self._listing.files.get(name.lower()) if self._listing else None

    async def delete(self, backup: RemoteBackup) -> None:
        """Delete a backup, only with the content it had when it was judged. It being gone already
        is fine. The catalog is to be saved afterwards.

        Raises `RefusedError` if another file has taken its place.
        """
        await self.delete_file(backup.file)

    async def delete_file(self, file: RemoteFile) -> None:
        """Delete a file in this very revision. It being gone already is fine.

        Raises `RefusedError` if another one has taken its place.
        """
        try:
            await self._client.delete(self.path_of(file.name), file.rev)
        except NotFoundError:
            _LOGGER.debug("%s was deleted by somebody else", file.name)
        self._forget(file)

    async def save_catalog(self) -> None:
        """Write what is known into the catalog, if Dropbox lets us: it only saves work, because
        what is in it is in the archives as well.
        """
        try:
            await self._save_catalog()
        except DropboxError as err:
            # A full Dropbox must neither hide its backups nor keep anybody from deleting some.
            _LOGGER.info("The catalog could not be written, it will be later: %s", err)

    # Listing

    async def _list(self, client: DropboxClient) -> None:
        """Bring the listing up to date: everything the first time, then only what changed."""
        if self._listing is None or not await self._list_changes(client, self._listing):
            listing = await self._list_all(client)
            if self._listing is not None:
                listing.replaces(self._listing)
            self._listing = listing
            self._cursor_is_dead = False
        await self._ask_for_unmentioned(client)
        self._seen = True

    async def _list_changes(self, client: DropboxClient, listing: Listing) -> bool:
        """Take what changed since the cursor; return False if everything is to be listed anew."""
        if self._cursor_is_dead:
            return False
        listing.begin()
        try:
            result = await client.list_folder_continue(listing.cursor)
            await self._take_pages(client, listing, result)
        except CursorResetError, NotFoundError, RefusedError:
            # Dropbox asks to start again, at any page, or the folder is gone: listing it will tell.
            self._seen = False
            return False
        return True

    async def _list_all(self, client: DropboxClient) -> Listing:
        """List everything, again if Dropbox asks for that between two pages.

        Raises `FolderMissingError`.
        """
        for _ in range(_TRIES_OF_LISTING):
            listing = Listing(cursor="", looks=self._listing.looks if self._listing else 0)
            try:
                result = await client.list_folder(self.path)
            except NotFoundError as err:
                self._forget_all()
                raise FolderMissingError(err.reason, err.request_id) from err
            try:
                await self._take_pages(client, listing, result)
            except CursorResetError, NotFoundError:
                continue
            return listing
        raise UnreachableError("the listing must start again and again")

    async def _ask_for_unmentioned(self, client: DropboxClient) -> None:
        """Ask for the files that only our own calls know of: they may have come and gone."""
        assert self._listing is not None
        for file in self._listing.unmentioned():
            await self._ask(client, file)

    async def _ask(self, client: DropboxClient, file: RemoteFile) -> bool:
        found = await self._look(client, file.name)
        if found is not None and (found.rev, found.content_hash) == (file.rev, file.content_hash):
            return True
        self._update()
        return False

    async def _look(self, client: DropboxClient, name: str) -> FileMetadata | None:
        before = self.file(name)
        try:
            metadata = await client.get_metadata(self.path_of(name))
        except NotFoundError:
            metadata = None
        found = file_of(metadata)
        # What we put there ourselves meanwhile, or deleted, is newer than this answer.
        if self._listing is not None and self.file(name) == before:
            if before is not None and (found is None or found.rev != before.rev):
                self._listing.remove(before)
            if found is not None and not self._listing.has(found):
                self._listing.insert(found)
                self._update()
        return metadata if found is not None else None

    async def _take_pages(self, client: DropboxClient, listing: Listing, result: Any) -> None:
        while True:
            listing.take(await self._changes(result.entries))
            if result.has_more and result.cursor == listing.cursor:
                raise UnreachableError("the listing does not end")
            listing.cursor = result.cursor
            if not result.has_more:
                return
            result = await client.list_folder_continue(listing.cursor)

    async def _changes(self, entries: Sequence[Metadata]) -> dict[str, RemoteFile | None]:
        # Without a pause for what can be done in a moment: nothing can come in between then.
        if len(entries) < _SHORT_PAGE:
            return changes_of(entries)
        return await in_thread(changes_of, entries)

    # Catalog

    async def _load_catalog(self, known_rev: str | None) -> None:
        """Read the catalog if its revision changed since `known_rev` was known, before the listing.

        If we have written it meanwhile, the listing is older than that.
        """
        assert self._listing is not None
        if self._catalog_rev != known_rev:
            return
        file = self._listing.files.get(CATALOG_NAME)
        if file is None:
            self._catalog, self._catalog_rev = self._with_unwritten({}), None
            self._catalog_rest = NOTHING_ELSE
        elif file.rev != self._catalog_rev:
            there, rest = await self._read_catalog(file)
            if rest.writable:
                # What is unreadable to us is not overwritten: so we must remember it ourselves.
                ours = {name: one for name, one in self._catalog.items() if name in rest.entries}
            else:
                ours = dict(self._catalog)
                _LOGGER.info("The catalog is of a newer version, or too large; it is left as it is")
            self._catalog, self._catalog_rev = {**ours, **self._with_unwritten(there)}, file.rev
            self._catalog_rest = rest

    async def _read_catalog(self, file: RemoteFile) -> tuple[Catalog, Rest]:
        if file.size > _LARGEST_CATALOG:
            return {}, UNREADABLE
        try:
            text = await read_range(self._client, file.rev, 0, file.size)
        except NotFoundError:
            return {}, NOTHING_ELSE
        return await in_thread(read_catalog, text)

    def _with_unwritten(self, catalog: Catalog) -> Catalog:
        """Put what waits to be written around what Dropbox has."""
        return {**self._adopted, **catalog, **self._recorded}

    def _catalog_has_more(self) -> bool:
        """Tell whether files are gone that the catalog lists: whoever deleted them did not say so
        there.
        """
        return not self._catalog.keys() <= {file.name for file in self._archives()}

    async def _note(self, name: str, entry: CatalogEntry) -> None:
        changed = {name: entry}
        self._take(changed)
        self._recorded = {**self._recorded, **changed}
        await self._save_catalog()

    def _take(self, changed: Catalog) -> None:
        self._catalog = {**self._catalog, **changed}
        self._update()

    async def _write_catalog(self) -> None:
        if not self._catalog_rest.writable:
            return  # it waits here, for a version that can
        try:
            await self._write_what_is_known()
        except DropboxError:
            self._behind = True
            raise
        self._behind = False

    async def _write_what_is_known(self) -> None:
        recorded, adopted = self._recorded, self._adopted
        for last_try in (False,) * (_TRIES_OF_CATALOG - 1) + (True,):
            if await self._try_to_write_catalog(must=last_try):
                break
            # Another Home Assistant wrote it: take over what it knows, then write again.
            await self._reload_catalog()
            self._take(self._with_unwritten(self._catalog))
            if not self._catalog_rest.writable:
                return
        self._recorded = _without(self._recorded, recorded)
        self._adopted = _without(self._adopted, adopted)

    async def _try_to_write_catalog(self, *, must: bool) -> bool:
        """Write the catalog, or tell that somebody else has; with `must` raise that."""
        data, expected = await in_thread(
            _written, self._current_catalog(), self._catalog_rest.of(self._archives())
        )
        commit = UploadCommit(self.path_of(CATALOG_NAME), replaces=self._catalog_rev)
        try:
            metadata = await self._client.upload(data, commit, expected)
        except RefusedError as err:
            if must or "conflict" not in err.reason:
                raise
            return False
        self._catalog_rev = metadata.rev
        self._catalog = self._current_catalog()
        return True

    def _current_catalog(self) -> Catalog:
        """Return the entries of the files that are there."""
        return entries_of(self._archives(), self._catalog)

    async def _reload_catalog(self) -> None:
        async with self._refresh_lock:
            self._catalog_rev = None
            await self._list(self._client)
            await self._load_catalog(None)
            self._update()

    # Recognising

    async def _adopt(self) -> Catalog:
        """Read the metadata of archives that the catalog does not know; return their entries."""
        assert self._listing is not None
        archives = self._archives()
        described = await in_thread(entries_of, archives, self._catalog)
        unknown = [file for file in archives if file.name not in described]
        backups = await self._archive_reader.read(unknown, self._listing.files)
        found = {
            file.name: self._proof.added_to(
                CatalogEntry(file.content_hash, backup, made_by(backup))
            )
            for file, backup in backups
        }
        self._catalog = {**self._catalog, **found}
        self._adopted = {**self._adopted, **found}
        return found

    # State

    def _archives(self) -> list[RemoteFile]:
        return self._listing.archives if self._listing else []

    def _update(self) -> None:
        """Derive the backups from files and catalog."""
        self._show(backups_of(self._archives(), self._catalog, self._proof))

    async def _updatein_thread(self) -> None:
        """Do the same for the whole folder without holding up the event loop."""
        archives, catalog = self._archives(), self._catalog
        backups = await in_thread(backups_of, archives, catalog, self._proof)
        if catalog is self._catalog and archives == self._archives():
            self._show(backups)
        else:  # one was recorded or deleted meanwhile
            self._update()

    def _show(self, backups: dict[BackupId, RemoteBackup]) -> None:
        self._backups = backups
        if self._cache is not None and self._listing is not None:
            cursor, files = self._listing.cursor, dict(self._listing.files)
            unlisted = frozenset(self._listing.unlisted)
            known = Snapshot(
                self.path,
                cursor,
                files,
                unlisted,
                self._catalog,
                self._catalog_rev,
                self._catalog_rest,
                self._archive_reader.foreign,
            )
            self._cache.remember(known)

    def _forget_all(self) -> None:
        """Take note that there is no folder."""
        if self._listing is not None:
            for file in list(self._listing.files.values()):
                self._listing.remove(file)
        self._update()

    def _forget(self, file: RemoteFile) -> None:
        if self._listing is not None:
            self._listing.remove(file)
        self._update()


def _without(entries: Catalog, done: Catalog) -> Catalog:
    return {name: entry for name, entry in entries.items() if done.get(name) is not entry}


def _written(catalog: Catalog, rest: Rest) -> tuple[bytes, str]:
    """Return the catalog as it is uploaded, and its content hash."""
    data = write_catalog(catalog, rest)
    return data, content_hash(block_digests(data))
