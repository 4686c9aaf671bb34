"""The catalog in Dropbox: read when another Home Assistant wrote it, and written with what is known
here.
"""

from collections.abc import Awaitable, Callable
import logging

from ...dropbox_api.client import DropboxClient
from ...dropbox_api.content_hash import block_digests, content_hash
from ...dropbox_api.download import read_range
from ...dropbox_api.errors import ConflictError, DropboxError, NotFoundError
from ...dropbox_api.threads import in_thread
from ...dropbox_api.types import UploadCommit
from ..decide.file_names import CATALOG_NAME
from ..decide.models import RemoteFile
from .catalog import (
    NOTHING_ELSE,
    UNREADABLE,
    Catalog,
    CatalogEntry,
    Rest,
    read_catalog,
    write_catalog,
)
from .inventory import entries_of
from .remote_files import RemoteFiles
from .shared_write import SharedWrite

_LOGGER = logging.getLogger(__name__)

_TRIES_OF_WRITING = 5
# Tens of thousands of backups.
_LARGEST_CATALOG = 16 * 1024 * 1024


class CatalogStore:
    """The catalog as of revision `rev`, None if there is none: its `entries`, with what waits to be
    written, and the `rest` of it.

    `entries` is replaced whenever it changes. `write` returns when all that is known by now has
    been written; many that wait share one writing. It raises `DropboxError`.
    """

    def __init__(
        self, client: DropboxClient, files: RemoteFiles, reload: Callable[[], Awaitable[None]]
    ) -> None:
        """Nothing is read yet. `reload` lists the folder and has the catalog read again."""
        self.entries: Catalog = {}
        self.rev: str | None = None
        self.rest = NOTHING_ELSE
        self.write = SharedWrite(self._write)
        self._client = client
        self._files = files
        self._reload = reload
        # Not in Dropbox's catalog yet: what goes on top of what others wrote, and what below it.
        self._recorded: Catalog = {}
        self._adopted: Catalog = {}
        # The last writing failed: the catalog in Dropbox lacks what is known here.
        self._behind = False

    @property
    def is_behind(self) -> bool:
        """Tell whether Dropbox's catalog is to be written: what is known here could not be, or
        files are gone, and whoever deleted them did not say so there.
        """
        there = {file.name for file in self._files.archives}
        return self._behind or not self.entries.keys() <= there

    def recall(self, entries: Catalog, rev: str | None, rest: Rest) -> None:
        """Begin with what was known before the last restart."""
        self.entries, self.rev, self.rest = entries, rev, rest

    def forget_rev(self) -> None:
        """Have the next `load` read the catalog: another Home Assistant has written it."""
        self.rev = None

    def record(self, name: str, entry: CatalogEntry) -> None:
        """Take note of what we know better than whoever else wrote the catalog."""
        self.entries = {**self.entries, name: entry}
        self._recorded = {**self._recorded, name: entry}

    def adopt(self, found: Catalog) -> bool:
        """Take note of what archives say of themselves, unless something is known of them by now:
        whoever wrote that knows better. Tell whether there was any news.
        """
        known = {name: entry.content_hash for name, entry in self.entries.items()}
        news = {name: one for name, one in found.items() if known.get(name) != one.content_hash}
        self.entries = {**self.entries, **news}
        self._adopted = {**self._adopted, **news}
        return bool(news)

    async def save(self) -> None:
        """Write what is known, if Dropbox lets us: it only saves work, because what is in the
        catalog is in the archives as well.
        """
        try:
            await self.write()
        except DropboxError as err:
            # When Dropbox is full, its backups must still be shown, and deleting must still work.
            _LOGGER.info("The catalog could not be written, it will be later: %s", err)

    # Reading

    async def load(self, known_rev: str | None) -> None:
        """Read the catalog if its revision changed since `known_rev` was known, before the listing.

        If we have written it meanwhile, the listing is older than that.
        """
        if self.rev != known_rev:
            return
        file = self._files.get(CATALOG_NAME)
        if file is None:
            self.entries, self.rev, self.rest = self._with_unwritten({}), None, NOTHING_ELSE
        elif file.rev != self.rev:
            there, rest = await self._read(file)
            if rest.writable:
                # Entries that we can't read are not overwritten: what we know of them is kept here.
                ours = {name: one for name, one in self.entries.items() if name in rest.entries}
            else:
                ours = dict(self.entries)
                _LOGGER.info("The catalog is of a newer version, or too large; it is left as it is")
            self.entries = {**ours, **self._with_unwritten(there)}
            self.rev, self.rest = file.rev, rest

    async def _read(self, file: RemoteFile) -> tuple[Catalog, Rest]:
        if file.size > _LARGEST_CATALOG:
            return {}, UNREADABLE
        try:
            text = await read_range(self._client, file.rev, 0, file.size)
        except NotFoundError:
            return {}, NOTHING_ELSE
        return await in_thread(read_catalog, text)

    def _with_unwritten(self, catalog: Catalog) -> Catalog:
        """Combine what waits to be written with what Dropbox has."""
        return {**self._adopted, **catalog, **self._recorded}

    # Writing

    async def _write(self) -> None:
        try:
            await self._write_what_is_known()
        except DropboxError:
            self._behind = True
            raise

    async def _write_what_is_known(self) -> None:
        recorded, adopted = self._recorded, self._adopted
        for last_try in (False,) * (_TRIES_OF_WRITING - 1) + (True,):
            if not self.rest.writable:
                return  # it waits here, for a version that can
            if await self._try_to_write(must=last_try):
                break
            await self._reload()
        self._recorded = _without(self._recorded, recorded)
        self._adopted = _without(self._adopted, adopted)
        self._behind = False

    async def _try_to_write(self, *, must: bool) -> bool:
        """Write the catalog; return False, or with `must` raise, if somebody else has done so."""
        data, expected = await in_thread(
            _written, self._entries_of_files(), self.rest.of(self._files.archives)
        )
        commit = UploadCommit(self._files.path_of(CATALOG_NAME), replaces=self.rev)
        try:
            file = await self._client.upload(data, commit, expected)
        except ConflictError:
            if must:
                raise
            return False
        self.rev = file.rev
        self.entries = self._entries_of_files()
        return True

    def _entries_of_files(self) -> Catalog:
        """Return the entries of the files that are there."""
        return entries_of(self._files.archives, self.entries)


def _without(entries: Catalog, done: Catalog) -> Catalog:
    return {name: entry for name, entry in entries.items() if done.get(name) is not entry}


def _written(catalog: Catalog, rest: Rest) -> tuple[bytes, str]:
    """Return the catalog as it is uploaded, and its content hash."""
    data = write_catalog(catalog, rest)
    return data, content_hash(block_digests(data))
