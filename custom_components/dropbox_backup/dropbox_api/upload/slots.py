"""A semaphore whose size may change at any moment."""

import asyncio
from typing import Literal, override


class Slots(asyncio.Semaphore):
    """A semaphore that can be resized while slots are taken. With fewer slots, nobody who has one
    loses it: it is not given out again.
    """

    def __init__(self, count: int) -> None:
        """Begin with so many."""
        super().__init__(count)
        self._count = count
        self._to_go = 0

    @property
    def free(self) -> int:
        """How many can be taken now."""
        return self._value

    @property
    def too_many(self) -> bool:
        """Whether the next slot that becomes free is not given out again."""
        return self._to_go > 0

    def resize(self, count: int) -> None:
        """Let there be so many from now on."""
        self._to_go -= count - self._count
        self._count = count
        while self._to_go < 0:
            self._to_go += 1
            super().release()

    @override
    async def acquire(self) -> Literal[True]:
        while self._to_go and not self.locked():
            await super().acquire()  # a free one: this does not wait
            self._to_go -= 1
        return await super().acquire()

    @override
    def release(self) -> None:
        if self._to_go:
            self._to_go -= 1
        else:
            super().release()
