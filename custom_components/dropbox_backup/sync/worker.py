"""The one worker that carries out the plan: when it runs, and what it publishes."""

import asyncio
import logging

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..waits import WAITS
from .current_problem import CurrentProblem
from .report.state import SHOWN_BY_UPLOADS, Problem, Status
from .run import Run
from .schedule import Schedule
from .tools import Tools
from .unexpected import UnexpectedErrors

_LOGGER = logging.getLogger(__name__)


class Worker:
    """Makes one run after the other, each when somebody has asked for it."""

    def __init__(self, tools: Tools, problem: CurrentProblem, schedule: Schedule) -> None:
        """Nothing happens before `run`."""
        self._tools = tools
        self._folder = tools.folder
        self._local = tools.local
        self._journal = tools.journal
        self._inbox = tools.inbox
        self._gate = tools.gate
        self._store = tools.store
        self._problem = problem
        self._schedule = schedule
        self._run: Run | None = None  # the latest one
        self.at_rest = False

    async def run(self) -> None:
        """Work until cancelled."""
        unexpected = UnexpectedErrors("checking the backups")
        self._folder.on_archives_read(self._inbox.archives_were_read)
        stop_watching = (self._store.watch_time(), self._gate.watch())
        try:
            while True:
                await self._inbox.wait()
                await asyncio.sleep(WAITS.debounce)
                try:
                    await self._look()
                except Exception as err:  # noqa: BLE001  (the worker outlives its own bugs)
                    unexpected.tell(err)
                    await asyncio.sleep(WAITS.after_bug)
                    self._inbox.request("the last check ended in an error of our own")
        finally:
            for stop in stop_watching:
                stop()
            self.stop()
            self._inbox.close()

    @callback
    def stop(self) -> None:
        """Leave no timer and no task behind."""
        self._schedule.cancel()
        self._folder.stop()

    async def _look(self) -> None:
        # First: somebody may ask for another look while `ready` waits for an answer.
        self._inbox.looked()
        # If a backup is being made, an idle event will follow, and with it another request.
        if await self._local.ready():
            await self.check()

    async def check(self) -> None:
        """Make one run now, tell what came of it, and set the time of the next one."""
        run = self._run = Run(self._tools, self._run)
        self._journal.notes.results.last_attempt = dt_util.utcnow()
        self.at_rest = False
        self._store.publish(working=Status.CHECKING)
        try:
            await run.carry_out()
            await run.answer_all()
            self._finish(run)
        except Exception, asyncio.CancelledError:
            run.interrupt()
            raise

    def _finish(self, run: Run) -> None:
        if run.problem is None:
            self._journal.notes.results.last_check = dt_util.utcnow()
        self._problem.take(run.problem or self._unsolved(run))
        self._schedule.checked(run.problem, run.not_before)
        self._rest()

    def _unsolved(self, run: Run) -> Problem | None:
        """Return the problem, if only an upload could show that it is gone, and what waits for one
        is held back.
        """
        problem = self._problem.problem
        if problem is None or problem.kind not in SHOWN_BY_UPLOADS:
            return None
        return problem if self._gate.hold and run.waiting else None

    @callback
    def tell_next_check(self) -> None:
        """Publish when the worker looks next, if it rests. A run that is under way does so itself
        when it ends.
        """
        if self.at_rest:
            self._rest()

    def _rest(self) -> None:
        due = [when for when in (self._schedule.due, self._gate.opens_at) if when is not None]
        self.at_rest = True
        self._store.publish(working=None, next_check=min(due, default=None))
