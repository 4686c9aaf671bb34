"""The local Dropbox as the demo needs it: in a process of its own, behind a line of some speed."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.dropbox_server import ControlClient, DropboxProcess, Line

# The way to Dropbox and back, in seconds.
_ROUND_TRIP = 0.02


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the account, and where the local Dropbox keeps its bytes."""

    path: str
    size: int
    on_disk: Path

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class LocalDropbox:
    """A Dropbox with one app and one account.

    redirect_uri: where the app may send a user back to. line_mbit: its line in Mbit/s, each way;
    none is no limit.
    """

    def __init__(
        self, directory: Path, *, redirect_uri: str, line_mbit: float | None = None
    ) -> None:
        self._process = DropboxProcess(directory, 0, "--redirect-uri", redirect_uri)
        self._line_mbit = line_mbit

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._process.start)
        if self._line_mbit is not None:
            speed = self._line_mbit * 1e6
            line = Line(latency=_ROUND_TRIP, upload_total=speed, download_total=speed)
            await asyncio.to_thread(self._process.control.set_line, line)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._process.stop)

    @property
    def control(self) -> ControlClient:
        """Its switches: faults, and what was asked of it. They block, for milliseconds."""
        return self._process.control

    @property
    def url(self) -> str:
        """Where a browser finds its files."""
        return str(self._process.info["url"])

    @property
    def app_key(self) -> str:
        """The key of the app, as the App Console shows it."""
        return str(self._process.info["app_key"])

    @property
    def app_secret(self) -> str:
        """The secret of the app."""
        return str(self._process.info["app_secret"])

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead Dropbox's SDK and Home Assistant to it."""
        return self._process.env

    @property
    def ca_bundle(self) -> str:
        """The file with the authority that signed its certificate."""
        return self._process.env["REQUESTS_CA_BUNDLE"]

    async def files(self) -> list[RemoteFile]:
        """Return all files of the account."""
        files = await asyncio.to_thread(self._process.control.files)
        return [
            RemoteFile(file["path"], file["size"], Path(file["path_on_disk"])) for file in files
        ]
