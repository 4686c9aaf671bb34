"""When a call that fails is tried again, and for how long: that depends on who waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
import logging
import random
import time
from typing import Final

from ..waits import WAITS
from .errors import DropboxError, Fault, RateLimitedError, TransientError
from .rate_limit import RateLimit
from .transport import OnFailure

_LOGGER = logging.getLogger(__name__)

type Sleep = Callable[[float], Awaitable[None]]


class Waiter(StrEnum):
    """Who waits for a call to Dropbox."""

    NOBODY = "nobody"
    PERSON = "person"
    UPLOAD = "upload"
    DIALOG = "dialog"
    START = "start"
    ARCHIVES = "archives"
    BACKGROUND = "background"
    DELETION = "deletion"
    WORKER = "worker"
    HOME_ASSISTANT = "home_assistant"
    RESTORE = "restore"


# For how many seconds a call that fails is tried again. Where somebody waits (a person, an upload,
# a start) it may take no longer in all.
RETRY_FOR: Final[dict[Waiter, float]] = {
    # It only saves time, or who calls tries again by itself.
    Waiter.NOBODY: 0.0,
    # Somebody looks at a page that does not open before.
    Waiter.PERSON: 5.0,
    # An upload wants to know how much room there is, and goes on without.
    Waiter.UPLOAD: 5.0,
    # Somebody has pressed Submit, and can do so again.
    Waiter.DIALOG: 10.0,
    # Home Assistant starts: it tries the setup again by itself.
    Waiter.START: 10.0,
    # What others put into the folder is read: what is to be uploaded has to go.
    Waiter.ARCHIVES: 20.0,
    # What has no time of its own: the worker comes back to it.
    Waiter.BACKGROUND: 60.0,
    # The listing right before a deletion: somebody may wait for that.
    Waiter.DELETION: 60.0,
    # After that the worker waits and starts over, where it stopped.
    Waiter.WORKER: 120.0,
    # Home Assistant may delete the only copy when an upload through its own backup fails.
    Waiter.HOME_ASSISTANT: 3600.0,
    # Somebody restores: Dropbox may ask to wait for so long while nothing comes.
    Waiter.RESTORE: 3600.0,
}

# In seconds, of a download.
_LEAST_WAIT = 1.0
_BREAKS_WITHOUT_PROGRESS = 5


class Retries:
    """When to try a failing call again, and when to stop."""

    def __init__(
        self,
        retry_for: float,
        sleep: Sleep,
        failures: list[DropboxError] | None = None,
        on_failure: OnFailure | None = None,
        *,
        rate_limit: RateLimit | None = None,
        lasting: bool = False,
    ) -> None:
        """Count the time from now on, or with `lasting` from the first failure."""
        self._retry_for = retry_for
        self._deadline = None if lasting else time.monotonic() + retry_for
        self._rate_limit = rate_limit or RateLimit()
        self._sleep = sleep
        self._failures = failures
        self._on_failure = on_failure
        self._next_wait = WAITS.first_retry

    def must_rest(self, *, writes: bool = False) -> bool:
        """Tell whether Dropbox has asked anybody to wait who calls for this account."""
        return self._rate_limit.remaining(writes=writes) > 0

    async def wait_for_rest(self, *, writes: bool = False, together: bool = False) -> None:
        """Sleep while `must_rest`; `together` with others that share the next call.

        Raises `RateLimitedError` at once if that is longer than its time.
        """
        while rest := self._rate_limit.remaining(writes=writes):
            now = time.monotonic()
            deadline = now + self._retry_for if self._deadline is None else self._deadline
            if now + rest > deadline:
                raise RateLimitedError(Fault.ASKED_TOO_MUCH, retry_after=rest)
            await self._sleep(rest if together else rest + _jitter(WAITS.first_retry))

    async def wait_after(self, err: TransientError) -> None:
        """Sleep before the next try, or raise the error when its time is up."""
        wait = _jitter(self._next_wait)
        if isinstance(err, RateLimitedError):
            self._rate_limit.note(err)
            wait += err.retry_after or 0.0
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._retry_for
        if now + wait > self._deadline:
            raise err
        self._next_wait = min(self._next_wait * 2, WAITS.longest_retry)
        if self._failures is not None:
            self._failures.append(err)
        if self._on_failure is not None:
            self._on_failure(err)
        await self._sleep(wait)


class Stamina:
    """When to give up a download that breaks: never while it makes progress. Without progress,
    after a few breaks, or when Dropbox asks to wait for longer than a restore is given.
    """

    def __init__(self, rate_limit: RateLimit, told: asyncio.Event) -> None:
        """`told` is set when the log knows that a download waits."""
        self._rate_limit = rate_limit
        self._told = told
        self._breaks = 0
        self._waiting_since: float | None = None

    async def wait_after(self, err: TransientError, *, progress: bool) -> None:
        """Return when it is time to go on; raise the error when it is time to give up."""
        if progress:
            self._breaks, self._waiting_since = 0, None
        if not isinstance(err, RateLimitedError):
            self._breaks += 1
            if self._breaks >= _BREAKS_WITHOUT_PROGRESS:
                raise err
            return
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        wait = max(_LEAST_WAIT, self._rate_limit.remaining())
        if now + wait - self._waiting_since > RETRY_FOR[Waiter.RESTORE]:
            raise err
        if not self._told.is_set():
            self._told.set()
            _LOGGER.info("Dropbox asks to wait: the download goes on in %.0f seconds", wait)
        await asyncio.sleep(wait)


def _jitter(seconds: float) -> float:
    """Return a little less: the chunks of one upload must not all come back at the same moment."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  (no secret, and repeatable)
