"""Where the backups lie: directories with archives, and what Supervisor tells about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import shutil
from typing import Any

from . import archives

LOCAL = ".local"
CLOUD = ".cloud_backup"


class NoSuchBackupError(Exception):
    """There is no such backup, or not in that location."""


@dataclass(slots=True)
class StoredBackup:
    """One backup: its `backup.json`, and its archive in each location that has it."""

    description: dict[str, Any]  # Any: JSON
    paths: dict[str, Path]

    @property
    def slug(self) -> str:
        """The id."""
        return str(self.description["slug"])

    def path(self, location: str | None = None) -> Path:
        """Return the archive in a location, by default in the one Supervisor prefers."""
        if location is None:
            location = LOCAL if LOCAL in self.paths else next(iter(self.paths))
        if location not in self.paths:
            raise NoSuchBackupError(location)
        return self.paths[location]

    def brief(self) -> dict[str, Any]:
        """Return the backup as in the list of all."""
        about = self.description
        return {
            **{key: about[key] for key in ("slug", "name", "date", "type", "compressed")},
            "content": {
                "homeassistant": about["homeassistant"] is not None,
                "addons": [addon["slug"] for addon in about["addons"]],
                "folders": about["folders"],
            },
            "location_attributes": {
                location: {"protected": about["protected"], "size_bytes": path.stat().st_size}
                for location, path in self.paths.items()
            },
        }

    def complete(self) -> dict[str, Any]:
        """Return everything about the backup."""
        about = self.description
        core = about["homeassistant"]
        return {
            **self.brief(),
            **{key: about[key] for key in ("addons", "folders", "repositories", "extra")},
            "supervisor_version": about["supervisor_version"],
            "homeassistant": core["version"] if core else None,
            "homeassistant_exclude_database": core["exclude_database"] if core else None,
        }


class BackupStore:
    """All backups in all locations."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.locations: dict[str, Path] = {}
        self.backups: dict[str, StoredBackup] = {}
        for location in (LOCAL, CLOUD):
            self.add_location(location)

    def add_location(self, name: str) -> None:
        """Make room for backups under a name."""
        self.locations[name] = self._directory / name.lstrip(".")
        self.locations[name].mkdir(parents=True)

    def get(self, slug: str) -> StoredBackup:
        """Return one backup."""
        if slug not in self.backups:
            raise NoSuchBackupError(slug)
        return self.backups[slug]

    def listed(self) -> list[StoredBackup]:
        """Return what Supervisor lists: not what lies only where Home Assistant fetches it."""
        return [backup for backup in self.backups.values() if set(backup.paths) != {CLOUD}]

    def make(self, contents: archives.Contents, locations: list[str]) -> StoredBackup:
        """Write a new backup. Blocking."""
        path = self.locations[locations[0]] / f"{contents.slug}.tar"
        archives.write(path, contents)
        return self._register(path, locations)

    def receive(self, path: Path, locations: list[str]) -> StoredBackup:
        """Take over an archive. Blocking; raises `tarfile.TarError` or `KeyError`."""
        slug = archives.read_description(path)["slug"]
        target = self.locations[locations[0]] / f"{slug}.tar"
        shutil.move(path, target)
        return self._register(target, locations)

    def remove(self, slug: str, locations: list[str] | None = None) -> None:
        """Delete a backup from some locations, by default from all."""
        backup = self.get(slug)
        for location in locations or list(backup.paths):
            backup.path(location).unlink()
            del backup.paths[location]
        if not backup.paths:
            del self.backups[slug]

    def _register(self, path: Path, locations: list[str]) -> StoredBackup:
        description = archives.read_description(path)
        backup = StoredBackup(description, {locations[0]: path})
        for location in locations[1:]:
            backup.paths[location] = Path(shutil.copy(path, self.locations[location]))
        there = self.backups.setdefault(backup.slug, backup)
        there.paths.update(backup.paths)
        return there
