"""What every run of the worker works with."""

from dataclasses import dataclass

from .folder_refresh import FolderRefresh
from .inbox import Inbox
from .local.backups import LocalBackups
from .planner import Planner
from .pruner import Pruner
from .remote.folder import BackupFolder
from .storage.journal import Journal
from .store import StateStore
from .upload.gate import Gate
from .upload.transfers import Transfers
from .uploader import Uploader


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts that a run uses. They outlive it."""

    folder: BackupFolder
    local: LocalBackups
    journal: Journal
    inbox: Inbox
    gate: Gate
    store: StateStore
    planner: Planner
    transfers: Transfers
    uploader: Uploader
    pruner: Pruner
    folder_refresh: FolderRefresh
