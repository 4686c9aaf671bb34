"""The line to Dropbox: latency, server time and bandwidth."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, fields
import time
from typing import Any, Self
from weakref import WeakKeyDictionary

# How far a transfer may catch up after the event loop was late, in seconds.
_CATCH_UP = 0.25
# How long the capacity that nobody used stays usable for transfers under way, in seconds.
_SHARED_MEMORY = 0.02
# Shorter waits, in seconds, are our own work and not the other side's slowness.
_SHORT_WAIT = 0.005
_SLICE_TIME = 0.01
_MIN_SLICE = 2 * 1024
_MAX_SLICE = 256 * 1024
# A line holds what is under way on it, and some more in the router. Without a bound, our own
# receive buffer would take whole chunks at once, and no sender would ever feel the line.
_LEAST_BUFFER = 64 * 1024
_SECONDS_IN_BUFFERS = 0.05


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
    """Says when bytes that are sent now have passed the line."""

    def __init__(self, bits_per_second: float) -> None:
        """Start empty."""
        self._seconds_per_byte = 8 / bits_per_second
        self._free_at = 0.0

    def reserve(self, size: int, since: float) -> float:
        """Take `size` bytes that were ready at `since`; return when they are through.

        Both are monotonic times in seconds.
        """
        self._free_at = max(self._free_at, since) + size * self._seconds_per_byte
        return self._free_at


class Throttle:
    """One direction of the line for one transfer: the connection's bucket and the shared one."""

    def __init__(self, connection: Bucket | None, total: Bucket | None, slice_size: int) -> None:
        """Keep the buckets; bytes should pass in slices of `slice_size`."""
        self._connection = connection
        self._total = total
        self.slice_size = slice_size
        self._begun: float | None = None
        self._ready = 0.0

    @property
    def active(self) -> bool:
        """False on an unlimited line."""
        return self._connection is not None or self._total is not None

    async def passed(self, size: int, waited: float = 0.0) -> None:
        """Wait until `size` bytes have passed the line.

        `waited` is how long, in seconds, the other side kept us waiting for them: that time of the
        line is lost. Our own delays since the last bytes are not the line's, and are caught up.
        """
        now = time.monotonic()
        if self._begun is None:
            self._begun = self._ready = now
        if waited < _SHORT_WAIT:
            waited = 0.0
        through = now
        if self._connection is not None:
            since = min(now, max(self._ready + waited, now - _CATCH_UP))
            self._ready = self._connection.reserve(size, since)
            through = self._ready
        if self._total is not None:
            # Transfers take turns out of order; without a short memory the gaps would be lost.
            since = max(self._begun, now - _SHARED_MEMORY)
            through = max(through, self._total.reserve(size, since))
        if through > now:
            await asyncio.sleep(through - now)


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

    def buffer_size(self) -> int | None:
        """Return how many bytes of a connection may lie between sender and receiver.

        None: as many as the operating system likes, as no line is in between.
        """
        rates = (self.line.upload_per_connection, self.line.upload_total)
        limits = [rate for rate in rates if rate is not None]
        if not limits:
            return None
        under_way = min(limits) / 8 * (self.line.latency + _SECONDS_IN_BUFFERS)
        return max(_LEAST_BUFFER, int(under_way))

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
