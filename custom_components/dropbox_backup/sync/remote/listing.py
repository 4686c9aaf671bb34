"""What lies in the backup folder, remembered over a restart: so that Home Assistant's Backups page
opens also while Dropbox is away, and that the next listing costs one request.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from homeassistant.core import HomeAssistant
import voluptuous as vol

from ... import untrusted
from ...dropbox_api.types import Entry, File
from ..decide.models import RemoteFile
from ..storage.account_notes import listing_name
from ..storage.file import StorageFile
from .catalog import NOTHING_ELSE, Catalog, Rest, read_catalog, write_catalog

# In seconds: losing it costs a few requests.
_DELAY = 10.0
_APP = "app"
# With a number: a later version may recognise more.
_FOREIGN = "foreign_1"


@dataclass(slots=True)
class Listing:
    """The files as of `cursor`, by lower-case name: Dropbox's names differ in more than case.

    A listing, perhaps of several pages, describes the folder as it was when the listing began or
    later. So it may be older than an answer to one of our own calls, and it never mentions what
    came and went between two listings. Therefore `unlisted` has the files that we know only from
    such an answer, by lower-case name, each with the number of the listing that had begun last. A
    later listing must mention them; if it does not, Dropbox is asked for each. `_gone` has the
    revisions that we know were deleted since the last listing began.
    """

    cursor: str
    files: dict[str, RemoteFile] = field(default_factory=dict)
    unlisted: dict[str, int] = field(default_factory=dict)
    looks: int = 0
    _gone: set[str] = field(default_factory=set)

    @property
    def archives(self) -> list[RemoteFile]:
        """The files that may be backups."""
        return [file for name, file in self.files.items() if name.endswith(".tar")]

    def begin(self) -> None:
        """Note that a listing begins."""
        self.looks += 1
        self._gone.clear()

    def take(self, changes: Mapping[str, RemoteFile | None]) -> None:
        """Take note of what `changes_of` returned."""
        for name, file in changes.items():
            if not self._takes(name, file):
                continue
            self.unlisted.pop(name, None)
            if file is not None:
                self.files[name] = file
            else:
                self.files.pop(name, None)

    def replaces(self, earlier: Listing) -> None:
        """Take over from an earlier listing what this one, which began from nothing, may lack."""
        self._gone |= earlier._gone
        for name, file in list(self.files.items()):
            if file.rev in self._gone:
                del self.files[name]
        for name, look in earlier.unlisted.items():
            known = earlier.files[name]
            if not self.has(known) and (name not in self.files or look >= self.looks):
                self.files[name], self.unlisted[name] = known, look

    def unmentioned(self) -> list[RemoteFile]:
        """Return the files that the listing that has ended should have mentioned, and did not."""
        return [self.files[name] for name, look in self.unlisted.items() if look < self.looks]

    def insert(self, file: RemoteFile) -> None:
        """Take note of a file that Dropbox told of in another answer."""
        name = file.name.lower()
        self.files[name], self.unlisted[name] = file, self.looks

    def remove(self, file: RemoteFile) -> None:
        """Take note that this revision of a file is gone."""
        self._gone.add(file.rev)
        if self.has(file):
            del self.files[file.name.lower()]
            self.unlisted.pop(file.name.lower(), None)

    def has(self, file: RemoteFile) -> bool:
        """Tell whether this revision is what lies under its name."""
        there = self.files.get(file.name.lower())
        return there is not None and there.rev == file.rev

    def _takes(self, name: str, file: RemoteFile | None) -> bool:
        if file is not None and file.rev in self._gone:
            return False  # this listing began before we deleted the file
        # Until a later listing, only the same revision is believed.
        return self.unlisted.get(name, -1) < self.looks or (file is not None and self.has(file))


def changes_of(entries: Iterable[Entry]) -> dict[str, RemoteFile | None]:
    """Return what a page of a listing says of files, by lower-case name; None: it is gone, or a
    folder took its place. Blocking for large pages.
    """
    return {entry.name.lower(): file_of(entry) for entry in entries}


def file_of(entry: Entry) -> RemoteFile | None:
    """Return the file that Dropbox tells of, None if it tells of none."""
    return remote_file(entry) if isinstance(entry, File) else None


def remote_file(file: File) -> RemoteFile:
    """Return what we keep of a file."""
    return RemoteFile(file.name, file.rev, file.size, file.content_hash, file.server_modified)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The backup folder as it was at one moment."""

    path: str
    cursor: str
    files: Mapping[str, RemoteFile]
    # Names of files that no listing has mentioned yet.
    unlisted: frozenset[str]
    catalog: Catalog
    # The revision of the catalog; None if there was none.
    catalog_rev: str | None
    catalog_rest: Rest = NOTHING_ELSE
    # Revisions of files that look like backups by name and are not.
    foreign: frozenset[str] = frozenset()


_SNAPSHOT = vol.Schema(
    {
        vol.Required("path"): str,
        vol.Required("cursor"): partial(untrusted.exact, longest=untrusted.LONGEST_TEXT),
        vol.Required("files"): [
            vol.ExactSequence(
                [
                    untrusted.exact,
                    untrusted.exact,
                    untrusted.size,
                    untrusted.content_hash,
                    untrusted.date,
                ]
            )
        ],
        # Without it nobody knows which files were never seen in a listing.
        vol.Required("unlisted"): [str],
        vol.Required("catalog"): str,
        vol.Required("catalog_rev"): untrusted.optional(untrusted.exact),
        vol.Optional(_FOREIGN, default=list): [untrusted.exact],
    },
    extra=vol.REMOVE_EXTRA,
)


def parse_snapshot(data: object) -> Snapshot | None:
    """Return what was remembered. None if anything is wrong with it: a listing that lacks a file
    would never learn of it. Blocking for large folders.
    """
    try:
        values: dict[str, Any] = _SNAPSHOT(data)
    except vol.Invalid:
        return None
    catalog, rest = read_catalog(values["catalog"].encode(errors="replace"))
    known = [RemoteFile(*item) for item in values["files"]]
    return Snapshot(
        path=values["path"],
        cursor=values["cursor"],
        files={file.name.lower(): file for file in known},
        unlisted=frozenset(values["unlisted"]) & {file.name.lower() for file in known},
        catalog=catalog,
        catalog_rest=rest,
        catalog_rev=values["catalog_rev"],
        foreign=frozenset(values[_FOREIGN]),
    )


def write_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """Return it as JSON data. Blocking for large folders."""
    return {
        "path": snapshot.path,
        "cursor": snapshot.cursor,
        "files": [
            [file.name, file.rev, file.size, file.content_hash, file.uploaded.isoformat()]
            for file in snapshot.files.values()
        ],
        "unlisted": sorted(snapshot.unlisted),
        "catalog": write_catalog(snapshot.catalog, snapshot.catalog_rest).decode(),
        "catalog_rev": snapshot.catalog_rev,
        _FOREIGN: sorted(snapshot.foreign),
    }


class ListingCache:
    """The snapshot of one account on disk, beside its notes."""

    def __init__(
        self,
        hass: HomeAssistant,
        notes: str,
        app: str | None = None,
        file: Callable[..., StorageFile] = StorageFile,
    ) -> None:
        """Nothing is read yet. `app`: another one may see another Dropbox. `file` makes the
        file.
        """
        self._hass = hass
        self._app = app
        self._snapshot: Snapshot | None = None
        self._file = file(hass, listing_name(notes), self._content, delay=_DELAY, in_thread=True)

    async def load(self) -> Snapshot | None:
        """Return what an earlier run remembered."""
        data = await self._file.load()
        if isinstance(data, dict) and data.get(_APP) != self._app:
            return None
        self._snapshot = await self._hass.async_add_executor_job(parse_snapshot, data)
        return self._snapshot

    def remember(self, snapshot: Snapshot) -> None:
        """Write it down within seconds, if anything but the cursor changed: any of them is good to
        go on from.
        """
        before = self._snapshot
        if before is not None and (
            (before.path, before.catalog_rev) == (snapshot.path, snapshot.catalog_rev)
            and before.files == snapshot.files
            and before.foreign == snapshot.foreign
        ):
            return
        self._snapshot = snapshot
        self._file.changed()

    async def close(self) -> None:
        """Write a last time."""
        await self._file.close()

    def _content(self) -> dict[str, Any]:
        assert self._snapshot is not None  # there was none to be written before
        return {**write_snapshot(self._snapshot), _APP: self._app}
