"""What a backup archive says of itself, read from the archive or from JSON made of it; and whether
it is whole.
"""

import json
from pathlib import Path, PurePath
import tarfile
from typing import IO, Any

from homeassistant.components.backup import AddonInfo, AgentBackup, Folder
import voluptuous as vol

# Far more than any real one has. Longer means something else lies there under that name.
_LARGEST_METADATA = 4 * 1024 * 1024
_METADATA_NAME = PurePath("backup.json")
_TAR_BLOCK = 512


class ArchiveError(Exception):
    """The file is not a whole Home Assistant backup; the text says what is wrong, in the user's
    words.
    """


def _extra_metadata(value: object) -> dict[str, bool | str]:
    """Keep what fits Home Assistant's model: peers have written `null` here."""
    if not isinstance(value, dict):
        return {}
    return {
        key: item
        for key, item in value.items()
        if isinstance(key, str) and isinstance(item, bool | str)
    }


def _folders(value: object) -> list[Folder]:
    """Keep the folders that this version of Home Assistant knows."""
    known = {folder.value: folder for folder in Folder}
    names = value if isinstance(value, list) else []
    return [known[name] for name in names if isinstance(name, str) and name in known]


def _addons(value: object) -> list[AddonInfo]:
    return [
        AddonInfo(name=addon["name"], slug=addon["slug"], version=addon["version"])
        for addon in _ADDONS(value or [])
    ]


_text = vol.All(str, vol.Length(max=10_000))
_maybe_text = vol.Any(None, _text)
_ADDONS = vol.Schema(
    [
        vol.Schema(
            {
                vol.Required("slug"): _text,
                vol.Optional("name", default=None): _maybe_text,
                vol.Optional("version", default=None): _maybe_text,
            },
            extra=vol.REMOVE_EXTRA,
        )
    ]
)
# The form of `AgentBackup.as_dict()`, which Home Assistant's own cloud locations write as well.
_AGENT_BACKUP = vol.Schema(
    {
        vol.Optional("addons", default=list): _addons,
        vol.Required("backup_id"): vol.All(_text, vol.Length(min=1)),
        vol.Required("date"): _text,
        vol.Optional("database_included", default=False): bool,
        vol.Optional("extra_metadata", default=dict): _extra_metadata,
        vol.Optional("folders", default=list): _folders,
        vol.Optional("homeassistant_included", default=False): bool,
        vol.Optional("homeassistant_version", default=None): _maybe_text,
        vol.Required("name"): _text,
        vol.Optional("protected", default=False): vol.All(vol.Any(None, bool), bool),
        vol.Required("size"): vol.All(int, vol.Range(min=0)),
    },
    extra=vol.REMOVE_EXTRA,
)
# The form of `backup.json`, as Core's and Supervisor's `backup` write it
# (homeassistant/components/backup/util.py).
_BACKUP_JSON = vol.Schema(
    {
        vol.Required("slug"): vol.All(_text, vol.Length(min=1)),
        vol.Required("name"): _text,
        vol.Required("date"): _text,
        vol.Optional("addons", default=list): vol.Any(None, list),
        vol.Optional("folders", default=list): vol.Any(None, list),
        vol.Optional("homeassistant", default=None): vol.Any(None, dict),
        vol.Optional("extra", default=dict): _extra_metadata,
        vol.Optional("protected", default=False): vol.Any(None, bool),
    },
    extra=vol.REMOVE_EXTRA,
)


def backup_from_dict(value: object) -> AgentBackup:
    """Return the backup that `AgentBackup.as_dict()` described. Raises `ArchiveError`."""
    try:
        return AgentBackup(**_AGENT_BACKUP(value))
    except vol.Invalid as err:
        raise ArchiveError(f"its metadata is not that of a backup: {err}") from err


def backup_from_json(text: bytes, size: int) -> AgentBackup:
    """Return the backup that a `backup.json` describes. Raises `ArchiveError`."""
    try:
        data: dict[str, Any] = _BACKUP_JSON(json.loads(text))
    except (ValueError, RecursionError, vol.Invalid) as err:
        raise ArchiveError(f"its backup.json is not that of a backup: {err}") from err
    core = data["homeassistant"] or {}
    return backup_from_dict(
        {
            "addons": data["addons"],
            "backup_id": data["slug"],
            "database_included": "version" in core and not core.get("exclude_database"),
            "date": data["extra"].get("supervisor.backup_request_date", data["date"]),
            "extra_metadata": data["extra"],
            "folders": data["folders"],
            "homeassistant_included": "version" in core,
            "homeassistant_version": core.get("version"),
            "name": data["name"],
            "protected": bool(data["protected"]),
            "size": size,
        }
    )


def read_metadata(archive: IO[bytes], size: int) -> AgentBackup:
    """Return what an archive says of itself. Raises `ArchiveError`; `OSError` comes through.

    Core writes `backup.json` first, Supervisor last: the members are passed one by one, so that the
    remote archive of Core costs one ranged request and Supervisor's one per member. Blocking.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for member in tar:
                if PurePath(member.name) != _METADATA_NAME:
                    continue
                reader = tar.extractfile(member)
                if reader is None or member.size > _LARGEST_METADATA:
                    raise ArchiveError("its backup.json is not a file")
                return backup_from_json(reader.read(), size)
    except (tarfile.TarError, EOFError, ValueError) as err:
        raise ArchiveError(f"it is not a readable archive: {err}") from err
    raise ArchiveError("it holds no backup.json")


def check_whole(path: Path) -> None:
    """Raise `ArchiveError` unless the archive at `path` has its end. `OSError` comes through.
    Blocking.

    Home Assistant writes to the final name at once, so a backup that failed or that is still being
    written looks like a good one: its `backup.json` comes first.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            end = 0
            for member in tar:
                blocks = -(-member.size // _TAR_BLOCK)
                end = member.offset_data + blocks * _TAR_BLOCK
            file.seek(end)
            closing = file.read(2 * _TAR_BLOCK)
    except (tarfile.TarError, EOFError, ValueError) as err:
        raise ArchiveError(f"it is not a readable archive: {err}") from err
    if size % _TAR_BLOCK or closing != bytes(2 * _TAR_BLOCK):
        raise ArchiveError("its end is missing: it was not written to the end")
