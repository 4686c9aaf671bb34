"""The facade of one config entry: all that faces may ask for. Wires the parts behind it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial

from homeassistant.components.backup import AgentBackup
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..codes import Reason
from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import download
from ..dropbox_api.errors import Fault, UnreachableError
from ..dropbox_api.retry import RETRY_FOR, Waiter
from .current_problem import CurrentProblem
from .decide.backup_settings import NOT_ENCRYPTED, retention_beats
from .decide.consent import Answer
from .decide.lookup import Meant, look_up
from .decide.models import BackupId, Policy, RemoteBackup
from .decide.plan import Plan
from .decide.retention import Verdict
from .decide.upload_window import HoldReason
from .folder_refresh import FolderRefresh
from .inbox import Inbox
from .local.backups import LocalBackups
from .local.stream_source import OpenStream
from .planner import Planner
from .pruner import Pruner, Pruning
from .remote.folder import BackupFolder
from .remote_changes import watch_dropbox
from .report.events import BackupEvent, Events
from .report.state import Problem, State
from .requests import Outcomes, Selection
from .run import Tools
from .schedule import Schedule
from .storage.journal import Journal
from .store import StateStore
from .upload.gate import Gate
from .upload.progress import UploadProgress
from .upload.transfers import Transfers
from .upload.upload_notes import Transfer
from .uploader import Uploader
from .worker import Worker


class Engine:
    """The facade of one config entry, with the worker behind it. Every cause to look ends in
    `request`.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        client: DropboxClient,
        folder: BackupFolder,
        local: LocalBackups,
        journal: Journal,
        policy: Policy,
        *,
        instance_id: str,
        agent_id: str,
        on_change: Callable[[State], None],
        on_sign_in_needed: Callable[[], None],
    ) -> None:
        """Do nothing before `run`."""
        self._client = client
        self._folder = folder
        self._local = local
        self._journal = journal
        self._agent_id = agent_id
        self._inbox = inbox = Inbox(hass, journal)
        self._gate = gate = Gate(hass, journal, policy, agent_id, self._held_or_let_go)
        self._events = events = Events()
        self._progress = progress = UploadProgress(journal, hass.loop.time)
        self._store = store = StateStore(
            hass,
            folder,
            journal,
            gate,
            progress,
            partial(local.settings_for, agent_id),
            instance_id=instance_id,
            on_change=on_change,
        )
        self._problem = problem = CurrentProblem(journal, store, on_sign_in_needed)
        self._folder_refresh = refresh = FolderRefresh(client, folder, journal, store)
        before_deletion = partial(refresh.refresh, RETRY_FOR[Waiter.DELETION], adopt=False)
        self._pruner = pruner = Pruner(
            folder, journal, policy, store, events, instance_id, before_deletion
        )
        self._transfers = transfers = Transfers(client, folder, journal, instance_id, self._moved)
        self._uploader = uploader = Uploader(
            client,
            folder,
            local,
            journal,
            gate,
            store,
            events,
            transfers,
            problem,
            instance_id=instance_id,
            agent_id=agent_id,
        )
        self._planner = planner = Planner(hass, folder, journal, gate, pruner, instance_id)
        tools = Tools(
            folder,
            local,
            journal,
            inbox,
            gate,
            store,
            planner,
            transfers,
            uploader,
            pruner,
            refresh,
        )
        self._schedule = Schedule(
            hass, policy.check_interval, partial(self.request, "time for a check")
        )
        self._worker = Worker(tools, problem, self._schedule)

    @property
    def state(self) -> State:
        """The newest snapshot."""
        return self._store.state

    @property
    def policy(self) -> Policy:
        """The rules that hold now."""
        return self._gate.policy

    @property
    def opens_at(self) -> datetime | None:
        """When uploads that wait for the hours may go on."""
        return self._gate.opens_at

    @property
    def backups(self) -> tuple[RemoteBackup, ...]:
        """All backups in Dropbox, newest first, as far as is known now."""
        return self._folder.backups

    def get(self, backup_id: BackupId) -> RemoteBackup | None:
        """Return one of them, if it is there."""
        return self._folder.get(backup_id)

    def find(self, backup_id: BackupId) -> RemoteBackup:
        """Return one of them. Raises `NotFoundError`."""
        return self._folder.find(backup_id)

    @property
    def on_their_way(self) -> list[AgentBackup]:
        """The backups that are being uploaded now, whoever asked for it."""
        return [one.backup for one in self._transfers.active]

    def path_of(self, name: str) -> str:
        """Return where a file of the backup folder lies in Dropbox."""
        return self._folder.path_of(name)

    async def judge(self) -> tuple[Verdict, ...]:
        """Return what retention says of all backups in Dropbox, newest first."""
        return await self._pruner.judge()

    @property
    def problem(self) -> Problem | None:
        """What keeps backups from being uploaded now, None if nothing does."""
        return self._problem.problem

    @property
    def paused(self) -> bool:
        """Whether the user has paused the uploads."""
        return self._gate.paused

    @property
    def idle(self) -> bool:
        """Whether the worker rests, and nobody has asked it for anything."""
        return self._inbox.is_empty and self._worker.at_rest

    @property
    def requested(self) -> bool:
        """Whether somebody has asked for a run that has not begun."""
        return self._inbox.has_news

    @callback
    def subscribe(self, listener: Callable[[BackupEvent], None]) -> CALLBACK_TYPE:
        """Tell the listener what happens to backups; return how to stop that."""
        return self._events.subscribe(listener)

    @callback
    def publish(self) -> None:
        """Publish a new snapshot, with what may have changed without an event."""
        self._store.publish()

    @callback
    def request(self, reason: str, selection: Selection | None = None) -> asyncio.Future[Outcomes]:
        """Ask for a run; return a future of what became of the selected backups, which need not be
        awaited.

        Requests that come together are one run. The run begins when Home Assistant is not busy with
        a backup.
        """
        return self._inbox.request(reason, selection)

    @callback
    def apply(self, policy: Policy) -> None:
        """Work by other rules from now on. What is under way goes on, and keeps to them."""
        if policy == self._gate.policy:
            return
        self._schedule.check_interval = policy.check_interval
        self._pruner.apply(policy)
        self._gate.apply(policy)
        self._store.publish()
        self.request("options changed")

    async def refresh(self, within: float | None = None) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`.

        `within`: somebody waits, and it ends after so many seconds at the latest, whatever Dropbox
        does; what can wait is left to the worker then. Not given: the worker's time for each call
        that fails.
        """
        try:
            async with asyncio.timeout(within):
                await self._folder_refresh.refresh(
                    RETRY_FOR[Waiter.WORKER] if within is None else within, adopt=within is None
                )
        except TimeoutError as err:
            raise UnreachableError(Fault.NO_ANSWER) from err

    async def ensure_listed(self) -> None:
        """List the backup folder if it is not known what lies there. Raises `DropboxError`."""
        if not self._folder.known:
            await self.refresh(within=RETRY_FOR[Waiter.PERSON])

    def look_up_in_dropbox(self, given: Iterable[str]) -> Meant:
        """Return which backups are meant that are in Dropbox, or on their way; `given`: ids, or
        names.
        """
        under_way = self._transfers.under_way
        there = [one.backup for one in self._folder.backups]
        meant = look_up(given, [*there, *self.on_their_way])
        waiting = [BackupId(one) for one in meant.unknown if one in under_way]
        unknown = tuple(one for one in meant.unknown if one not in under_way)
        return replace(meant, ids=(*meant.ids, *waiting), unknown=unknown)

    async def look_up(self, given: Iterable[str]) -> Meant:
        """Return the same of those that are on this Home Assistant or in Dropbox."""
        given = tuple(given)
        if all(self._folder.get(BackupId(one)) for one in given):
            return Meant(tuple(dict.fromkeys(map(BackupId, given))))
        found = await self._local.list()
        here = [one.backup for one in (*found.good, *(skipped.local for skipped in found.bad))]
        return look_up(given, [*here, *(one.backup for one in self._folder.backups)])

    def download(self, backup_id: BackupId) -> AsyncGenerator[bytes]:
        """Return the archive as a stream, verified at its end.

        Raises `NotFoundError`; the stream raises `DropboxError`.
        """
        file = self._folder.find(backup_id).file
        return download(self._client, file.rev, file.size, file.content_hash)

    async def preview(self) -> Plan:
        """Return what a run would do now. Raises `DropboxError`."""
        await self.refresh()
        found = await self._local.list()
        plan = await self._planner.plan(self._journal.notes.dated(found.good, dt_util.utcnow()))
        return replace(plan, conflicts=(*found.bad, *plan.conflicts))

    async def delete(
        self, backup_ids: Collection[BackupId], reason: Reason, *, spare_own_copies: bool = False
    ) -> list[RemoteBackup]:
        """Delete backups on a person's behalf, and stop their uploads; return what was in Dropbox.
        They are not uploaded again by themselves. `reason`: who asked for it.

        Arguments and errors are those of `Pruner.delete`; what is on its way need not be there.
        """
        stopped = await self._transfers.drop(backup_ids)
        there = [one for one in backup_ids if one not in stopped or self._folder.get(one)]
        if not there:
            return []
        return await self._pruner.delete(there, reason, spare_own_copies=spare_own_copies)

    async def apply_retention(self, *, consent: bool) -> Pruning:
        """Delete what retention says, on a person's behalf; return what became of it. `consent`:
        however many that are.

        Raises `DropboxError`.
        """
        await self.refresh()
        return await self._pruner.apply_retention(consent=consent)

    async def prepare_upload(self) -> None:
        """Get ready: a backup is being made that will probably be uploaded."""
        await self._uploader.prepare()

    async def upload_for_home_assistant(
        self, backup: AgentBackup, open_stream: OpenStream, on_progress: Callable[[int], None]
    ) -> RemoteBackup:
        """Upload what Home Assistant hands out. Errors: `Uploader.upload_for_home_assistant`."""
        return await self._uploader.upload_for_home_assistant(backup, open_stream, on_progress)

    async def back_up(self) -> None:
        """Make a backup in Home Assistant; it is uploaded when it is ready.

        Raises `HomeAssistantError`.
        """
        begun = dt_util.utcnow()
        await self._local.create(self._agent_id)
        self.request("back up now", Selection(since=begun))

    @callback
    def pause_uploads(self) -> None:
        """Hold uploads back until `resume_uploads`; what is under way stops gently."""
        self._gate.pause(paused=True)

    @callback
    def resume_uploads(self) -> None:
        """Let uploads go again."""
        self._gate.pause(paused=False)
        self.request("uploads are no longer paused")

    async def save(self) -> None:
        """Write down what must survive: before an unload."""
        await self._journal.save()

    @callback
    def forget_missing_folder(self) -> None:
        """Take note that the user knows: the folder had vanished."""
        self._journal.notes.folder_was_missing = False
        self._journal.changed()
        self._store.publish()

    @callback
    def leave_readable(self) -> None:
        """Take note that backups may go to Dropbox readable, or lie there so."""
        self._journal.notes.unexamined.clear()
        self._acknowledge(NOT_ENCRYPTED)

    @callback
    def leave_retention(self) -> None:
        """Take note that Home Assistant may delete what is to be kept, by its limits of today."""
        self._acknowledge(retention_beats(self._local.settings_for(self._agent_id)))

    def _acknowledge(self, concern: str) -> None:
        self._journal.notes.acknowledged.add(concern)
        self._journal.changed()
        self._store.publish()

    @callback
    def encrypt(self) -> None:
        """Have Home Assistant, and us, encrypt what goes to Dropbox, with the key that it has."""
        self._local.encrypt_for(self._agent_id)
        self._store.publish()

    @callback
    def keep_for_ever(self) -> None:
        """Have Home Assistant delete nothing from Dropbox by its own rules."""
        self._local.keep_for_ever(self._agent_id)
        self._store.publish()

    @property
    def unconfirmed(self) -> Answer:
        """What the open question about deletions is about."""
        return self._pruner.unconfirmed

    @callback
    def confirm_retention(self, shown: Answer | None = None) -> bool:
        """Carry out the deletions that the user was shown, or all that wait; return whether they
        can be: not if rules or folder have changed since.
        """
        answer = shown or self.unconfirmed
        valid = self._pruner.approve(answer)
        self.request("deletions confirmed")
        return valid

    async def decline_retention(self, shown: Answer | None = None) -> bool:
        """Keep what the user was shown, or all that waits, on top of all others; return whether
        that holds: not if rules or folder have changed since. Returns when it is on the disk: with
        fewer backups in Dropbox, the next check might not ask again.
        """
        answer = shown or self.unconfirmed
        valid = self._pruner.decline(answer)
        await self._journal.save()
        self.request("deletions declined")
        return valid

    async def run(self) -> None:
        """Work until cancelled."""
        await self._worker.run()

    async def watch(self) -> None:
        """Keep an eye on what others do in the backup folder until cancelled."""
        await watch_dropbox(self._client, self._folder, self.refresh, self.request)

    async def check(self) -> None:
        """Make one run now, whether somebody asked for it or not. Not while `run` is working."""
        await self._worker.check()

    @callback
    def stop(self) -> None:
        """Leave no timer behind. `run` does so itself when it ends."""
        self._worker.stop()

    @callback
    def _moved(self, active: Collection[Transfer]) -> None:
        if self._progress.moved(active):
            self._store.publish()

    @callback
    def _held_or_let_go(self, hold: HoldReason | None) -> None:
        self._store.publish()
        if hold is None:
            self.request("uploads may go on")
        self._worker.tell_next_check()
