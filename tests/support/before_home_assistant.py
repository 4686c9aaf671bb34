"""What has to be so before anything imports Home Assistant or Dropbox's SDK.

pytest loads this module before every other plugin (`addopts` in pyproject.toml): both packages read
their environment once, when they are imported, and the plugins import Home Assistant.
"""

import atexit
import os
from pathlib import Path
import shutil
import socket
import tempfile

HOST = "127.0.0.1"

# Bound but never listening: the port is nobody else's until the local Dropbox listens on it.
_reserved = socket.socket()
_reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
_reserved.bind((HOST, 0))
PORT: int = _reserved.getsockname()[1]

# The SDK's own switch for its hosts.
for _name in ("API_HOST", "API_CONTENT_HOST", "API_NOTIFY_HOST", "WEB_HOST"):
    os.environ[f"DROPBOX_{_name}"] = f"{HOST}:{PORT}"

from tests.support.dropbox_server import certificates

# One authority for all tests, because Home Assistant trusts the one that it saw first.
TLS = Path(tempfile.mkdtemp(prefix="dropbox_backup_tests_"))
atexit.register(shutil.rmtree, TLS, ignore_errors=True)
_authority, _ = certificates.make(TLS)
os.environ["REQUESTS_CA_BUNDLE"] = str(_authority)

# Home Assistant replaces httpx when it is imported, and refuses to after a plugin imported httpx.
from homeassistant.components import logger
from homeassistant.components.logger import helpers

# pytest-homeassistant-custom-component 0.13.375 imports this from where 2026.10 had it.
vars(logger).setdefault("_clear_logger_overwrites", helpers._clear_logger_overwrites)
