"""Many that wait for the same thing to be written share one writing."""

import asyncio
from collections.abc import Awaitable, Callable


class SharedWrite:
    """Runs one `write` at a time. Everybody who asks during one is served by the next."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        """`write` writes everything as it is when it begins."""
        self._write = write
        self._lock = asyncio.Lock()
        self._asked = 0
        self._written = 0
        self._failed = 0
        self._failure: Exception | None = None

    async def __call__(self) -> None:
        """Return when everything as it is now has been written; raise what `write` raised."""
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if mine <= self._written:
                return
            if mine <= self._failed and self._failure is not None:
                raise self._failure
            asked = self._asked
            try:
                await self._write()
            except Exception as err:
                self._failed, self._failure = asked, err
                raise
            self._written = asked
