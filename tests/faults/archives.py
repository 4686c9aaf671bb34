"""Archives as Home Assistant writes them, with anything in their metadata."""

import io
import json
import tarfile

BAD_ID = "bad0bad0"


def archive(size: int = 1000, **about: object) -> bytes:
    """Return an archive as Home Assistant writes it; `about` goes into its backup.json."""
    metadata = {
        "slug": BAD_ID,
        "name": "Odd",
        "date": "2026-01-02T03:04:05+00:00",
        "homeassistant": {"version": "2026.1.0", "exclude_database": True},
        "addons": [],
        "folders": [],
        "extra": {},
        "protected": False,
        "type": "partial",
        "version": 2,
    }
    members = {
        "./backup.json": json.dumps(metadata | about).encode(),
        "homeassistant.tar.gz": bytes(size),
    }
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()
