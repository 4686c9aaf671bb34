"""How fast uploads are, over the last seconds."""

from collections import deque

# Long enough to smooth what a line does from one moment to the next.
_WINDOW = 15.0
# Before that it is the burst with which a transfer begins.
_SHORTEST = 2.0


class Throughput:
    """Measures bytes a second from how many have been sent, as of a clock in seconds."""

    def __init__(self) -> None:
        """Nothing has been sent."""
        self._moved = 0
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Count bytes that were sent."""
        self._moved += max(0, count)
        self._samples.append((now, self._moved))
        while now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()

    def reset(self) -> None:
        """Forget everything: nothing is being sent."""
        self._samples.clear()

    def speed(self, now: float) -> float | None:
        """Return bytes a second; None if it is too early to tell, or nothing moves."""
        if not self._samples:
            return None
        begun, moved = self._samples[0]
        if now - begun < _SHORTEST or self._moved == moved:
            return None
        return (self._moved - moved) / (now - begun)
