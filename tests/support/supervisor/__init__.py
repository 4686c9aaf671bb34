"""A stand-in for Home Assistant's Supervisor, as far as backups go, over real HTTP.

It has what Home Assistant's `hassio` integration asks for when it is set up, and everything about
backups: real archives in real locations, written the way Supervisor writes them; jobs and their
events; and faults on request. For tests only.

Source of the interface: https://developers.home-assistant.io/docs/api/supervisor/endpoints, and the
models of `aiohasupervisor`.
"""

from tests.support.supervisor.archives import ALL_FOLDERS, Contents, parts
from tests.support.supervisor.backups import CLOUD, LOCAL, StoredBackup
from tests.support.supervisor.faults import Fault
from tests.support.supervisor.jobs import JobError
from tests.support.supervisor.server import APP_TOKEN, TOKEN, Supervisor

__all__ = [
    "ALL_FOLDERS",
    "APP_TOKEN",
    "CLOUD",
    "LOCAL",
    "TOKEN",
    "Contents",
    "Fault",
    "JobError",
    "StoredBackup",
    "Supervisor",
    "parts",
]
