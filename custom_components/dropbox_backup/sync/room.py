"""What is known of the room in Dropbox while a run uploads."""

from dataclasses import dataclass, field

from homeassistant.components.backup import AgentBackup

from ..dropbox_api.errors import FullError
from .decide.models import BackupId, id_of
from .report.problems import no_room

# Dropbox says that there is room and refuses all the same: after so many refusals, stop trying.
_MOST_REFUSALS = 3


@dataclass(slots=True)
class Room:
    """What is known of the room in Dropbox while a run uploads, in bytes."""

    # As Dropbox said right before, less what was uploaded since; None if it did not say.
    free: int | None = None
    # The backups that did not fit, with their sizes.
    lacking: dict[BackupId, int] = field(default_factory=dict)
    # How often Dropbox had no room for what should have fitted.
    refusals: int = 0
    # The first backup that did not fit, and what was said of it.
    first: tuple[AgentBackup, FullError] | None = None

    def fits(self, size: int) -> bool:
        """Tell whether to try a backup of this size: not if one as large did not fit."""
        if self.refusals >= _MOST_REFUSALS:
            return False
        return all(size < lacking for lacking in self.lacking.values())

    def lacks(self, backup: AgentBackup) -> FullError:
        """Take note that there is no room for a backup; return how to say it."""
        err = no_room(backup.size, None if self._expects(backup.size) else self.free)
        self.lacking[id_of(backup)] = backup.size
        self.first = self.first or (backup, err)
        return err

    def refused(self, backup: AgentBackup) -> FullError:
        """Take note that a backup did not fit; return how to say it."""
        self.refusals += self._expects(backup.size)
        return self.lacks(backup)

    def _expects(self, size: int) -> bool:
        """Tell whether so many bytes should fit, as far as is known."""
        return self.free is None or size <= self.free

    def takes(self, size: int) -> None:
        """Take note that a backup was uploaded."""
        if self.free is not None:
            self.free -= size

    def ask_again(self) -> None:
        """Forget what did not fit: backups were deleted."""
        self.lacking.clear()
        self.first = None
