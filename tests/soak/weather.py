"""The bad line: a share of all requests goes wrong, in every way that there is."""

from collections import Counter
import random

from tests.support.dropbox_server import ControlClient, Fault, FaultKind

_EVERYTHING = "files/*,users/*,oauth2/token"
_UPLOADS = "files/upload,files/upload_session/append_v2"
_FOR_EVER = None

# What goes wrong, and how often compared with the others.
_MIX: tuple[tuple[float, Fault], ...] = (
    (2, Fault(FaultKind.STATUS, _EVERYTHING, status=500)),
    (2, Fault(FaultKind.STATUS, _EVERYTHING, status=503)),
    (1, Fault(FaultKind.STATUS, _EVERYTHING, status=502, body="<html>Bad Gateway</html>")),
    (1, Fault(FaultKind.STATUS, "files/*,users/*", status=429, retry_after=1)),
    (2, Fault(FaultKind.RESET_BEFORE_BODY, _EVERYTHING)),
    (2, Fault(FaultKind.RESET_IN_BODY, _UPLOADS, after_bytes=10_000)),
    (3, Fault(FaultKind.LOST_RESPONSE, _EVERYTHING)),
    (2, Fault(FaultKind.RESET_IN_RESPONSE, "files/*", after_bytes=100)),
    (1, Fault(FaultKind.TRUNCATE_DOWNLOAD, "files/download", after_bytes=700)),
    (1, Fault(FaultKind.CORRUPT_UPLOAD, _UPLOADS, after_bytes=5_000)),
    (1, Fault(FaultKind.GARBAGE, "files/*,users/*", body="<html>Welcome to our hotel</html>")),
    (2, Fault(FaultKind.STALL, _EVERYTHING, seconds=0.3)),
    (1, Fault(FaultKind.STALL, _EVERYTHING, seconds=0.5, when="after")),
    (1, Fault(FaultKind.EXPIRE_TOKEN, "files/*,users/*")),
)


class Weather:
    """Bad, worse (nothing works at all), or fine. `share` of the requests go wrong when it is bad.

    `harm` counts what was done.
    """

    def __init__(self, dropbox: ControlClient, share: float, lot: random.Random) -> None:
        self._dropbox = dropbox
        self._share = share
        self._lot = lot
        self.harm: Counter[str] = Counter()

    def bad(self) -> None:
        """Let every request be hit by chance."""
        self.fine()
        in_all = sum(weight for weight, _ in _MIX)
        for weight, fault in _MIX:
            fault.probability = self._share * weight / in_all
            fault.seed = self._lot.randrange(1 << 32)
            fault.times = _FOR_EVER
            self._dropbox.add_fault(fault)

    def outage(self) -> None:
        """Let every request fail."""
        self.fine()
        self._dropbox.add_fault(Fault(FaultKind.STATUS, status=503, times=_FOR_EVER))

    def fine(self) -> None:
        """Let every request succeed."""
        for fault in self._dropbox.faults():
            kind = str(fault["kind"])
            if fault["kind"] == FaultKind.STATUS:
                kind = "outage" if fault["probability"] == 1 else f"status {fault['status']}"
            self.harm[kind] += fault["applied"]
        self._dropbox.clear_faults()
