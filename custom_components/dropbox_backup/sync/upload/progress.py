"""How far the uploads that are under way have got, and how fast they are."""

from collections.abc import Callable, Collection

from homeassistant.util import dt as dt_util

from ...waits import WAITS
from ..report.state import Progress
from ..report.throughput import Throughput
from ..storage.journal import Journal
from .upload_notes import Transfer


class UploadProgress:
    """All uploads of one account, taken together."""

    def __init__(self, journal: Journal, clock: Callable[[], float]) -> None:
        """Nothing is under way. `clock` in seconds."""
        self._journal = journal
        self._clock = clock
        self._active: Collection[Transfer] = ()
        self._sent = 0
        self._shown_at = 0.0
        self._throughput = Throughput()

    def moved(self, active: Collection[Transfer]) -> bool:
        """Take note that uploads moved, began or ended; return whether to show it now."""
        self._active = active
        sent = sum(one.sent for one in active)
        if sent > self._sent:
            # Written down soon: what arrives is noted in the journal as well.
            self._journal.notes.results.note_moved(dt_util.utcnow())
        now = self._clock()
        if active:
            self._throughput.add(now, sent - self._sent)
        else:
            self._throughput.reset()
        self._sent = sent
        if active and now - self._shown_at < WAITS.between_snapshots:
            return False
        self._shown_at = now
        return True

    @property
    def now(self) -> Progress | None:
        """How far they are, None if nothing is under way."""
        if not self._active:
            return None
        return Progress(
            names=tuple(one.backup.name for one in self._active),
            size=sum(one.size for one in self._active),
            sent=sum(one.sent for one in self._active),
            speed=self._throughput.speed(self._clock()),
        )
