"""A real Home Assistant process on the loopback interface: for the demo, tests and benchmarks.

`config_dir` writes the files that a set-up Home Assistant has. `process` starts and stops it, and
starts it again when it asks for that. `client` speaks its REST and websocket API. `flows` clicks
through config flows as the frontend does. `backups` makes and restores backups. `log` and `memory`
look at the process from outside.
"""

from .backups import LOCAL, BackupError, Backups
from .client import ApiError, Client, JsonObject, sign_in, until
from .config_dir import Account, free_port, seed
from .flows import Flows, OAuthPageError
from .log import LogRecord, is_about, problems_of
from .memory import MemoryUse
from .process import HomeAssistant, StartError

__all__ = [
    "LOCAL",
    "Account",
    "ApiError",
    "BackupError",
    "Backups",
    "Client",
    "Flows",
    "HomeAssistant",
    "JsonObject",
    "LogRecord",
    "MemoryUse",
    "OAuthPageError",
    "StartError",
    "free_port",
    "is_about",
    "problems_of",
    "seed",
    "sign_in",
    "until",
]
