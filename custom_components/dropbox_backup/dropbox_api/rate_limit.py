"""Waits that Dropbox asks for: they hold for every call of an account.

https://www.dropbox.com/developers/reference/data-ingress-guide
"""

import time

from ..waits import WAITS
from .errors import RateLimitedError

# After Dropbox refused a write because of others, nobody tries for so many seconds: whoever comes
# back meanwhile shares the next call.
_LEAST_REST_OF_WRITES = 1.0


def capped(seconds: float) -> float:
    """Return for how many seconds we wait when we are asked to wait for so many."""
    return min(max(0.0, seconds), WAITS.longest_rest)


class RateLimit:
    """Until when Dropbox wants to rest, shared by all that call on behalf of one account."""

    def __init__(self) -> None:
        """Nothing has been asked for yet."""
        self._calls_from = 0.0
        self._writes_from = 0.0

    def note(self, err: RateLimitedError) -> None:
        """Take note of what Dropbox asked for."""
        seconds = capped(err.retry_after or 0.0)
        now = time.monotonic()
        if err.concerns_writes:
            rest = max(seconds, _LEAST_REST_OF_WRITES)
            self._writes_from = max(self._writes_from, now + rest)
        else:
            self._calls_from = max(self._calls_from, now + seconds)

    def remaining(self, *, writes: bool = False) -> float:
        """Return how many seconds are left until Dropbox may be called, or written to."""
        begin = max(self._calls_from, self._writes_from) if writes else self._calls_from
        return max(0.0, begin - time.monotonic())
