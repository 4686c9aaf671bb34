"""The files in the backup folder, as Dropbox tells of them."""

from collections.abc import Callable, Sequence

from ...dropbox_api.client import DropboxClient
from ...dropbox_api.errors import (
    CursorResetError,
    Fault,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from ...dropbox_api.threads import in_thread
from ...dropbox_api.types import Entry, File, NoFile, Page
from ..decide.models import RemoteFile
from .listing import Listing, changes_of, file_of

# A page with fewer entries is handled in the event loop, a longer one in a thread.
_SHORT_PAGE = 100
# How often a listing begins whose cursors die between two pages.
_TRIES_OF_LISTING = 4


class FolderMissingError(NotFoundError):
    """There is no backup folder: Dropbox said so when it was asked to list it from its beginning,
    and only that tells.
    """


class RemoteFiles:
    """What lies in a folder as of the last listing, and by what Dropbox has answered to our own
    calls since. `path`: that of the folder.

    `changed` is called when anything but a listing told something new. The `client` of each call
    tries again for as long as whoever waits for it would.
    """

    def __init__(self, path: str, changed: Callable[[], None]) -> None:
        """Nothing is asked yet."""
        self.path = path.rstrip("/")
        self._changed = changed
        self._listing: Listing | None = None
        self._seen = False
        self._cursor_is_dead = False

    # What is known

    @property
    def listing(self) -> Listing | None:
        """The last listing, or the one remembered from before the restart."""
        return self._listing

    @property
    def cursor(self) -> str | None:
        """Dropbox's cursor as of the last refresh; None before the first."""
        return self._listing.cursor if self._listing and self._seen else None

    @property
    def archives(self) -> list[RemoteFile]:
        """The files that may be backups."""
        return self._listing.archives if self._listing else []

    def get(self, name: str) -> RemoteFile | None:
        """Return the file under a name as far as is known."""
        return self._listing.files.get(name.lower()) if self._listing else None

    def has(self, file: RemoteFile) -> bool:
        """Tell whether this very revision is what lies under its name, as far as is known."""
        return self._listing is not None and self._listing.has(file)

    def path_of(self, name: str) -> str:
        """Return the Dropbox path of a file in the folder."""
        return f"{self.path}/{name}"

    # What others tell

    def recall(self, listing: Listing) -> None:
        """Begin with what was known before the last restart."""
        self._listing = listing

    def forget_cursor(self) -> None:
        """Forget the cursor, which Dropbox no longer knows: list everything next time."""
        self._seen = False
        self._cursor_is_dead = True

    def insert(self, file: RemoteFile) -> None:
        """Take note of a file that Dropbox has just made, if anything has been listed before."""
        if self._listing is not None:
            self._listing.insert(file)
            self._changed()

    def remove(self, file: RemoteFile) -> None:
        """Take note that this revision of a file is gone."""
        if self._listing is not None:
            self._listing.remove(file)
        self._changed()

    # Asking for one file

    async def ask(self, client: DropboxClient, file: RemoteFile) -> bool:
        """Ask Dropbox whether this very revision of a file is there now, and take note if not.
        Raises `DropboxError`.
        """
        found = await self.look(client, file.name)
        if found is not None and (found.rev, found.content_hash) == (file.rev, file.content_hash):
            return True
        self._changed()  # a listing that did not come to its end may have known
        return False

    async def look(self, client: DropboxClient, name: str) -> File | None:
        """Ask Dropbox which file is under a name now, take note of it, and return it; None if there
        is none. Raises `DropboxError`.
        """
        before = self.get(name)
        try:
            entry = await client.get_metadata(self.path_of(name))
        except NotFoundError:
            entry = NoFile(name)
        found = file_of(entry)
        # What we put there ourselves meanwhile, or deleted, is newer than this answer.
        if self._listing is not None and self.get(name) == before:
            if before is not None and (found is None or found.rev != before.rev):
                self.remove(before)
            # A revision never changes: what we remember of it otherwise is wrong.
            if found is not None and found != before:
                self.insert(found)
        return entry if isinstance(entry, File) else None

    # Listing

    async def refresh(self, client: DropboxClient) -> None:
        """Bring the listing up to date: everything the first time, then only what changed. Without
        a call of `changed` for what the listing itself tells.

        Raises `FolderMissingError`, else any `DropboxError`.
        """
        if self._listing is None or not await self._list_changes(client, self._listing):
            listing = await self._list_all(client)
            if self._listing is not None:
                listing.replaces(self._listing)
            self._listing = listing
            self._cursor_is_dead = False
        # Files that only our own calls told of may be gone again: ask for each.
        for file in self._listing.unmentioned():
            await self.ask(client, file)
        self._seen = True

    async def _list_changes(self, client: DropboxClient, listing: Listing) -> bool:
        """Take what changed since the cursor; return False if everything is to be listed anew."""
        listing.begin()
        if self._cursor_is_dead:
            return False
        try:
            page = await client.list_folder_continue(listing.cursor)
            await _take_pages(client, listing, page)
        except CursorResetError, NotFoundError, RefusedError:
            # Dropbox asks to start again, at any page, or the folder is gone: listing it will tell.
            self.forget_cursor()
            return False
        return True

    async def _list_all(self, client: DropboxClient) -> Listing:
        """List everything, again if Dropbox asks for that between two pages.

        Raises `FolderMissingError`.
        """
        for _ in range(_TRIES_OF_LISTING):
            listing = Listing(cursor="", looks=self._listing.looks if self._listing else 0)
            try:
                page = await client.list_folder(self.path)
            except NotFoundError as err:
                self._forget_all()
                raise FolderMissingError(err.fault, err.request_id) from err
            try:
                await _take_pages(client, listing, page)
            except CursorResetError, NotFoundError:
                continue
            return listing
        raise UnreachableError(Fault.LISTING_RESTARTS)

    def _forget_all(self) -> None:
        """Take note that there is no folder."""
        if self._listing is not None:
            for file in list(self._listing.files.values()):
                self._listing.remove(file)
        self._changed()


async def _take_pages(client: DropboxClient, listing: Listing, page: Page) -> None:
    """Take a page of a listing, and all that follow."""
    while True:
        listing.take(await _changes(page.entries))
        if page.has_more and page.cursor == listing.cursor:
            raise UnreachableError(Fault.LISTING_ENDLESS)
        listing.cursor = page.cursor
        if not page.has_more:
            return
        page = await client.list_folder_continue(listing.cursor)


async def _changes(entries: Sequence[Entry]) -> dict[str, RemoteFile | None]:
    # Without a pause for what can be done in a moment: nothing can come in between then.
    if len(entries) < _SHORT_PAGE:
        return changes_of(entries)
    return await in_thread(changes_of, entries)
