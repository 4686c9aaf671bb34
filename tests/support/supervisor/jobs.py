"""Supervisor's jobs, and what it tells of them.

Source: `supervisor/jobs/__init__.py`, with the old names that Home Assistant still expects.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

type Json = dict[str, Any]  # Any: that is what JSON is


class JobError(Exception):
    """What was to be done can't be; the text is what Supervisor's API says."""


@dataclass(slots=True)
class Job:
    """One job. Every change of it is told."""

    name: str
    tell: Callable[[Json], None]
    reference: str | None = None
    parent: Job | None = None
    uuid: str = field(default_factory=lambda: uuid4().hex)
    stage: str | None = None
    progress: float = 0.0
    done: bool | None = None
    errors: list[Json] = field(default_factory=list)
    children: list[Job] = field(default_factory=list)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def update(self, **changes: object) -> None:
        """Change it, and tell."""
        for name, value in changes.items():
            setattr(self, name, value)
        parent_id = self.parent.uuid if self.parent else None
        self.tell({"event": "job", "data": {**self._facts(), "parent_id": parent_id}})

    def capture(self, error: Exception) -> None:
        """Take note of an error."""
        told = {"type": "BackupError", "message": str(error), "stage": self.stage}
        self.update(errors=[*self.errors, {**told, "error_key": None, "extra_fields": None}])

    @contextmanager
    def child(self, name: str, reference: str | None = None) -> Generator[Job]:
        """Do a part of it."""
        part = Job(name, self.tell, parent=self)
        self.children.append(part)
        with part.running():
            if reference is not None:
                part.update(reference=reference)
            yield part

    @contextmanager
    def running(self) -> Generator[None]:
        """Do it. If it fails it is done, too; if Supervisor dies nothing is told any more."""
        self.update(done=False)
        try:
            yield
        except Exception:
            self.update(done=True)
            raise
        else:
            self.update(progress=100.0, done=True)

    def tree(self) -> Json:
        """Return it as the API shows it."""
        return {**self._facts(), "child_jobs": [one.tree() for one in self.children]}

    def _facts(self) -> Json:
        return {
            "name": self.name,
            "reference": self.reference,
            "uuid": self.uuid,
            "progress": self.progress,
            "stage": self.stage,
            "done": self.done,
            "errors": self.errors,
            "created": self.created,
            "extra": None,
        }
