"""The server as a process of its own, for tests that kill, measure or restart things around it."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any, Self

from tests.support.dropbox_server.control_client import ControlClient

_STOP_TIMEOUT = 10.0
_REPOSITORY = Path(__file__).parents[3]


class DropboxProcess:
    """Runs `python -m tests.support.dropbox_server`; use it as a context manager.

    `start` returns when the server listens. `control` has the switches, `env` the variables for
    whoever shall use this server.
    """

    def __init__(
        self, data_dir: Path, port: int = 0, *arguments: str, tls_dir: Path | None = None
    ) -> None:
        self.data_dir = data_dir
        self.port = port
        self.env: dict[str, str] = {}
        self.info: dict[str, Any] = {}  # the readiness line: JSON
        self._arguments = [*arguments, *(["--tls", str(tls_dir)] if tls_dir else [])]
        self._process: subprocess.Popen[str] | None = None
        self._control: ControlClient | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def control(self) -> ControlClient:
        """The switches."""
        if self._control is None:
            raise RuntimeError("the server is not started")
        return self._control

    @property
    def pid(self) -> int:
        """The process id, e.g. to measure its memory."""
        if self._process is None:
            raise RuntimeError("the server is not started")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until the server listens; a restart takes the same port."""
        command = [sys.executable, "-m", "tests.support.dropbox_server", "--json"]
        command += ["--dir", str(self.data_dir), "--port", str(self.port), *self._arguments]
        self._process = subprocess.Popen(
            command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the local Dropbox did not start: exit {self._process.wait()}")
        self.info = json.loads(line)
        self.env = self.info["env"]
        self.port = self.info["port"]
        self._control = ControlClient(self.info["url"], self.env["REQUESTS_CA_BUNDLE"])

    def stop(self) -> None:
        """Stop in good order."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._forget()

    def kill(self) -> None:
        """End it at once, as a power cut would; `start` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
        self._process = None
