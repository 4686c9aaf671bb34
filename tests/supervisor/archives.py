"""Backup archives as Supervisor writes them: one inner archive per part, and `backup.json` last."""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
import io
import json
from pathlib import Path, PurePath
import random
import tarfile
from typing import Any

_DESCRIPTION = "./backup.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a backup. `filling`: bytes of data that no compression makes smaller."""

    name: str = "Nightly"
    date: str = "2026-11-05T04:45:00.000000+00:00"
    homeassistant: bool = True
    database: bool = False
    addons: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("ssl",)
    full: bool = False
    extra: dict[str, Any] = field(default_factory=dict)  # Any: JSON that Supervisor only keeps
    password: str | None = None
    filling: int = 1024

    @property
    def slug(self) -> str:
        """The id, made as Supervisor makes it."""
        text = f"{self.date} - {self.name}"
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]

    def describe(self) -> dict[str, Any]:
        """Return what is in `backup.json`."""
        core = {"version": "2026.11.0", "exclude_database": not self.database, "size": 0.1}
        return {
            "version": 2,
            "slug": self.slug,
            "name": self.name,
            "date": self.date,
            "type": "full" if self.full else "partial",
            "supervisor_version": "2026.11.0",
            "homeassistant": core if self.homeassistant else None,
            "addons": [
                {"slug": slug, "name": slug.title(), "version": "1.2.3", "size": 0.1}
                for slug in self.addons
            ],
            "folders": list(self.folders),
            "repositories": [],
            "docker": {},
            "crypto": "aes128" if self.password else None,
            "protected": self.password is not None,
            "compressed": True,
            "extra": self.extra,
        }

    def parts(self) -> list[str]:
        """Name the inner archives in Supervisor's order."""
        folders = [folder.replace("/", "_") for folder in self.folders]
        return [*self.addons, *(["homeassistant"] if self.homeassistant else []), *folders]


def write(path: Path, contents: Contents) -> None:
    """Write the archive. A part of a protected backup is noise, as an encrypted one would be."""
    noise = random.Random(contents.slug)
    with tarfile.open(path, "w") as archive:
        for part in contents.parts():
            data = noise.randbytes(contents.filling)
            _add(archive, f"./{part}.tar.gz", data if contents.password else _inner(data))
        _add(archive, _DESCRIPTION, json.dumps(contents.describe()).encode())


def read_description(path: Path) -> dict[str, Any]:
    """Return the archive's `backup.json`; raises `tarfile.TarError` or `KeyError`."""
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if PurePath(member.name) == PurePath("backup.json"):
                file = archive.extractfile(member)
                assert file is not None
                return dict(json.load(file))
    raise KeyError("backup.json")


def _inner(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        _add(archive, "data/filling.bin", data)
    return file.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
