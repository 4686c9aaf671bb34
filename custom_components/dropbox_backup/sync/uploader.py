"""Uploads one backup on somebody's behalf, and tells what became of it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
import logging

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from ..codes import Reason
from ..dropbox_api.client import DropboxClient
from ..dropbox_api.errors import CorruptError, DropboxError
from ..dropbox_api.retry import RETRY_FOR, Waiter
from ..dropbox_api.upload.upload import Source
from .current_problem import CurrentProblem
from .decide.models import LocalBackup, Missed, RemoteBackup, Trouble, id_of, made_at
from .decide.upload_window import Origin
from .local.backups import LocalBackups
from .local.handed_out import upload_whole
from .local.stream_source import OpenStream
from .remote.account import ask_space
from .remote.folder import BackupFolder
from .report.events import BackupEvent, EventKind, Events
from .report.problems import no_room, problem_of, text_of, why_of
from .report.state import Status
from .storage.journal import Journal
from .store import StateStore
from .upload.gate import Gate
from .upload.transfers import Transfers
from .upload.upload_notes import DeletedMeanwhileError

_LOGGER = logging.getLogger(__name__)


class Uploader:
    """Uploads what the worker or Home Assistant wants in Dropbox."""

    def __init__(
        self,
        client: DropboxClient,
        folder: BackupFolder,
        local: LocalBackups,
        journal: Journal,
        gate: Gate,
        store: StateStore,
        events: Events,
        transfers: Transfers,
        problem: CurrentProblem,
        *,
        instance_id: str,
        agent_id: str,
    ) -> None:
        """Upload nothing yet."""
        self._client = client
        self._folder = folder
        self._local = local
        self._journal = journal
        self._gate = gate
        self._store = store
        self._events = events
        self._transfers = transfers
        self._problem = problem
        self._instance_id = instance_id
        self._agent_id = agent_id

    async def ask_space(self) -> int | None:
        """Publish how much room there is; return how many bytes are free, if Dropbox says it."""
        space = await ask_space(self._client)
        if space is None:
            return None
        self._store.publish(space=space)
        return space.free

    async def prepare(self) -> None:
        """Open a session ahead of time: a backup is being made that will probably be uploaded.

        Its data then need not wait for Dropbox's answer.
        """
        ours = (one for one in self._folder.backups if one.owner in {None, self._instance_id})
        newest = next(ours, None)
        pool = self._gate.pool
        small = newest is not None and newest.file.size <= pool.chunk_size
        if self._gate.policy.upload_automatically and self._gate.hold is None and not small:
            await pool.prepare(self._client)

    async def upload(
        self, one: LocalBackup, origin: Origin, retry_for: float, free: int | None
    ) -> RemoteBackup:
        """Upload a local backup, unless it is there by now.

        `retry_for`: for how many seconds a call that fails is tried again. `free`: how many bytes
        Dropbox has left, if it says so. Raises `StoppedError` when it is to be held back from now
        on, `DeletedMeanwhileError`, other `DropboxError`s, and what reading the backup raises.
        """
        known = self._folder.get(one.backup_id)
        password = self._local.password_for(self._agent_id)
        backup, source = await self._local.source(one, password)
        if known is None or known.verified is None:
            _check_room(backup.size, free)
            self._store.publish(working=Status.UPLOADING)
        remote = await self._transfers.upload(
            backup, source, lane=self._gate.lane_of(origin), retry_for=retry_for
        )
        there = known is not None and known.file == remote.file
        kind = EventKind.VERIFIED if there else EventKind.UPLOADED
        self._events.emit(BackupEvent.of(kind, remote))
        return remote

    async def verify(self, one: LocalBackup) -> RemoteBackup | None:
        """Prove that what lies in Dropbox is the local backup as it lies here; None: it is not.

        Raises `NotFoundError` if it is there no more, other `DropboxError`s, and what reading the
        backup raises.
        """
        backup, source = await self._local.source(one, None)
        if (remote := await self._transfers.verify(backup, source)) is not None:
            self._events.emit(BackupEvent.of(EventKind.VERIFIED, remote))
        return remote

    async def upload_for_home_assistant(
        self, backup: AgentBackup, open_stream: OpenStream, on_progress: Callable[[int], None]
    ) -> RemoteBackup:
        """Upload what Home Assistant hands out: the user chose Dropbox as a location.

        Raises `DropboxError`, `DeletedMeanwhileError` if somebody deletes it meanwhile, and what
        reading it raises.
        """

        async def upload(backup: AgentBackup, source: Source) -> RemoteBackup:
            return await self._transfers.upload(
                backup,
                source,
                lane=self._gate.lane_of(Origin.HOME_ASSISTANT),
                retry_for=RETRY_FOR[Waiter.HOME_ASSISTANT],
                on_progress=on_progress,
            )

        def take_note() -> None:
            self._journal.notes.unexamined.add(id_of(backup))

        password = self._local.password_for(self._agent_id)
        try:
            async with self._noted(backup):
                _check_room(backup.size, await self.ask_space())
                remote = await upload_whole(
                    self._local, backup, open_stream, password, upload, take_note
                )
        except DeletedMeanwhileError:
            raise
        except DropboxError as err:
            self._missed(backup, err)
            self._problem.take(problem_of(err))
            raise
        except Exception as err:  # reading it may raise errors of any kind
            self._missed(backup, err)
            raise
        self._events.emit(BackupEvent.of(EventKind.UPLOADED, remote))
        return remote

    @asynccontextmanager
    async def _noted(self, backup: AgentBackup) -> AsyncGenerator[None]:
        """Note that a backup is on its way, until it is known what became of it: if Home
        Assistant is killed or gives up meanwhile, only this note remains.
        """
        journal, backup_id = self._journal, id_of(backup)
        made = made_at(backup, dt_util.utcnow())
        reason = Reason(Trouble.STOPPED_MEANWHILE)
        journal.notes.handed_out[backup_id] = Missed(backup.name, made, reason)
        journal.handing_out.add(backup_id)
        await journal.save()
        try:
            yield
        except Exception:
            journal.notes.handed_out.pop(backup_id, None)
            raise
        else:
            journal.notes.handed_out.pop(backup_id, None)
        finally:
            journal.handing_out.discard(backup_id)
            journal.changed()

    def _missed(self, backup: AgentBackup, err: Exception) -> None:
        """Remember that it is missing: Home Assistant may have no other copy."""
        self.failed(backup, err)
        made = made_at(backup, dt_util.utcnow())
        self._journal.notes.missed = Missed(backup.name, made, why_of(err))
        self._journal.changed()
        self._store.publish()

    def failed(self, backup: AgentBackup, err: Exception) -> None:
        """Tell that a backup was not uploaded, and why."""
        _LOGGER.info("%s was not uploaded: %s", backup.name, text_of(err))
        corrupt = isinstance(err, CorruptError)
        kind = EventKind.VERIFICATION_FAILED if corrupt else EventKind.UPLOAD_FAILED
        self._events.emit(
            BackupEvent(kind, backup.backup_id, backup.name, backup.size, why_of(err))
        )


def _check_room(size: int, free: int | None) -> None:
    """Raise `FullError` before anything is sent if it can't fit."""
    if free is not None and free < size:
        raise no_room(size, free)
