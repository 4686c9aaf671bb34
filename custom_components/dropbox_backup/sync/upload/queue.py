"""Uploading many backups: small ones together, large ones one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ...dropbox_api.content_hash import BLOCK_SIZE
from ..decide.models import LocalBackup

# What fits one chunk is mostly waiting: for the line, for Dropbox, for the catalog. Memory is
# bounded by the limits of uploads.
_SMALL_AT_ONCE = 32


async def upload_in_order(
    backups: Sequence[LocalBackup],
    upload: Callable[[LocalBackup], Awaitable[None]],
    stop: Callable[[], bool],
    *,
    at_least: int = 0,
) -> int:
    """Call `upload` for each backup, in this order; several at once if they are small. Return for
    how many it was called.

    When one call raises, or `stop` says so and `at_least` so many have begun, no further one
    begins; those under way end, and then the error is raised.
    """
    begun = 0
    errors: list[Exception] = []
    room = asyncio.Semaphore(_SMALL_AT_ONCE)

    async def attempt(one: LocalBackup) -> None:
        try:
            await upload(one)
        except Exception as err:  # noqa: BLE001  (raised when all have ended)
            errors.append(err)

    async def attempt_small(one: LocalBackup) -> None:
        try:
            await attempt(one)
        finally:
            room.release()

    async with asyncio.TaskGroup() as tasks:
        for one in backups:
            small = one.backup.size <= BLOCK_SIZE
            if small:
                await room.acquire()
            if errors or (begun >= at_least and stop()):
                break
            begun += 1
            if small:
                tasks.create_task(attempt_small(one))
            else:
                await attempt(one)
    if errors:
        raise errors[0]
    return begun
