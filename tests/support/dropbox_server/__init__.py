"""A local Dropbox: a real HTTPS server that behaves as Dropbox does for the routes we use.

It is judged by Dropbox's own SDK (`tests/stand_ins/dropbox`), which encodes, decodes and calls it.
Start with `DropboxServer` in a test, `DropboxProcess` for a process of its own, or on the command
line with `python -m tests.support.dropbox_server`.
"""

from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.control_client import ControlClient
from tests.support.dropbox_server.entries import StoredFile, StoredFolder
from tests.support.dropbox_server.faults import Fault, FaultKind
from tests.support.dropbox_server.hashing import BLOCK_SIZE, hash_bytes, hash_file
from tests.support.dropbox_server.line import Line
from tests.support.dropbox_server.process import DropboxProcess
from tests.support.dropbox_server.request_log import RequestRecord
from tests.support.dropbox_server.server import DropboxServer
from tests.support.dropbox_server.state import Rules
from tests.support.dropbox_server.storage import FileTree
from tests.support.dropbox_server.tokens import Tokens

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
