"""Where work goes that would hold up the event loop."""

import asyncio
from collections.abc import Callable


def in_thread[*Ts, T](do: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
    """Do something in one of the event loop's threads; return a future of the result."""
    return asyncio.get_running_loop().run_in_executor(None, do, *args)
