"""What happens to single backups, for whoever wants to hear of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
import logging
from typing import Self

from ...codes import Reason
from ..decide.models import RemoteBackup

_LOGGER = logging.getLogger(__name__)


class EventKind(StrEnum):
    """What can happen to a backup."""

    UPLOADED = "uploaded"
    UPLOAD_FAILED = "upload_failed"
    DELETED = "deleted"
    VERIFIED = "verified"
    VERIFICATION_FAILED = "verification_failed"


@dataclass(frozen=True, slots=True)
class BackupEvent:
    """Something happened to a backup, maybe for a reason. `size` in bytes."""

    kind: EventKind
    backup_id: str
    name: str
    size: int
    reason: Reason | None = None

    @classmethod
    def of(cls, kind: EventKind, remote: RemoteBackup, reason: Reason | None = None) -> Self:
        """Return that something happened to a backup in Dropbox."""
        backup = remote.backup
        return cls(kind, backup.backup_id, backup.name, remote.file.size, reason)


class Events:
    """Tells listeners, and the log, what happens."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._listeners: list[Callable[[BackupEvent], None]] = []

    def subscribe(self, listener: Callable[[BackupEvent], None]) -> Callable[[], None]:
        """Call the listener with every event from now on; return how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, event: BackupEvent) -> None:
        """Tell everybody."""
        reason = f", {event.reason}" if event.reason else ""
        _LOGGER.info("%s (%s): %s%s", event.name, event.backup_id, event.kind.value, reason)
        for listener in tuple(self._listeners):
            listener(event)
