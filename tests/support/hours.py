"""The allowed hours, and what has arrived in them."""

from datetime import datetime, timedelta

from homeassistant.util import dt as dt_util

from tests.support.account import (
    APPEND,
)
from tests.support.dropbox_server import DropboxServer


def in_hours(hours: float) -> datetime:
    """Return the full minute before a time from now on, by the clock on the wall."""
    return (dt_util.now() + timedelta(hours=hours)).replace(second=0, microsecond=0)


def arrived(server: DropboxServer) -> int:
    """Return how many chunks have, each counted once however often it was sent."""
    return len({str(record.argument) for record in server.log.of(APPEND) if record.processed})
