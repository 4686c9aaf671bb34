"""A real Home Assistant process on the loopback interface: for the demo, tests and benchmarks.

`config_dir` writes the files that a set-up Home Assistant has. `process` starts and stops it, and
starts it again when it asks for that. `client` speaks its REST and websocket API. `flows` clicks
through config flows as the frontend does. `backups` makes and restores backups. `log` and `memory`
look at the process from outside.
"""

from tests.support.home_assistant.backups import LOCAL, BackupError, Backups
from tests.support.home_assistant.client import ApiError, Client, JsonObject, sign_in, until
from tests.support.home_assistant.config_dir import Account, free_port, seed
from tests.support.home_assistant.flows import Flows, OAuthPageError
from tests.support.home_assistant.log import LogRecord, is_about, problems_of
from tests.support.home_assistant.memory import MemoryUse
from tests.support.home_assistant.process import HomeAssistant, StartError

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
