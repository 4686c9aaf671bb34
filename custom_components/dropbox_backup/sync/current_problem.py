"""What keeps backups from being uploaded now, told once when it comes and once when it goes."""

from collections.abc import Callable
import logging

from homeassistant.util import dt as dt_util

from .report.state import Problem, ProblemKind
from .storage.journal import Journal
from .store import StateStore

_LOGGER = logging.getLogger(__name__)


class CurrentProblem:
    """The problem of the last check, or of an upload by Home Assistant since then."""

    def __init__(
        self, journal: Journal, store: StateStore, on_sign_in_needed: Callable[[], None]
    ) -> None:
        """There is none yet."""
        self._journal = journal
        self._store = store
        self._on_sign_in_needed = on_sign_in_needed
        self.problem: Problem | None = None

    def take(self, problem: Problem | None) -> None:
        """Let this be the problem from now on; None if there is none any more."""
        before, self.problem = self.problem, problem
        results = self._journal.notes.results
        if problem is None:
            results.failing_since = None
            if before is not None:
                _LOGGER.info("Backups can be uploaded to Dropbox again")
        else:
            results.failing_since = results.failing_since or dt_util.utcnow()
            if before is None or before.kind is not problem.kind:
                _LOGGER.warning("Backups can't be uploaded to Dropbox now: %s", problem.reason)
        self._journal.changed()
        self._store.publish(problem=problem)
        if problem is not None and problem.kind is ProblemKind.SIGN_IN:
            self._on_sign_in_needed()
