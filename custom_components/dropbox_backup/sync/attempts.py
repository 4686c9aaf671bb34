"""Trying to upload or verify one backup of a run, and noting what became of it."""

from collections.abc import Coroutine
import logging
from typing import Any

from homeassistant.components.backup import BackupNotFound

from ..codes import Reason
from ..dropbox_api.errors import FullError, NotFoundError, StoppedError
from .decide.models import LocalBackup, RemoteBackup, Trouble
from .decide.upload_window import Origin
from .report.problems import away_of, concerns_all, problem_of, text_of, why_of
from .requests import Outcome, Run
from .storage.journal import Journal
from .store import StateStore
from .upload.gate import Gate
from .upload.upload_notes import DeletedMeanwhileError
from .uploader import Uploader

_LOGGER = logging.getLogger(__name__)

_HELD_BACK = Reason(Trouble.HELD_BACK)  # the only thing that holds back what somebody has asked for


class Attempts:
    """What concerns only one backup is noted and does not stop the others; what would stop all is
    raised.
    """

    def __init__(self, gate: Gate, uploader: Uploader, store: StateStore, journal: Journal) -> None:
        """Try nothing yet."""
        self._gate = gate
        self._uploader = uploader
        self._store = store
        self._journal = journal

    async def verify(self, run: Run, one: LocalBackup) -> None:
        """Prove that what is in Dropbox is what lies here, or note that it is unproven."""
        verified = False

        async def verify() -> RemoteBackup | None:
            nonlocal verified
            try:
                remote = await self._uploader.verify(one)
            except NotFoundError as err:
                _LOGGER.debug("%s went while it was compared: %s", one.backup.name, err)
                remote = None
            if remote is None:
                _LOGGER.info("What is in Dropbox as %s is not what is here", one.backup.name)
                run.unlike.add(one.backup_id)
            verified = remote is not None
            return remote

        await self._attempt(run, one, verify())
        if not verified:
            run.unproven.add(one.backup_id)

    async def upload(self, run: Run, retry_for: float, one: LocalBackup) -> None:
        """Upload one backup, unless it is to be held back, or is too large for now.

        `retry_for`: for how many seconds a call that fails is tried again.
        """
        backup_id, name = one.backup_id, one.backup.name
        origin = Origin.PERSON if self._journal.notes.is_wanted(backup_id) else Origin.WORKER
        if origin is Origin.WORKER and backup_id in self._journal.notes.dismissed:
            run.take(backup_id, Outcome(name, error=Reason(Trouble.DELETED_MEANWHILE)))
            return
        if self._gate.hold_of(origin) is not None:
            run.take(backup_id, Outcome(name, error=_HELD_BACK))
            return
        if not run.room.fits(one.backup.size):
            run.take(backup_id, Outcome(name, error=why_of(run.room.lacks(one.backup))))
            return
        uploading = self._uploader.upload(one, origin, retry_for, run.room.free)
        if await self._attempt(run, one, uploading):
            run.waiting = tuple(other for other in run.waiting if other is not one)
            self._store.publish(waiting=run.waiting)

    async def _attempt(
        self, run: Run, one: LocalBackup, work: Coroutine[Any, Any, RemoteBackup | None]
    ) -> bool:
        """Do the work on one backup; return whether nothing more is to be done about it."""
        backup_id, name = one.backup_id, one.backup.name
        try:
            remote = await work
        except StoppedError:
            _LOGGER.debug("The upload of %s was stopped; it goes on later", name)
            run.take(backup_id, Outcome(name, error=_HELD_BACK))
            return False
        except BackupNotFound, FileNotFoundError, DeletedMeanwhileError:
            _LOGGER.info("%s is gone: it was deleted before it was uploaded", name)
            run.take(backup_id, Outcome(name, error=Reason(Trouble.DELETED_MEANWHILE)))
            return True
        except FullError:
            err = run.room.refused(one.backup)
            run.take(backup_id, Outcome(name, error=why_of(err)))
            return False
        except Exception as err:
            if (away := away_of(one.agent_id, err)) is not None:
                _LOGGER.info("%s can't be read from %s now: %s", name, one.agent_id, text_of(err))
                run.take(backup_id, Outcome(name, error=away.reason))
                run.tried.add(backup_id)
                run.problem = away
                return False
            run.take(backup_id, Outcome(name, error=why_of(err)))
            if concerns_all(err):
                # All that are under way fail for the same reason: it is told once.
                run.stopped_by = run.stopped_by or (one.backup, err)
                raise
            run.tried.add(backup_id)
            self._uploader.failed(one.backup, err)
            run.problem = problem_of(err)
            return False
        if remote is not None:
            run.take(backup_id, Outcome(name, remote))
            run.room.takes(remote.file.size)
            self._journal.notes.wanted.discard(backup_id)
        return True
