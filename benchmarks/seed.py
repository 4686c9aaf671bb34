"""Backups that lie in Dropbox, or on Home Assistant, before anything is measured."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import io
import json
from pathlib import Path
import random
import tarfile

from homeassistant.components.backup import AddonInfo, AgentBackup

from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME, file_name
from custom_components.dropbox_backup.sync.remote.catalog import CatalogEntry, write_catalog
from tests.support.dropbox_server import ControlClient

_APPS = 12  # of a well used Home Assistant OS
_FIRST = datetime(2024, 1, 1, 4, 45, tzinfo=UTC)
OWNER = "0123456789abcdef0123456789abcdef"


def backups(count: int, *, first: int = 0) -> Iterator[AgentBackup]:
    """Yield descriptions of nightly backups."""
    for number in range(first, first + count):
        yield AgentBackup(
            addons=[
                AddonInfo(name=f"Some app {app}", slug=f"a0d7b954_app_{app}", version=f"{app}.1.2")
                for app in range(_APPS)
            ],
            backup_id=f"{number:08x}",
            date=(_FIRST + timedelta(days=number)).isoformat(),
            database_included=True,
            extra_metadata={"instance_id": OWNER, "with_automatic_settings": True},
            folders=[],
            homeassistant_included=True,
            homeassistant_version="2026.11.0",
            name=f"Automatic backup {number}",
            protected=True,
            size=10240,
        )


def archive(backup: AgentBackup, filling: int = 0, *, supervisor: bool = False) -> bytes:
    """Return an archive as Core makes it (its description first), or Supervisor (last)."""
    about = [("./backup.json", _about(backup))]
    parts = [("homeassistant.tar.gz", random.Random(backup.backup_id).randbytes(filling))]
    if supervisor:
        parts += [(f"{one.slug}.tar.gz", b"x") for one in backup.addons]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, data in parts + about if supervisor else about + parts:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return whole.getvalue()


def write_large_archive(config: Path, size: int) -> None:
    """Lay one backup with so many zeros where Home Assistant keeps its local ones."""
    folder = config / "backups"
    folder.mkdir(exist_ok=True)
    (backup,) = backups(1, first=size % 1000)
    backup = replace(backup, name=f"Large {size}", backup_id=f"{size:x}")
    about = _about(backup)
    with (
        tarfile.open(folder / f"{backup.backup_id}.tar", mode="w") as tar,
        Path("/dev/zero").open("rb") as zeros,
    ):
        for name, length, source in (
            ("./backup.json", len(about), io.BytesIO(about)),
            ("homeassistant.tar.gz", size, zeros),
        ):
            info = tarfile.TarInfo(name)
            info.size = length
            tar.addfile(info, source)


def _about(backup: AgentBackup) -> bytes:
    document = {
        "slug": backup.backup_id,
        "name": backup.name,
        "date": backup.date,
        "addons": [
            {"name": one.name, "slug": one.slug, "version": one.version} for one in backup.addons
        ],
        "homeassistant": {"version": backup.homeassistant_version, "exclude_database": False},
        "extra": backup.extra_metadata,
        "protected": backup.protected,
        "type": "full",
        "version": 2,
    }
    return json.dumps(document).encode()


def fill_folder(control: ControlClient, folder: str, count: int) -> int:
    """Lay so many backups and their catalog into our folder; return the catalog's bytes."""
    entries = {}
    for backup in backups(count):
        name = file_name(backup)
        stored = control.put(f"{folder}/{name}", archive(backup))
        entries[name] = CatalogEntry(
            stored["content_hash"], backup, owner=OWNER, verified=datetime.now(UTC)
        )
    catalog = write_catalog(entries)
    control.put(f"{folder}/{CATALOG_NAME}", catalog)
    return len(catalog)


def fill_for_core(control: ControlClient, count: int) -> None:
    """Lay so many backups into Dropbox as Home Assistant's own `dropbox` keeps them."""
    for backup in backups(count):
        control.put(f"/{backup.backup_id}.tar", b"x")
        control.put(f"/{backup.backup_id}.metadata.json", json.dumps(backup.as_dict()).encode())


def fill_home(config: Path, count: int, filling: int) -> None:
    """Lay so many backups where Home Assistant keeps its local ones."""
    folder = config / "backups"
    folder.mkdir(exist_ok=True)
    for backup in backups(count):
        (folder / f"{backup.backup_id}.tar").write_bytes(archive(backup, filling))
