"""What lies in the backup folder, remembered over a restart: so that Home Assistant's Backups page
opens also while Dropbox is away, and that the next listing costs one request.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import voluptuous as vol

from ..dropbox_api.client import FileMetadata, Metadata
from ..dropbox_api.sdk import files
from .catalog import Catalog, parse_catalog, write_catalog
from .models import RemoteFile
from .storage import StorageFile

# In seconds: losing it costs a few requests.
_DELAY = 10.0
_APP = "app"


@dataclass(slots=True)
class Listing:
    """The files as of `cursor`, by lower-case name: Dropbox's names differ in more than case."""

    cursor: str
    files: dict[str, RemoteFile] = field(default_factory=dict)

    @property
    def archives(self) -> list[RemoteFile]:
        """The files that may be backups."""
        return [file for name, file in self.files.items() if name.endswith(".tar")]

    def take(self, changes: Mapping[str, RemoteFile | None]) -> None:
        """Take note of what `changes_of` returned."""
        for name, file in changes.items():
            if file is not None:
                self.files[name] = file
            else:
                self.files.pop(name, None)


def changes_of(entries: Iterable[Metadata]) -> dict[str, RemoteFile | None]:
    """Return what a page of a listing says of files, by lower-case name; None: it is gone, or a
    folder took its place. Blocking for large pages.
    """
    return {
        entry.name.lower(): remote_file(entry) if isinstance(entry, files.FileMetadata) else None
        for entry in entries
    }


def remote_file(metadata: FileMetadata) -> RemoteFile:
    """Return what we keep of Dropbox's metadata of a file."""
    return RemoteFile(
        name=metadata.name,
        rev=metadata.rev,
        size=metadata.size,
        content_hash=metadata.content_hash or "",
        uploaded=metadata.server_modified.replace(tzinfo=UTC),
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folder at `path` as it was known at some time, with the catalog of a revision."""

    path: str
    cursor: str
    files: Mapping[str, RemoteFile]
    catalog: Catalog
    catalog_rev: str | None


def _date(value: object) -> datetime:
    date = dt_util.parse_datetime(value) if isinstance(value, str) else None
    if date is None or date.tzinfo is None:
        raise vol.Invalid("not a date with an offset")
    return date


_SNAPSHOT = vol.Schema(
    {
        vol.Required("path"): str,
        vol.Required("cursor"): vol.All(str, vol.Length(min=1)),
        vol.Required("files"): [
            vol.ExactSequence([str, str, vol.All(int, vol.Range(min=0)), str, _date])
        ],
        vol.Required("catalog"): str,
        vol.Required("catalog_rev"): vol.Any(None, str),
    },
    extra=vol.REMOVE_EXTRA,
)


def parse_snapshot(data: object) -> Snapshot | None:
    """Return what was remembered. None if anything is wrong with it: a listing that lacks a file
    would never learn of it. Blocking for large folders.
    """
    try:
        values: dict[str, Any] = _SNAPSHOT(data)
    except vol.Invalid, RecursionError:
        return None
    known = [RemoteFile(*item) for item in values["files"]]
    return Snapshot(
        path=values["path"],
        cursor=values["cursor"],
        files={file.name.lower(): file for file in known},
        catalog=parse_catalog(values["catalog"].encode(errors="replace")),
        catalog_rev=values["catalog_rev"],
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
        "catalog": write_catalog(snapshot.catalog).decode(),
        "catalog_rev": snapshot.catalog_rev,
    }


class ListingCache:
    """The snapshot of one config entry on disk."""

    def __init__(self, hass: HomeAssistant, entry_id: str, app: str | None = None) -> None:
        """Nothing is read yet. `app`: another one may see another Dropbox."""
        self._hass = hass
        self._app = app
        self._snapshot: Snapshot | None = None
        self._file = StorageFile(
            hass, f"{entry_id}.listing", self._content, delay=_DELAY, in_thread=True
        )

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
        ):
            return
        self._snapshot = snapshot
        self._file.changed()

    async def pause(self) -> None:
        """Write nothing until `resume`: Home Assistant packs its storage into a backup."""
        await self._file.pause()

    async def resume(self) -> None:
        """Write again, first what happened meanwhile."""
        await self._file.resume()

    async def close(self) -> None:
        """Write a last time."""
        await self._file.close()

    async def remove(self) -> None:
        """Delete the file: the config entry is gone."""
        await self._file.remove()

    def _content(self) -> dict[str, Any]:
        assert self._snapshot is not None  # there was none to be written before
        return {**write_snapshot(self._snapshot), _APP: self._app}
