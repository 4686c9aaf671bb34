"""Sees within moments what others change in the backup folder, over one open connection."""

import asyncio
from collections.abc import Awaitable, Callable
import logging
import time

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.errors import CursorResetError, DropboxError
from ..waits import WAITS
from .remote.folder import BackupFolder
from .unexpected import UnexpectedErrors

_LOGGER = logging.getLogger(__name__)

# Dropbox keeps the call open for so many seconds: the longest it allows.
# https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder-longpoll
_LONGPOLL = 480


async def watch_dropbox(
    client: DropboxClient,
    folder: BackupFolder,
    refresh: Callable[[], Awaitable[None]],
    request: Callable[[str], object],
) -> None:
    """Keep the listing up to date with `refresh` until cancelled; have the worker look with
    `request`, which takes the reason, if backups came or went.
    """
    unexpected = UnexpectedErrors("watching the backup folder")
    reset_at = float("-inf")
    while True:
        try:
            await _wait_for_change(client, folder)
            await asyncio.sleep(WAITS.after_change)
            before = _backups(folder)
            await refresh()
            # What the worker uploads and deletes itself is known before it is seen here.
            if _backups(folder) != before:
                request("the backup folder was changed by somebody else")
        except CursorResetError:
            # The next look begins anew at once, but not again and again.
            folder.forget_cursor()
            if time.monotonic() - reset_at < WAITS.after_trouble:
                await asyncio.sleep(WAITS.after_trouble)
            reset_at = time.monotonic()
        except DropboxError as err:
            _LOGGER.debug("Watching the backup folder was interrupted: %s", err)
            await asyncio.sleep(WAITS.after_trouble)
        except Exception as err:  # noqa: BLE001  (the watch outlives its own bugs)
            unexpected.tell(err)
            await asyncio.sleep(WAITS.after_trouble)


async def _wait_for_change(client: DropboxClient, folder: BackupFolder) -> None:
    while True:
        cursor = folder.cursor
        if cursor is None:  # the listing starts anew
            return
        begun = time.monotonic()
        result = await client.list_folder_longpoll(cursor, _LONGPOLL)
        rest = result.backoff
        if not (rest or result.changes) and time.monotonic() - begun < WAITS.after_change:
            # Who answers at once that nothing has changed would be asked thousands of times.
            rest = WAITS.after_trouble
        if rest:
            # Dropbox asks this of longpolls only; other calls need not wait.
            await asyncio.sleep(rest)
        # The worker may have seen the change before us.
        if result.changes and cursor == folder.cursor:
            return


def _backups(folder: BackupFolder) -> set[str]:
    return {one.backup_id for one in folder.backups}
