"""An event loop in which time passes only when nothing else is left to do, and nothing runs beside
it: the same causes have the same effects, and a night takes a millisecond.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
import selectors
from typing import Any, override


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its clock begins at 0. What is meant for threads is done at once."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._clock = _Clock()
        super().__init__(self._clock)
        self.set_default_executor(_AtOnce())

    @override
    def time(self) -> float:
        return self._clock.now


class _Clock(selectors.SelectSelector):
    """Instead of waiting, the time has come."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    @override
    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self.now += max(timeout, 0.0)
        return super().select(0)


class _AtOnce(ThreadPoolExecutor):
    """Does what it is given in the thread that gives it."""

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **more))
        except BaseException as err:  # noqa: BLE001  (who waits for it raises it)
            done.set_exception(err)
        return done
