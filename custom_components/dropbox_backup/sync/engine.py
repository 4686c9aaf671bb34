"""What the rest of the integration may ask about one config entry; wires its parts together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from dataclasses import replace
from functools import partial

from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.download import download
from ..dropbox_api.errors import UnreachableError
from . import patience
from .attempts import Attempts
from .decide.backup_settings import NOT_ENCRYPTED, retention_beats
from .decide.consent import Answer
from .decide.lookup import Meant, look_up
from .decide.models import BackupId, Policy, RemoteBackup
from .decide.plan import Plan
from .decide.upload_window import HoldReason
from .folder_refresh import FolderRefresh
from .inbox import Inbox
from .local.backups import LocalBackups
from .planner import Planner
from .pruner import Pruner, Pruning
from .publisher import Publisher
from .remote.folder import BackupFolder
from .report.state import State
from .requests import Outcomes, Selection
from .runner import Runner
from .schedule import Schedule
from .storage.journal import Journal
from .upload.gate import Gate
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
        self.gate = gate = Gate(hass, journal, policy, agent_id, self._held_or_let_go)
        self.publisher = publisher = Publisher(
            hass,
            folder,
            journal,
            gate,
            partial(local.settings_for, agent_id),
            instance_id=instance_id,
            on_change=on_change,
            on_sign_in_needed=on_sign_in_needed,
        )
        self._folder_refresh = refresh = FolderRefresh(client, folder, journal, publisher)
        before_deletion = partial(refresh.refresh, patience.BEFORE_DELETION, adopt=False)
        self.pruner = pruner = Pruner(
            folder, journal, policy, publisher, instance_id, before_deletion
        )
        self.uploader = uploader = Uploader(
            client,
            folder,
            local,
            journal,
            gate,
            publisher,
            instance_id=instance_id,
            agent_id=agent_id,
        )
        self._planner = planner = Planner(hass, folder, journal, gate, pruner, instance_id)
        attempts = Attempts(gate, uploader, publisher, journal)
        runner = Runner(
            folder,
            local,
            journal,
            inbox,
            publisher,
            planner,
            attempts,
            uploader,
            pruner,
            refresh,
        )
        self._schedule = Schedule(
            hass, policy.check_interval, partial(self.request, "time for a check")
        )
        self.worker = Worker(
            folder, local, journal, inbox, gate, publisher, uploader, runner, self._schedule
        )

    @property
    def state(self) -> State:
        """The newest snapshot."""
        return self.publisher.state

    @property
    def folder(self) -> BackupFolder:
        """The backup folder."""
        return self._folder

    @property
    def idle(self) -> bool:
        """Whether the worker rests, and nobody has asked it for anything."""
        return self._inbox.is_empty and self.state.at_rest

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
        if policy == self.gate.policy:
            return
        self._schedule.check_interval = policy.check_interval
        self.pruner.apply(policy)
        self.gate.apply(policy)
        self.publisher.publish()
        self.request("options changed")

    async def refresh(self, within: float | None = None) -> None:
        """List the backup folder, making it if need be. Raises `DropboxError`.

        `within`: somebody waits, and it ends after so many seconds at the latest, whatever Dropbox
        does; what can wait is left to the worker then. Not given: the worker's patience for each
        call that fails.
        """
        try:
            async with asyncio.timeout(within):
                await self._folder_refresh.refresh(
                    patience.WORKER if within is None else within, adopt=within is None
                )
        except TimeoutError as err:
            raise UnreachableError("Dropbox did not answer in time") from err

    async def ensure_listed(self) -> None:
        """List the backup folder if it is not known what lies there. Raises `DropboxError`."""
        if not self._folder.known:
            await self.refresh(within=patience.PERSON)

    def look_up_in_dropbox(self, given: Iterable[str]) -> Meant:
        """Return which backups are meant that are in Dropbox, or on their way; `given`: ids, or
        names.
        """
        under_way = self.uploader.under_way
        on_their_way = [one.backup for one in self.uploader.active]
        meant = look_up(given, [*(one.backup for one in self._folder.backups), *on_their_way])
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
        self, backup_ids: Collection[BackupId], reason: str, *, spare_own_copies: bool = False
    ) -> list[RemoteBackup]:
        """Delete backups on a person's behalf, and stop their uploads; return what was in Dropbox.
        They are not uploaded again by themselves. `reason`: who asked for it, in words for people.

        Arguments and errors are those of `Pruner.delete`; what is on its way need not be there.
        """
        stopped = await self.uploader.drop(backup_ids)
        there = [one for one in backup_ids if one not in stopped or self._folder.get(one)]
        if not there:
            return []
        return await self.pruner.delete(there, reason, spare_own_copies=spare_own_copies)

    async def apply_retention(self, *, consent: bool) -> Pruning:
        """Delete what retention says, on a person's behalf; return what became of it. `consent`:
        however many that are.

        Raises `DropboxError`.
        """
        await self.refresh()
        return await self.pruner.apply_retention(consent=consent)

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
        self.gate.pause(paused=True)

    @callback
    def resume_uploads(self) -> None:
        """Let uploads go again."""
        self.gate.pause(paused=False)
        self.request("uploads are no longer paused")

    async def save(self) -> None:
        """Write down what must survive: before an unload."""
        await self._journal.save()

    @callback
    def forget_missing_folder(self) -> None:
        """Take note that the user knows: the folder had vanished."""
        self._journal.notes.folder_was_missing = False
        self._journal.changed()
        self.publisher.publish()

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
        self.publisher.publish()

    @callback
    def encrypt(self) -> None:
        """Have Home Assistant, and us, encrypt what goes to Dropbox, with the key that it has."""
        self._local.encrypt_for(self._agent_id)
        self.publisher.publish()

    @callback
    def keep_for_ever(self) -> None:
        """Have Home Assistant delete nothing from Dropbox by its own rules."""
        self._local.keep_for_ever(self._agent_id)
        self.publisher.publish()

    @callback
    def confirm_retention(self, shown: Answer | None = None) -> bool:
        """Carry out the deletions that the user was shown, or all that wait; return whether they
        can be: not if rules or folder have changed since.
        """
        answer = shown or self.pruner.answer_about(self.state.unconfirmed)
        valid = self.pruner.approve(answer)
        self.request("deletions confirmed")
        return valid

    @callback
    def decline_retention(self, shown: Answer | None = None) -> bool:
        """Keep what the user was shown, or all that waits, on top of all others; return whether
        that holds: not if rules or folder have changed since.
        """
        answer = shown or self.pruner.answer_about(self.state.unconfirmed)
        valid = self.pruner.decline(answer)
        self.request("deletions declined")
        return valid

    async def run(self) -> None:
        """Work until cancelled."""
        await self.worker.run()

    @callback
    def _held_or_let_go(self, hold: HoldReason | None) -> None:
        self.publisher.publish()
        if hold is None:
            self.request("uploads may go on")
        self.worker.tell_next_check()
