"""Names of files in the backup folder."""

from collections.abc import Iterator
import re
import unicodedata

from homeassistant.components.backup import AgentBackup

from .models import date_of

CATALOG_NAME = "dropbox_backup_catalog.json"

# Not allowed by Dropbox, or trouble for those who sync the folder to Windows.
_RESERVED = re.compile(r'[/\\<>:"|?*\s]+')
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]+")
# Most file systems allow 255 bytes in a name; date, id and ending need about 40 of them.
_LONGEST_NAME = 120
_LONGEST_ID = 64
# So many names a backup may have, should others lie in its place.
_VARIANTS = 99
_LAST_OF_BASIC_PLANE = 0xFFFF


def file_name(backup: AgentBackup) -> str:
    """Return `<name>_<date>_<backup id>.tar`, safe for Dropbox and for every file system it is
    synced to.

    The same backup always gets the same name. What had to be left out of the name is still in the
    archive's metadata.
    """
    return f"{_stem(backup)}.tar"


def file_names(backup: AgentBackup) -> Iterator[str]:
    """Yield the names that a backup may get, the best one first: where something else lies in its
    place, `_2` and so on is added.
    """
    stem = _stem(backup)
    yield f"{stem}.tar"
    for number in range(2, _VARIANTS + 1):
        yield f"{stem}_{number}.tar"


def is_our_name(name: str, backup: AgentBackup) -> bool:
    """Tell whether a file of this name is called as we call this backup. A person's own copy is
    not, nor is what a sync tool renamed.
    """
    return name in file_names(backup)


def _stem(backup: AgentBackup) -> str:
    date = date_of(backup).strftime("%Y-%m-%d_%H.%M")
    backup_id = _NOT_IN_ID.sub("-", backup.backup_id)[:_LONGEST_ID] or "unknown"
    return f"{_safe(backup.name)}_{date}_{backup_id}"


def _safe(name: str) -> str:
    """Keep letters, digits and plain punctuation of any script."""
    normal = unicodedata.normalize("NFC", name)
    # Categories: C are control characters, direction marks and lone surrogates. Beyond the
    # basic plane (most emoji) Dropbox has refused names.
    kept = "".join(
        "_"
        if unicodedata.category(char).startswith("C") or ord(char) > _LAST_OF_BASIC_PLANE
        else char
        for char in normal
    )
    dashed = re.sub(r"_{2,}", "_", _RESERVED.sub("_", kept)).strip("._ ")
    short = dashed.encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip("._ ")
    return short or "backup"
