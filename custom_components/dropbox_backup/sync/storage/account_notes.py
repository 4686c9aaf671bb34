"""Whose notes are in which files of Home Assistant's storage, and for how long they are kept.

They belong to the account, not to the config entry: an account that is removed and added again
still knows what was deleted on purpose, and goes on with uploads that were under way.
"""

from collections.abc import Collection
from hashlib import sha256
import logging
from pathlib import Path
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.util import dt as dt_util

from ...const import DOMAIN, NOTES_KEPT_FOR
from .file import StorageFile
from .spare_file import SPARE_ENDING

_LOGGER = logging.getLogger(__name__)

_LISTING = ".listing"
# Named after an account, or by an earlier version after a config entry.
_FILE = re.compile(
    rf"{DOMAIN}\.([0-9a-f]{{32}}|[0-9A-Z]{{26}})(?:\.listing)?"
    rf"(?:\.corrupt.*|{re.escape(SPARE_ENDING)}.*)?"
)


def notes_name(account_id: str) -> str:
    """Return what the notes of an account are called: nothing that says whose they are."""
    return sha256(f"{DOMAIN} {account_id}".encode()).hexdigest()[:32]


def listing_name(notes: str) -> str:
    """Return what the remembered listing beside some notes is called."""
    return f"{notes}{_LISTING}"


async def move_notes(hass: HomeAssistant, before: str, name: str) -> str:
    """Give notes another name, with the listing beside them; return the name that they have then.

    If there are notes under the new name already, they are newer and stay.
    """
    if before == name or not await _move(hass, before, name):
        return before
    await _move(hass, listing_name(before), listing_name(name))
    return name


async def _move(hass: HomeAssistant, before: str, name: str) -> bool:
    old = StorageFile(hass, before, dict, delay=0)
    data = await old.load()
    if not isinstance(data, dict):
        return True
    content: dict[str, Any] = data
    new = StorageFile(hass, name, lambda: content, delay=0)
    if await new.load() is None:
        await new.save()
    await new.close()
    if await new.load() is None:  # the disk is full, or Home Assistant packs its storage
        return False
    await old.remove()
    return True


async def forget_old_notes(hass: HomeAssistant, in_use: Collection[str]) -> None:
    """Delete the notes of accounts that were removed long ago. `in_use`: names of all others."""
    oldest = (dt_util.utcnow() - NOTES_KEPT_FOR).timestamp()
    for folder in (Path(hass.config.path(STORAGE_DIR)), Path(hass.config.path())):
        await hass.async_add_executor_job(_delete_old, folder, frozenset(in_use), oldest)


def _delete_old(folder: Path, in_use: frozenset[str], oldest: float) -> None:
    for file in folder.glob(f"{DOMAIN}.*"):
        match = _FILE.fullmatch(file.name)
        if match is None or match[1] in in_use:
            continue
        try:
            # They were written a last time when the account was removed.
            if file.stat().st_mtime < oldest:
                file.unlink()
        except OSError as err:
            _LOGGER.debug("Old notes can't be deleted: %s", err)
