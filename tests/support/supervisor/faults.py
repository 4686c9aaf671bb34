"""Faults on purpose: which requests go wrong, and how."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(slots=True)
class Fault:
    """One rule, for at most `times` requests whose path matches the glob; `times=None` is for ever.

    With `cut_after` a download is cut off after so many bytes, otherwise the answer is `status`.
    """

    path: str
    status: int = 503
    cut_after: int | None = None
    times: int | None = 1
    applied: int = 0

    def wants(self, path: str) -> bool:
        """Decide whether this request is hit, and count it."""
        if not fnmatchcase(path, self.path) or self.applied == self.times:
            return False
        self.applied += 1
        return True
