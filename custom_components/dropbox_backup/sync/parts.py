"""The parts behind the facade of one config entry, and how they are wired together."""

from collections.abc import Callable, Collection
from functools import partial

from homeassistant.core import HomeAssistant, callback

from ..dropbox_api.client import DropboxClient
from ..dropbox_api.retry import RETRY_FOR, Waiter
from .current_problem import CurrentProblem
from .decide.models import Policy
from .decide.upload_window import HoldReason
from .folder_refresh import FolderRefresh
from .inbox import Inbox
from .local.backups import LocalBackups
from .planner import Planner
from .pruner import Pruner
from .remote.folder import BackupFolder
from .report.events import Events
from .report.state import State
from .schedule import Schedule
from .storage.journal import Journal
from .store import StateStore
from .tools import Tools
from .upload.gate import Gate
from .upload.progress import UploadProgress
from .upload.transfers import Transfers
from .upload.upload_notes import Transfer
from .uploader import Uploader
from .worker import Worker


class Parts:
    """One of each. Decides nothing."""

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
        """Make them. `agent_id`: of our location among Home Assistant's.

        `on_change` gets each new snapshot; `on_sign_in_needed` is called when Dropbox wants the
        user to sign in again.
        """
        self.client = client
        self.folder = folder
        self.local = local
        self.journal = journal
        self.agent_id = agent_id
        self.inbox = Inbox(hass, journal)
        self.gate = Gate(hass, journal, policy, agent_id, self._held_or_let_go)
        self.events = Events()
        self._progress = UploadProgress(journal, hass.loop.time)
        self.store = StateStore(
            hass,
            folder,
            journal,
            self.gate,
            self._progress,
            partial(local.settings_for, agent_id),
            instance_id=instance_id,
            on_change=on_change,
        )
        self.problem = CurrentProblem(journal, self.store, on_sign_in_needed)
        self.folder_refresh = FolderRefresh(client, folder, journal, self.store)
        self.pruner = Pruner(
            folder,
            journal,
            policy,
            self.store,
            self.events,
            instance_id,
            partial(self.folder_refresh.refresh, RETRY_FOR[Waiter.DELETION], adopt=False),
        )
        self.transfers = Transfers(client, folder, journal, instance_id, self._moved)
        self.uploader = Uploader(
            client,
            folder,
            local,
            journal,
            self.gate,
            self.store,
            self.events,
            self.transfers,
            self.problem,
            instance_id=instance_id,
            agent_id=agent_id,
        )
        self.planner = Planner(hass, folder, journal, self.gate, self.pruner, instance_id)
        self.schedule = Schedule(
            hass, policy.check_interval, partial(self.inbox.request, "time for a check")
        )
        tools = Tools(
            folder,
            local,
            journal,
            self.inbox,
            self.gate,
            self.store,
            self.planner,
            self.transfers,
            self.uploader,
            self.pruner,
            self.folder_refresh,
        )
        self.worker = Worker(tools, self.problem, self.schedule)

    @callback
    def _moved(self, active: Collection[Transfer]) -> None:
        if self._progress.moved(active):
            self.store.publish()

    @callback
    def _held_or_let_go(self, hold: HoldReason | None) -> None:
        self.store.publish()
        if hold is None:
            self.inbox.request("uploads may go on")
        self.worker.tell_next_check()
