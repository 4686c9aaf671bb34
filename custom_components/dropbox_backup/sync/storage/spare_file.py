"""Where something is written that can't wait while Home Assistant packs its storage: a file that is
left out of backups, so that nobody minds when it changes.
"""

import json
import logging
import os
from pathlib import Path
from threading import Lock
from typing import Any

from homeassistant.core import HomeAssistant

from ... import untrusted
from ...const import DOMAIN

_LOGGER = logging.getLogger(__name__)

# Both who can make a backup leave out `*.log` and `*.log.*` in the configuration folder: Core
# (`EXCLUDE_FROM_BACKUP` in homeassistant/components/backup/const.py) and Supervisor
# (`HOMEASSISTANT_BACKUP_EXCLUDE` in supervisor/homeassistant/module.py).
SPARE_ENDING = ".log"
_UNFINISHED = ".new"
# An entry that is set up again may write while the one before still does.
_LOCK = Lock()
_WRITE_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class SpareFile:
    """One JSON object in a file of its own. All methods are blocking."""

    def __init__(self, hass: HomeAssistant, name: str) -> None:
        """Nothing is read or written yet."""
        self.path = Path(hass.config.path(f"{DOMAIN}.{name}{SPARE_ENDING}"))
        self._unfinished = self.path.with_name(self.path.name + _UNFINISHED)

    def read(self) -> dict[str, Any] | None:
        """Return what was written last; None if there is nothing, or if it can't be read."""
        try:
            return untrusted.json_object(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, untrusted.UntrustedError) as err:
            _LOGGER.warning("%s can't be read, and is left out: %s", self.path.name, err)
            return None

    def write(self, content: dict[str, Any]) -> None:
        """Replace it as a whole. Raises `OSError`."""
        text = json.dumps(content)
        with _LOCK:
            # As private as Home Assistant's own storage.
            with os.fdopen(os.open(self._unfinished, _WRITE_ANEW, 0o600), "w") as file:
                file.write(text)
            self._unfinished.replace(self.path)

    def remove(self) -> None:
        """Delete it, if it is there. Raises `OSError`."""
        with _LOCK:
            self._unfinished.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
