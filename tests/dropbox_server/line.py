"""The line to Dropbox: latency, server time and bandwidth."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, fields
import time
from typing import Any, Self
from weakref import WeakKeyDictionary

# How far a bucket may catch up after the event loop was late, in seconds. Also the free burst.
_CATCH_UP = 0.01
_SLICE_TIME = 0.01
_MIN_SLICE = 2 * 1024
_MAX_SLICE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """How the line behaves. Times in seconds, bandwidth in bit/s; None is unlimited.

    `latency` is the round-trip time: one per request, and two more on a new connection (TCP and TLS
    1.3 handshakes; both are real on top of it). `server_time` is added to each API call.
    TCP's slow start is not modelled.
    """

    latency: float = 0.0
    server_time: float = 0.0
    upload_per_connection: float | None = None
    upload_total: float | None = None
    download_per_connection: float | None = None
    download_total: float | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Build a line of the control API's JSON; raises ValueError for an unknown field."""
        if unknown := set(value) - {item.name for item in fields(cls)}:
            message = f"unknown fields {sorted(unknown)}"
            raise ValueError(message)
        return cls(**value)

    def as_json(self) -> dict[str, object]:
        """Return the line for the control API."""
        return asdict(self)

    @property
    def shapes_uploads(self) -> bool:
        """Tell whether request bodies are slowed down."""
        return self.upload_per_connection is not None or self.upload_total is not None


class Bucket:
    """A leaky bucket: says when bytes that are sent now have passed the line."""

    def __init__(self, bits_per_second: float) -> None:
        """Start empty."""
        self._seconds_per_byte = 8 / bits_per_second
        self._free_at = 0.0

    def reserve(self, size: int) -> float:
        """Take `size` bytes; return the monotonic time at which they are through."""
        start = max(self._free_at, time.monotonic() - _CATCH_UP)
        self._free_at = start + size * self._seconds_per_byte
        return self._free_at


class Throttle:
    """One direction of the line for one connection: its own bucket and the shared one."""

    def __init__(
        self, per_connection: Bucket | None, total: Bucket | None, slice_size: int
    ) -> None:
        """Keep the buckets."""
        self._buckets = [bucket for bucket in (per_connection, total) if bucket is not None]
        self.slice_size = slice_size

    @property
    def active(self) -> bool:
        """False on an unlimited line."""
        return bool(self._buckets)

    async def passed(self, size: int) -> None:
        """Wait until `size` bytes have passed the line."""
        if self._buckets:
            through = max(bucket.reserve(size) for bucket in self._buckets)
            if (delay := through - time.monotonic()) > 0:
                await asyncio.sleep(delay)


class Shaper:
    """Hands out throttles; one per connection and direction."""

    def __init__(self, line: Line) -> None:
        """Build the shared buckets of a line."""
        self.line = line
        self._total_up = _bucket(line.upload_total)
        self._total_down = _bucket(line.download_total)
        self._up: WeakKeyDictionary[object, Bucket] = WeakKeyDictionary()
        self._down: WeakKeyDictionary[object, Bucket] = WeakKeyDictionary()

    def upload(self, connection: object) -> Throttle:
        """Return the throttle for request bodies on a connection."""
        rate = self.line.upload_per_connection
        return Throttle(
            _shared(self._up, connection, rate),
            self._total_up,
            _slice_size(rate, self.line.upload_total),
        )

    def download(self, connection: object) -> Throttle:
        """Return the throttle for response bodies on a connection."""
        rate = self.line.download_per_connection
        return Throttle(
            _shared(self._down, connection, rate),
            self._total_down,
            _slice_size(rate, self.line.download_total),
        )


def _bucket(rate: float | None) -> Bucket | None:
    return None if rate is None else Bucket(rate)


def _shared(
    buckets: WeakKeyDictionary[object, Bucket], connection: object, rate: float | None
) -> Bucket | None:
    if rate is None:
        return None
    if connection not in buckets:
        buckets[connection] = Bucket(rate)
    return buckets[connection]


def _slice_size(*rates: float | None) -> int:
    """Choose bytes that pass in about 10 ms: few enough to be smooth, enough to be cheap."""
    limits = [rate for rate in rates if rate is not None]
    if not limits:
        return _MAX_SLICE
    return max(_MIN_SLICE, min(_MAX_SLICE, int(min(limits) / 8 * _SLICE_TIME)))
