"""Archives of Core and of Supervisor, made by hand."""

import json
from typing import Any

from tests.support.core_archives import tar_of

CORE = {
    "compressed": True,
    "date": "2026-11-22T10:00:00.123456+01:00",
    "extra": {"instance_id": "abc", "with_automatic_settings": True},
    "homeassistant": {"exclude_database": False, "version": "2026.11.0"},
    "name": "Automatic backup",
    "protected": False,
    "slug": "1a2b3c4d",
    "type": "partial",
    "version": 2,
}
SUPERVISOR = {
    "addons": [{"name": "Mosquitto", "size": 0.1, "slug": "core_mosquitto", "version": "6.5"}],
    "date": "2026-11-22T10:00:00+00:00",
    "docker": {},
    "extra": {"supervisor.backup_request_date": "2026-11-22T09:59:00+00:00"},
    "folders": ["share", "ssl", "addons/local", "homeassistant"],
    "homeassistant": {"exclude_database": True, "size": 1.0, "version": "2026.11.0"},
    "name": "Full",
    "protected": True,
    "slug": "5e6f7a8b",
    "type": "full",
    "version": 2,
}


def archive(metadata: Any, *, last: bool = False) -> bytes:
    """Return a tar with its backup.json first, as Core's, or last, as Supervisor's."""
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    members = [
        ("./backup.json", text),
        ("./homeassistant.tar.gz", bytes(20_000)),
        ("./a.tar.gz", b"x"),
    ]
    return tar_of(dict(reversed(members) if last else members))
