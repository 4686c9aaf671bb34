"""Faults on purpose: which requests go wrong, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import count
import random
from typing import Any, Self

from tests.support.dropbox_server import errors


class FaultKind(StrEnum):
    """What goes wrong."""

    STATUS = "status"
    """Answer with `status` and a body in Dropbox's shape, or with `body`."""
    RESET_BEFORE_BODY = "reset_before_body"
    """Reset the connection when the headers are in."""
    RESET_IN_BODY = "reset_in_body"
    """Reset after `after_bytes` of the request body."""
    LOST_RESPONSE = "lost_response"
    """Do the work, then reset the connection instead of answering."""
    RESET_IN_RESPONSE = "reset_in_response"
    """Reset after `after_bytes` of the response body."""
    STALL = "stall"
    """Stand still for `seconds`, or until the rule is taken out; `when`: before, during (after
    `after_bytes`) or after the work."""
    CORRUPT_UPLOAD = "corrupt_upload"
    """Flip the byte at `after_bytes` of the request body as received."""
    CORRUPT_DOWNLOAD = "corrupt_download"
    """Flip the byte at `after_bytes` of the response body as sent."""
    TRUNCATE_DOWNLOAD = "truncate_download"
    """Announce the whole body, send `after_bytes` of it and close the connection in good order."""
    SPLIT_RESPONSE = "split_response"
    """Send the response body in two pieces, cut at `after_bytes`, `seconds` apart."""
    IGNORE_RANGE = "ignore_range"
    """Answer a ranged download with the whole file, as proxies do that strip the header."""
    RESET_CURSOR = "reset_cursor"
    """Let all cursors of the namespace die right before this one is looked at."""
    REPLACE_FILE = "replace_file"
    """Another client replaces the file while it is being downloaded."""
    DELETE_FILE = "delete_file"
    """Another client deletes the file while it is being downloaded."""
    GARBAGE = "garbage"
    """Do the work and answer 200 with something that is not JSON."""
    EXPIRE_TOKEN = "expire_token"
    """Expire the account's access tokens before this request is checked."""
    SUSPEND_USER = "suspend_user"
    """Suspend the user before this request is checked."""
    REVOKE_GRANTS = "revoke_grants"
    """Revoke the account's refresh tokens, and the access tokens made from them."""


_ids = count(1)


@dataclass(slots=True)
class Fault:
    """One rule. It applies to requests whose route matches, at most `times` times.

    `route` is a name such as `files/upload` or `oauth2/token`, or a glob such as
    `files/upload_session/*`; several are separated by commas. `skip` lets the first matching
    requests pass. `probability` is decided by a generator seeded with `seed`, so a run repeats.
    `times=None` is for ever.
    """

    kind: FaultKind
    route: str = "*"
    skip: int = 0
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    status: int = 503
    reason: str = "too_many_requests"
    error: dict[str, Any] | None = None  # a JSON object as the test wants it sent
    body: str | None = None
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int = 1
    plain: bool = False
    after_bytes: int = 0
    seconds: float = 0.0
    when: str = "before"
    id: int = field(default_factory=lambda: next(_ids))
    matched: int = 0
    applied: int = 0
    _random: random.Random = field(init=False, repr=False)
    _taken_out: asyncio.Event = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Seed the generator; accept the kind as text."""
        self.kind = FaultKind(self.kind)
        self._random = random.Random(self.seed)
        self._taken_out = asyncio.Event()
        if self.when not in {"before", "during", "after"}:
            message = f"when must be before, during or after, not {self.when!r}"
            raise ValueError(message)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Build a fault of the control API's JSON; raises ValueError for an unknown field."""
        known = {item.name for item in fields(cls) if item.init}
        if unknown := set(value) - known:
            message = f"unknown fields {sorted(unknown)}"
            raise ValueError(message)
        return cls(**value)

    def as_json(self) -> dict[str, object]:
        """Return the fault for the control API."""
        names = [item.name for item in fields(self) if not item.name.startswith("_")]
        return {name: getattr(self, name) for name in names}

    def wants(self, route: str) -> bool:
        """Decide whether this request is hit, and count it."""
        if not any(fnmatchcase(route, glob.strip()) for glob in self.route.split(",")):
            return False
        self.matched += 1
        if self.matched <= self.skip or (self.times is not None and self.applied >= self.times):
            return False
        if self._random.random() >= self.probability:
            return False
        self.applied += 1
        return True

    async def stall(self) -> None:
        """Stand still."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._taken_out.wait(), self.seconds)

    def take_out(self) -> None:
        """Let go of the requests that stand still."""
        self._taken_out.set()

    def refusal(self) -> errors.RefusalError:
        """Build the answer of a STATUS fault."""
        if self.body is not None:
            return errors.RefusalError(
                self.status, self.body.encode(), self.content_type, dict(self.headers)
            )
        if self.error is not None:
            return errors.shaped(self.status, self.error, dict(self.headers))
        if self.status == 429:
            refusal = errors.rate_limited(self.retry_after, self.reason, plain=self.plain)
            refusal.headers.update(self.headers)
            return refusal
        return errors.server_error(self.status, dict(self.headers))


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        """Start without faults."""
        self.rules: list[Fault] = []

    def add(self, *faults: Fault) -> Fault:
        """Put rules in force; returns the last one, whose counters tell what happened."""
        self.rules.extend(faults)
        return faults[-1]

    def remove(self, fault_id: int) -> None:
        """Take one rule out."""
        for rule in self.rules:
            if rule.id == fault_id:
                rule.take_out()
        self.rules = [rule for rule in self.rules if rule.id != fault_id]

    def clear(self) -> None:
        """Take all rules out."""
        for rule in self.rules:
            rule.take_out()
        self.rules = []

    def select(self, route: str) -> Active:
        """Choose the faults that hit this request."""
        return Active([rule for rule in self.rules if rule.wants(route)])


class Active:
    """The faults that hit one request."""

    def __init__(self, rules: Iterable[Fault]) -> None:
        """Keep the rules."""
        self.rules = list(rules)

    def first(self, kind: FaultKind, when: str | None = None) -> Fault | None:
        """Return the first fault of that kind (and phase)."""
        for rule in self.rules:
            if rule.kind is kind and when in {None, rule.when}:
                return rule
        return None

    def names(self) -> list[str]:
        """List the kinds, for the log."""
        return [rule.kind.value for rule in self.rules]
