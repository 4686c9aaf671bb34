"""Archives as Home Assistant writes them, with anything in their metadata."""

from collections.abc import Mapping
import io
import json
import tarfile

BAD_ID = "bad0bad0"


def archive(size: int = 1000, **about: object) -> bytes:
    """Return an archive; `about` goes into its backup.json."""
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
    return tar_of(
        {
            "./backup.json": json.dumps(metadata | about).encode(),
            "homeassistant.tar.gz": bytes(size),
        }
    )


def tar_of(members: Mapping[str, bytes]) -> bytes:
    """Return a tar of these members, in their order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()
