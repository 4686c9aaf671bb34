"""What was asked of the server, for tests that count requests and bytes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field

MAX_RECORDS = 20_000


@dataclass(slots=True)
class RequestRecord:
    """One request. Times in seconds; bytes are of bodies, without headers and TLS.

    `status` is what the client got: 0 when the connection ended without an answer.
    `processed` tells whether the route did its work, even if the answer was lost.
    """

    route: str
    time: float
    argument: object = None
    token: str = ""
    status: int = 0
    duration: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    processed: bool = False
    error: str = ""
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Return the record for the control API."""
        return asdict(self)


class RequestLog:
    """The latest requests, counters per route, and violations of the protocol."""

    def __init__(self) -> None:
        """Start empty."""
        self.records: deque[RequestRecord] = deque(maxlen=MAX_RECORDS)
        self.counters: Counter[str] = Counter()
        self.violations: list[str] = []

    def add(self, record: RequestRecord) -> None:
        """Note a request when it arrives; the record is completed later."""
        self.records.append(record)
        self.counters[record.route] += 1

    def of(self, route: str) -> list[RequestRecord]:
        """List the requests to one route."""
        return [record for record in self.records if record.route == route]

    def count(self, route: str) -> int:
        """Count the requests to one route."""
        return self.counters[route]

    def bytes_received(self, route: str) -> int:
        """Sum the body bytes sent to one route."""
        return sum(record.bytes_received for record in self.of(route))

    def bytes_sent(self, route: str) -> int:
        """Sum the body bytes answered by one route."""
        return sum(record.bytes_sent for record in self.of(route))

    def violation(self, text: str) -> None:
        """Note something that Dropbox may tolerate and we want to see."""
        self.violations.append(text)

    def clear(self) -> None:
        """Forget everything."""
        self.records.clear()
        self.counters.clear()
        self.violations.clear()


def mask(token: str) -> str:
    """Show enough of a token to tell two apart."""
    return f"...{token[-6:]}" if token else ""
