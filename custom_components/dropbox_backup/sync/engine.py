"""The facade of one config entry: all that faces may ask for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime

from homeassistant.components.backup import AgentBackup
from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.util import dt as dt_util

from ..codes import Reason
from ..dropbox_api.download import download
from ..dropbox_api.errors import Fault, UnreachableError
from ..dropbox_api.retry import RETRY_FOR, Waiter
from .decide.backup_settings import NOT_ENCRYPTED, retention_beats
from .decide.consent import Answer
from .decide.lookup import Meant, look_up
from .decide.models import BackupId, Policy, RemoteBackup
from .decide.plan import Plan
from .decide.retention import Verdict
from .local.stream_source import OpenStream
from .parts import Parts
from .pruner import Pruning
from .remote_changes import watch_dropbox
from .report.events import BackupEvent
from .report.state import Problem, State
from .requests import Outcomes, Selection


class Engine:
    """The facade of one config entry, with the worker behind it. Every cause to look ends in
    `request`.
    """

    def __init__(self, parts: Parts) -> None:
        """Do nothing before `run`."""
        self._parts = parts

    @property
    def state(self) -> State:
        """The newest snapshot."""
        return self._parts.store.state

    @property
    def policy(self) -> Policy:
        """The rules that hold now."""
        return self._parts.gate.policy

    @property
    def opens_at(self) -> datetime | None:
        """When uploads that wait for the hours may go on."""
        return self._parts.gate.opens_at

    @property
    def backups(self) -> tuple[RemoteBackup, ...]:
        """All backups in Dropbox, newest first, as far as is known now."""
        return self._parts.folder.backups

    def get(self, backup_id: BackupId) -> RemoteBackup | None:
        """Return one of them, if it is there."""
        return self._parts.folder.get(backup_id)

    def find(self, backup_id: BackupId) -> RemoteBackup:
        """Return one of them. Raises `NotFoundError`."""
        return self._parts.folder.find(backup_id)

    @property
    def on_their_way(self) -> list[AgentBackup]:
        """The backups that are being uploaded now, whoever asked for it."""
        return [one.backup for one in self._parts.transfers.active]

    def path_of(self, name: str) -> str:
        """Return where a file of the backup folder lies in Dropbox."""
        return self._parts.folder.path_of(name)

    async def judge(self) -> tuple[Verdict, ...]:
        """Return what retention says of all backups in Dropbox, newest first."""
        return await self._parts.pruner.judge()

    @property
    def problem(self) -> Problem | None:
        """What keeps backups from being uploaded now, None if nothing does."""
        return self._parts.problem.problem

    @property
    def paused(self) -> bool:
        """Whether the user has paused the uploads."""
        return self._parts.gate.paused

    @property
    def idle(self) -> bool:
        """Whether the worker rests, and nobody has asked it for anything."""
        return self._parts.inbox.is_empty and self._parts.worker.at_rest

    @property
    def requested(self) -> bool:
        """Whether somebody has asked for a run that has not begun."""
        return self._parts.inbox.has_news

    @callback
    def subscribe(self, listener: Callable[[BackupEvent], None]) -> CALLBACK_TYPE:
        """Tell the listener what happens to backups; return how to stop that."""
        return self._parts.events.subscribe(listener)

    @callback
    def publish(self) -> None:
        """Publish a new snapshot, with what may have changed without an event."""
        self._parts.store.publish()

    @callback
    def request(self, reason: str, selection: Selection | None = None) -> asyncio.Future[Outcomes]:
        """Ask for a run; return a future of what became of the selected backups, which need not be
        awaited.

        Requests that come together are one run. The run begins when Home Assistant is not busy with
        a backup.
        """
        return self._parts.inbox.request(reason, selection)

    @callback
    def apply(self, policy: Policy) -> None:
        """Work by other rules from now on. What is under way goes on, and keeps to them."""
        if policy == self._parts.gate.policy:
            return
        self._parts.schedule.check_interval = policy.check_interval
        self._parts.pruner.apply(policy)
        self._parts.gate.apply(policy)
        self._parts.store.publish()
        self.request("options changed")

    async def refresh(self, within: float | None = None) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`.

        `within`: somebody waits, and it ends after so many seconds at the latest, whatever Dropbox
        does; what can wait is left to the worker then. Not given: the worker's time for each call
        that fails.
        """
        try:
            async with asyncio.timeout(within):
                await self._parts.folder_refresh.refresh(
                    RETRY_FOR[Waiter.WORKER] if within is None else within, adopt=within is None
                )
        except TimeoutError as err:
            raise UnreachableError(Fault.NO_ANSWER) from err

    async def ensure_listed(self) -> None:
        """List the backup folder if it is not known what lies there. Raises `DropboxError`."""
        if not self._parts.folder.known:
            await self.refresh(within=RETRY_FOR[Waiter.PERSON])

    def look_up_in_dropbox(self, given: Iterable[str]) -> Meant:
        """Return which backups are meant that are in Dropbox, or on their way; `given`: ids, or
        names.
        """
        under_way = self._parts.transfers.under_way
        there = [one.backup for one in self._parts.folder.backups]
        meant = look_up(given, [*there, *self.on_their_way])
        waiting = [BackupId(one) for one in meant.unknown if one in under_way]
        unknown = tuple(one for one in meant.unknown if one not in under_way)
        return replace(meant, ids=(*meant.ids, *waiting), unknown=unknown)

    async def look_up(self, given: Iterable[str]) -> Meant:
        """Return the same of those that are on this Home Assistant or in Dropbox."""
        given = tuple(given)
        if all(self._parts.folder.get(BackupId(one)) for one in given):
            return Meant(tuple(dict.fromkeys(map(BackupId, given))))
        found = await self._parts.local.list()
        here = [one.backup for one in (*found.good, *(skipped.local for skipped in found.bad))]
        return look_up(given, [*here, *(one.backup for one in self._parts.folder.backups)])

    def download(self, backup_id: BackupId) -> AsyncGenerator[bytes]:
        """Return the archive as a stream, verified at its end.

        Raises `NotFoundError`; the stream raises `DropboxError`.
        """
        file = self._parts.folder.find(backup_id).file
        return download(self._parts.client, file.rev, file.size, file.content_hash)

    async def preview(self) -> Plan:
        """Return what a run would do now. Raises `DropboxError`."""
        await self.refresh()
        found = await self._parts.local.list()
        plan = await self._parts.planner.plan(
            self._parts.journal.notes.dated(found.good, dt_util.utcnow())
        )
        return replace(plan, conflicts=(*found.bad, *plan.conflicts))

    async def delete(
        self, backup_ids: Collection[BackupId], reason: Reason, *, spare_own_copies: bool = False
    ) -> list[RemoteBackup]:
        """Delete backups on a person's behalf, and stop their uploads; return what was in Dropbox.
        They are not uploaded again by themselves. `reason`: who asked for it.

        Arguments and errors are those of `Pruner.delete`; what is on its way need not be there.
        """
        stopped = await self._parts.transfers.drop(backup_ids)
        there = [one for one in backup_ids if one not in stopped or self._parts.folder.get(one)]
        if not there:
            return []
        return await self._parts.pruner.delete(there, reason, spare_own_copies=spare_own_copies)

    async def apply_retention(self, *, consent: bool) -> Pruning:
        """Delete what retention says, on a person's behalf; return what became of it. `consent`:
        however many that are.

        Raises `DropboxError`.
        """
        await self.refresh()
        return await self._parts.pruner.apply_retention(consent=consent)

    async def prepare_upload(self) -> None:
        """Get ready: a backup is being made that will probably be uploaded."""
        await self._parts.uploader.prepare()

    async def upload_for_home_assistant(
        self, backup: AgentBackup, open_stream: OpenStream, on_progress: Callable[[int], None]
    ) -> RemoteBackup:
        """Upload what Home Assistant hands out. Errors: `Uploader.upload_for_home_assistant`."""
        return await self._parts.uploader.upload_for_home_assistant(
            backup, open_stream, on_progress
        )

    async def back_up(self) -> None:
        """Make a backup in Home Assistant; it is uploaded when it is ready.

        Raises `HomeAssistantError`.
        """
        begun = dt_util.utcnow()
        await self._parts.local.create(self._parts.agent_id)
        self.request("back up now", Selection(since=begun))

    @callback
    def pause_uploads(self) -> None:
        """Hold uploads back until `resume_uploads`; what is under way stops gently."""
        self._parts.gate.pause(paused=True)

    @callback
    def resume_uploads(self) -> None:
        """Let uploads go again."""
        self._parts.gate.pause(paused=False)
        self.request("uploads are no longer paused")

    async def save(self) -> None:
        """Write down what must survive: before an unload."""
        await self._parts.journal.save()

    @callback
    def forget_missing_folder(self) -> None:
        """Take note that the user knows: the folder had vanished."""
        self._parts.journal.notes.folder_was_missing = False
        self._parts.journal.changed()
        self._parts.store.publish()

    @callback
    def leave_readable(self) -> None:
        """Take note that backups may go to Dropbox readable, or lie there so."""
        self._parts.journal.notes.unexamined.clear()
        self._acknowledge(NOT_ENCRYPTED)

    @callback
    def leave_retention(self) -> None:
        """Take note that Home Assistant may delete what is to be kept, by its limits of today."""
        self._acknowledge(retention_beats(self._parts.local.settings_for(self._parts.agent_id)))

    def _acknowledge(self, concern: str) -> None:
        self._parts.journal.notes.acknowledged.add(concern)
        self._parts.journal.changed()
        self._parts.store.publish()

    @callback
    def encrypt(self) -> None:
        """Have Home Assistant, and us, encrypt what goes to Dropbox, with the key that it has."""
        self._parts.local.encrypt_for(self._parts.agent_id)
        self._parts.store.publish()

    @callback
    def keep_for_ever(self) -> None:
        """Have Home Assistant delete nothing from Dropbox by its own rules."""
        self._parts.local.keep_for_ever(self._parts.agent_id)
        self._parts.store.publish()

    @property
    def unconfirmed(self) -> Answer:
        """What the open question about deletions is about."""
        return self._parts.pruner.unconfirmed

    @callback
    def confirm_retention(self, shown: Answer | None = None) -> bool:
        """Carry out the deletions that the user was shown, or all that wait; return whether they
        can be: not if rules or folder have changed since.
        """
        answer = shown or self.unconfirmed
        valid = self._parts.pruner.approve(answer)
        self.request("deletions confirmed")
        return valid

    async def decline_retention(self, shown: Answer | None = None) -> bool:
        """Keep what the user was shown, or all that waits, on top of all others; return whether
        that holds: not if rules or folder have changed since. Returns when it is on the disk: with
        fewer backups in Dropbox, the next check might not ask again.
        """
        answer = shown or self.unconfirmed
        valid = self._parts.pruner.decline(answer)
        await self._parts.journal.save()
        self.request("deletions declined")
        return valid

    async def run(self) -> None:
        """Work until cancelled."""
        await self._parts.worker.run()

    async def watch(self) -> None:
        """Keep an eye on what others do in the backup folder until cancelled."""
        await watch_dropbox(self._parts.client, self._parts.folder, self.refresh, self.request)

    async def check(self) -> None:
        """Make one run now, whether somebody asked for it or not. Not while `run` is working."""
        await self._parts.worker.check()

    @callback
    def stop(self) -> None:
        """Leave no timer behind. `run` does so itself when it ends."""
        self._parts.worker.stop()
