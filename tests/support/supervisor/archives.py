"""Backup archives as Supervisor writes them: one inner archive per part, and `backup.json` last.

Source: `supervisor/backups/backup.py`. The inner archives are made by SecureTar, as there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
import io
import json
from pathlib import Path, PurePath
import random
import tarfile
from typing import Any, Literal

from securetar import SecureTarArchive, SecureTarError, SecureTarFile

_DESCRIPTION = "./backup.json"
_INNER = (".tar", ".tgz", ".tar.gz")
# What "all" means, in Supervisor's order. A Supervisor of 2026.08 keeps `addons/local` in another
# folder and then saves nothing for it; the ones before have it.
ALL_FOLDERS = ("share", "addons/local", "ssl", "media")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a backup.

    `supervisor`: it holds Supervisor's own settings, as whenever a network share or a registry is
    configured. `securetar`: the version of the encryption, if there is a `password`. `filling`:
    bytes of data in each part, which no compression makes smaller.
    """

    name: str = "Nightly"
    date: str = "2026-11-05T04:45:00.000000+00:00"
    homeassistant: bool = True
    database: bool = False
    addons: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("ssl",)
    supervisor: bool = False
    full: bool = False
    extra: dict[str, Any] = field(default_factory=dict)  # Any: JSON that Supervisor only keeps
    password: str | None = None
    securetar: Literal[2, 3] = 3
    compressed: bool = True
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
            "extra": self.extra,
            "addons": [
                # Supervisor knows of no sizes.
                {"slug": slug, "name": slug.title(), "version": "1.2.3", "size": 0.0}
                for slug in self.addons
            ],
            "folders": list(self.folders),
            "repositories": [],
            "homeassistant": core if self.homeassistant else None,
            "compressed": self.compressed,
            "protected": bool(self.password),
        }

    def parts(self) -> list[str]:
        """Name the inner archives in Supervisor's order, without the ending."""
        return [
            *(["homeassistant"] if self.homeassistant else []),
            *self.addons,
            *(folder.replace("/", "_") for folder in self.folders),
            *(["supervisor"] if self.supervisor else []),
        ]


def write(path: Path, contents: Contents) -> None:
    """Write the archive. Blocking."""
    noise = random.Random(contents.slug)
    ending = ".tar.gz" if contents.compressed else ".tar"
    with SecureTarArchive(
        path,
        "w",
        bufsize=4 << 20,
        create_version=contents.securetar,
        password=contents.password or None,
    ) as archive:
        for part in contents.parts():
            inner = archive.create_tar(f"./{part}{ending}", gzip=contents.compressed)
            with inner as tar:
                _add(tar, "data/filling.bin", noise.randbytes(contents.filling))
        _add(archive.tar, _DESCRIPTION, json.dumps(contents.describe()).encode())


def read_description(path: Path) -> dict[str, Any]:
    """Return the archive's `backup.json`; raises `tarfile.TarError` or `KeyError`."""
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if PurePath(member.name) == PurePath(_DESCRIPTION):
                file = archive.extractfile(member)
                assert file is not None
                return dict(json.load(file))
    raise KeyError(_DESCRIPTION)


def parts(archive: bytes, password: str | None = None) -> dict[str, bytes]:
    """Return what is in the inner archives, by their names, decrypted with the password."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:
        for member in outer:
            file = outer.extractfile(member)
            if file is None or not member.name.endswith(_INNER):
                continue
            content = io.BytesIO(file.read())
            compressed = not member.name.endswith(".tar")
            with SecureTarFile(fileobj=content, gzip=compressed, password=password) as inner:
                only = inner.next()  # what is encrypted can be read forwards only
                data = inner.extractfile(only) if only else None
                assert data is not None
                found[str(PurePath(member.name))] = data.read()
    return found


def opens(path: Path, password: str | None) -> bool:
    """Tell whether the first inner archive can be read with the password. Blocking."""
    with tarfile.open(path, "r:") as outer:
        for member in outer:
            file = outer.extractfile(member)
            if file is None or not member.name.endswith(_INNER):
                continue
            compressed = not member.name.endswith(".tar")
            try:
                with SecureTarFile(fileobj=file, gzip=compressed, password=password):
                    return True
            except tarfile.ReadError, SecureTarError:
                return False
    return True


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
