"""The server's idea of now, which tests can move."""

from __future__ import annotations

from datetime import UTC, datetime
import time


class Clock:
    """Wall clock plus an offset in seconds, so that hours can pass in a test."""

    def __init__(self, offset: float = 0.0) -> None:
        """Start at the real time plus `offset` seconds."""
        self.offset = offset

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset

    def timestamp(self) -> datetime:
        """Now as Dropbox stores it: UTC, whole seconds, without a zone."""
        return datetime.fromtimestamp(int(self.now()), UTC).replace(tzinfo=None)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self.offset += seconds
