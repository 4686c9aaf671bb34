"""A local Dropbox: a real HTTPS server that behaves as Dropbox does for the routes we use.

It is judged by Dropbox's own SDK (`tests/server`), which encodes, decodes and calls it. Start with
`DropboxServer` in a test, `DropboxProcess` for a process of its own, or on the command line with
`python -m tests.dropbox_server`.
"""

from .accounts import DropboxAccount, DropboxApp
from .control_client import ControlClient
from .entries import StoredFile, StoredFolder
from .faults import Fault, FaultKind
from .hashing import BLOCK_SIZE, hash_bytes, hash_file
from .line import Line
from .process import DropboxProcess
from .request_log import RequestRecord
from .server import DropboxServer
from .state import Rules
from .storage import FileTree
from .tokens import Tokens

__all__ = [
    "BLOCK_SIZE",
    "ControlClient",
    "DropboxAccount",
    "DropboxApp",
    "DropboxProcess",
    "DropboxServer",
    "Fault",
    "FaultKind",
    "FileTree",
    "Line",
    "RequestRecord",
    "Rules",
    "StoredFile",
    "StoredFolder",
    "Tokens",
    "hash_bytes",
    "hash_file",
]
