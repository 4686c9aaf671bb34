"""The backup folder in Dropbox: what lies there, and the catalog beside it."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
import logging

from homeassistant.components.backup import AgentBackup

from ...codes import Reason
from ...dropbox_api.client import DropboxClient
from ...dropbox_api.errors import NotFoundError, RefusedError
from ...dropbox_api.threads import in_thread
from ...dropbox_api.types import File
from ..decide.file_names import file_name, file_names
from ..decide.models import BackupId, Protection, RemoteBackup, RemoteFile, Trouble
from ..decide.ownership import Ownership
from .archive_reader import ArchiveReader
from .catalog import entry_of
from .catalog_store import CatalogStore
from .inventory import backups_of, entries_of, entry_of_archive
from .listing import Listing, ListingCache, Snapshot
from .remote_files import RemoteFiles

_LOGGER = logging.getLogger(__name__)


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
        self._ownership = Ownership(instance_id, uploaded_by_us)
        self._cache = cache
        self._files = RemoteFiles(path, self._update)
        self._catalog = CatalogStore(client, self._files, self._reload)
        self._archive_reader = ArchiveReader(client)
        self._backups: dict[BackupId, RemoteBackup] = {}
        self._refresh_lock = asyncio.Lock()

    # Reading

    @property
    def path(self) -> str:
        """Where it is in Dropbox, without a slash at the end."""
        return self._files.path

    @property
    def cursor(self) -> str | None:
        """Dropbox's cursor as of the last refresh; None before the first."""
        return self._files.cursor

    def forget_cursor(self) -> None:
        """Forget the cursor, which Dropbox no longer knows: list everything next time."""
        self._files.forget_cursor()

    @property
    def known(self) -> bool:
        """Whether the contents are known: from a refresh, or from before the last restart."""
        return self._files.listing is not None

    @property
    def backups(self) -> tuple[RemoteBackup, ...]:
        """The backups as of the last refresh, or, before the first, as remembered; newest first."""
        return tuple(self._backups.values())

    @property
    def unknown_archives(self) -> int:
        """How many files look like backups, but nothing is known of them yet."""
        known = {backup.file.name for backup in self._backups.values()}
        return sum(file.name not in known for file in self._files.archives)

    @property
    def contents(self) -> set[str]:
        """The content hashes of all files that may be backups, whatever is known of them."""
        return {file.content_hash for file in self._files.archives}

    def get(self, backup_id: str) -> RemoteBackup | None:
        """Return one backup as of the last refresh."""
        return self._backups.get(BackupId(backup_id))

    def find(self, backup_id: str) -> RemoteBackup:
        """Return one backup as of the last refresh. Raises `NotFoundError`."""
        if (backup := self.get(backup_id)) is None:
            raise NotFoundError(Reason.of(Trouble.NOT_THERE, backup=backup_id))
        return backup

    def path_of(self, name: str) -> str:
        """Return the Dropbox path of a file in the folder."""
        return self._files.path_of(name)

    def path_for(self, backup: AgentBackup) -> str:
        """Return where a backup belongs."""
        return self.path_of(file_name(backup))

    async def recall(self) -> None:
        """Begin with what was known before the last restart."""
        snapshot = await self._cache.load() if self._cache else None
        if snapshot is not None and snapshot.path == self.path:
            unlisted = dict.fromkeys(snapshot.unlisted, 0)
            self._files.recall(Listing(snapshot.cursor, dict(snapshot.files), unlisted))
            self._catalog.recall(snapshot.catalog, snapshot.catalog_rev, snapshot.catalog_rest)
            self._archive_reader.foreign = snapshot.foreign
            await self._update_in_thread()

    def stop(self) -> None:
        """Read archives no more: the config entry is unloaded."""
        self._archive_reader.stop()

    def on_archives_read(self, call: Callable[[], object]) -> None:
        """Call when archives were read, or are to be read again, and a refresh would tell more."""
        self._archive_reader.on_news = call

    async def refresh(self, retry_for: float | None = None, *, adopt: bool = True) -> None:
        """Learn what changed. Raises `FolderMissingError`, else any `DropboxError`.

        `retry_for`: for how many seconds failing listings are tried again. `adopt`: whether to read
        archives that are not in the catalog, which takes some seconds at most, and goes on by
        itself, and to write the catalog.
        """
        async with self._refresh_lock:
            await self._list(self._client_for(retry_for))
            adopted = adopt and await self._adopt()
            await self._update_in_thread()
        if adopt and (adopted or self._catalog.is_behind):
            await self.save_catalog()

    # Changing

    async def insert(self, backup: RemoteBackup) -> None:
        """Take note of a backup that Dropbox has just made a file of. Returns when that has been
        written into the catalog; many that wait share one writing. Raises `DropboxError`.
        """
        if not self.known:
            return  # when it is listed, the journal proves whose this is
        self._catalog.record(backup.file.name, entry_of(backup))
        self._files.insert(backup.file)
        await self._catalog.write()

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
        entry = self._catalog.entries.get(file.name)
        if not self._files.has(file) or entry is None or entry.content_hash != file.content_hash:
            return False
        annotated = replace(
            entry,
            backup=protection.noted_in(entry.backup),
            protection=entry.protection if protection is Protection.UNKNOWN else protection,
            verified=entry.verified if verified is None else verified,
            owner=entry.owner if owner is None else owner,
            pinned=entry.pinned if pinned is None else pinned,
        )
        self._catalog.record(file.name, annotated)
        self._update()
        await self._catalog.write()
        return True

    async def ask(self, file: RemoteFile, retry_for: float | None = None) -> bool:
        """Ask Dropbox whether this very revision of a file is there now, and take note if not.
        Raises `DropboxError`.

        `retry_for`: for how many seconds it is asked again when it does not answer.
        """
        return await self._files.ask(self._client_for(retry_for), file)

    async def look(self, name: str, retry_for: float | None = None) -> File | None:
        """Ask Dropbox which file is under a name now, take note of it, and return it; None if there
        is none. Raises `DropboxError`.
        """
        return await self._files.look(self._client_for(retry_for), name)

    def free_name(self, backup: AgentBackup, taken: Collection[str] = ()) -> str:
        """Return the best name for a backup under which nothing lies as far as is known; `taken`
        are not free either. Raises `RefusedError` if there is none.
        """
        for name in file_names(backup):
            if name not in taken and self.file(name) is None:
                return name
        raise RefusedError(Trouble.NO_FREE_NAME)

    def file(self, name: str) -> RemoteFile | None:
        """Return the file under a name as far as is known."""
        return self._files.get(name)

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
        self._files.remove(file)

    async def save_catalog(self) -> None:
        """Write what is known into the catalog, if Dropbox lets us: it only saves work, because
        what is in it is in the archives as well.
        """
        await self._catalog.save()

    def _client_for(self, retry_for: float | None) -> DropboxClient:
        return self._client if retry_for is None else self._client.retrying_for(retry_for)

    # Learning

    async def _list(self, client: DropboxClient) -> None:
        """List what changed, and read the catalog if that did."""
        known_rev = self._catalog.rev
        await self._files.refresh(client)
        await self._catalog.load(known_rev)

    async def _reload(self) -> None:
        """Take over what another Home Assistant wrote into the catalog."""
        async with self._refresh_lock:
            self._catalog.forget_rev()
            await self._list(self._client)
            self._update()

    async def _adopt(self) -> bool:
        """Read what archives say of themselves that the catalog does not know; tell whether that
        brought any news.
        """
        assert self._files.listing is not None
        archives = self._files.archives
        described = await in_thread(entries_of, archives, self._catalog.entries)
        unknown = [file for file in archives if file.name not in described]
        found = await self._archive_reader.read(unknown, self._files.listing.files)
        return self._catalog.adopt(
            {file.name: entry_of_archive(file, one, self._ownership) for file, one in found}
        )

    # Showing

    def _update(self) -> None:
        """Derive the backups from files and catalog."""
        self._show(backups_of(self._files.archives, self._catalog.entries, self._ownership))

    async def _update_in_thread(self) -> None:
        """Do the same for the whole folder without holding up the event loop."""
        archives, entries = self._files.archives, self._catalog.entries
        backups = await in_thread(backups_of, archives, entries, self._ownership)
        if entries is self._catalog.entries and archives == self._files.archives:
            self._show(backups)
        else:  # one was recorded or deleted meanwhile
            self._update()

    def _show(self, backups: dict[BackupId, RemoteBackup]) -> None:
        self._backups = backups
        if self._cache is not None and (listing := self._files.listing) is not None:
            self._cache.remember(
                Snapshot(
                    self.path,
                    listing.cursor,
                    dict(listing.files),
                    frozenset(listing.unlisted),
                    self._catalog.entries,
                    self._catalog.rev,
                    self._catalog.rest,
                    self._archive_reader.foreign,
                )
            )
