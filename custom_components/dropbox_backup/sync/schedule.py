"""When the worker looks next, if nothing happens before."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util

from .report.state import AWAY, Problem

# After one failing check and another.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 20, 30, 60))
# Trying costs one small request, and uploads should go on soon after the network is back.
_RETRY_AWAY_AFTER = timedelta(minutes=5)


class Schedule:
    """Wakes the worker: after the check interval, or, while there is a problem, sooner.

    Another `check_interval` holds from the next check on.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        check_interval: timedelta,
        wake: Callable[[], object],
        retry_after: Sequence[timedelta] = RETRY_AFTER,
    ) -> None:
        """Wake nobody before the first check."""
        self._hass = hass
        self.check_interval = check_interval
        self._wake = wake
        self._retry_after = retry_after
        self._failures = 0
        self._cancel_timer: CALLBACK_TYPE | None = None
        self.due: datetime | None = None

    @callback
    def checked(self, problem: Problem | None, not_before: float) -> None:
        """Set the timer after a check; `not_before`: seconds that Dropbox wants to rest."""
        if problem is None:
            self._failures = 0
            wait = self.check_interval
        else:
            wait = self._retry_after[min(self._failures, len(self._retry_after) - 1)]
            if problem.kind in AWAY:
                wait = min(wait, _RETRY_AWAY_AFTER)
            wait = max(wait, timedelta(seconds=not_before))
            self._failures += 1
        self.due = dt_util.utcnow() + wait  # only to be shown: somebody may set the clock
        self.cancel()
        self._cancel_timer = async_call_later(self._hass, wait, self._time_has_come)

    @callback
    def cancel(self) -> None:
        """Wake nobody any more."""
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    @callback
    def _time_has_come(self, _now: datetime) -> None:
        self._cancel_timer = None
        self._wake()
