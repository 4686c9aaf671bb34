"""Where the backups lie: directories with archives, and what Supervisor tells about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
import shutil
from typing import Any

from tests.support.supervisor import archives

LOCAL = ".local"
CLOUD = ".cloud_backup"
_MIB = 1 << 20
# Two archives of one backup may differ in these.
_MAY_DIFFER = {"protected"}


class NoSuchBackupError(Exception):
    """There is no such backup."""


class NotThereError(Exception):
    """There is such a backup, but not in that location."""


class DifferentError(Exception):
    """There is another backup with the same id."""


@dataclass(slots=True)
class StoredBackup:
    """One backup: its `backup.json`, and its archive in each location that has it. What is told of
    it was read when it was made or came in.
    """

    description: dict[str, Any]  # Any: JSON
    paths: dict[str, Path]
    protected: dict[str, bool] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The id."""
        return str(self.description["slug"])

    @property
    def locations(self) -> list[str]:
        """Where it is said to be: a copy for Home Assistant is not told of beside another."""
        if len(self.paths) == 1:
            return list(self.paths)
        return sorted(set(self.paths) - {CLOUD}, key=lambda one: one.removeprefix(LOCAL))

    def path(self, location: str | None = None) -> Path:
        """Return the archive in a location, by default in the one Supervisor prefers."""
        if location is None:
            location = self.locations[0]
        if location not in self.paths:
            raise NotThereError(f"Backup {self.slug} is not in location {location}")
        return self.paths[location]

    def brief(self) -> dict[str, Any]:
        """Return the backup as in the list of all."""
        about = self.description
        return {
            **self._where(),
            **{key: about[key] for key in ("slug", "name", "date", "type", "compressed")},
            "content": {
                "homeassistant": about["homeassistant"] is not None,
                "addons": [addon["slug"] for addon in about["addons"]],
                "folders": about["folders"],
            },
        }

    def complete(self) -> dict[str, Any]:
        """Return everything about the backup."""
        about = self.description
        core = about["homeassistant"]
        return {
            **self._where(),
            **{key: about[key] for key in ("slug", "name", "date", "type", "compressed")},
            **{key: about[key] for key in ("addons", "folders", "repositories", "extra")},
            "supervisor_version": about["supervisor_version"],
            "homeassistant": core["version"] if core else None,
            "homeassistant_exclude_database": core["exclude_database"] if core else None,
        }

    def _where(self) -> dict[str, Any]:
        size = self.sizes[self.locations[0]]
        names = [None if location == LOCAL else location for location in self.locations]
        return {
            "size": round(size / _MIB, 2),
            "size_bytes": size,
            "location": names[0],
            "locations": names,
            "protected": self.protected[self.locations[0]],
            "location_attributes": {
                location: {
                    "protected": self.protected[location],
                    "size_bytes": self.sizes[location],
                }
                for location in self.locations
            },
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

    def make(
        self, contents: archives.Contents, locations: list[str], name: str | None = None
    ) -> StoredBackup:
        """Write a new backup. Blocking; raises `FileExistsError`."""
        path = self.locations[locations[0]] / (name or f"{contents.slug}.tar")
        if path.exists():
            raise FileExistsError(f"Cannot make new backup at {path}, file already exists!")
        archives.write(path, contents)
        return self._register(path, locations)

    def receive(self, path: Path, locations: list[str], name: str | None = None) -> StoredBackup:
        """Take over an archive. Blocking; raises `tarfile.TarError`, `KeyError`, `ValueError` or
        `DifferentError`.
        """
        slug = archives.read_description(path)["slug"]
        target = self.locations[locations[0]] / (name or f"{slug}.tar")
        shutil.move(path, target)
        return self._register(target, locations)

    def remove(self, slug: str, locations: list[str] | None = None) -> None:
        """Delete a backup from some locations, by default from all."""
        backup = self.get(slug)
        for location in locations or list(backup.paths):
            backup.path(location).unlink()
            self._forget(backup, location)

    def look(self, location: str) -> None:
        """Notice what has vanished from a location."""
        for backup in list(self.backups.values()):
            if location in backup.paths and not backup.paths[location].is_file():
                self._forget(backup, location)

    def _forget(self, backup: StoredBackup, location: str) -> None:
        del backup.paths[location]
        if not backup.paths:
            del self.backups[backup.slug]

    def _register(self, path: Path, locations: list[str]) -> StoredBackup:
        description = archives.read_description(path)
        there = self.backups.get(description["slug"])
        if there is not None:
            for key in (there.description.keys() | description.keys()) - _MAY_DIFFER:
                if there.description.get(key) != description.get(key):
                    path.unlink()
                    told = f"due to: field {key} has different values"
                    raise DifferentError(f"Cannot import backup {there.slug} {told}")
        else:
            there = self.backups[description["slug"]] = StoredBackup(description, {})
        there.paths[locations[0]] = path
        for location in locations[1:]:
            there.paths[location] = Path(shutil.copy(path, self.locations[location]))
        there.protected |= dict.fromkeys(locations, description["protected"])
        there.sizes |= dict.fromkeys(locations, path.stat().st_size)
        return there
