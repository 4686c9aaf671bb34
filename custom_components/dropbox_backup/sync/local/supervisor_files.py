"""Archives that lie with Supervisor, read from anywhere: Home Assistant's agents only read them
from their beginning.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from http import HTTPStatus
import os
from typing import Self

from aiohttp import ClientError, ClientTimeout, hdrs
from homeassistant.components.backup import (
    AgentBackup,
    BackupAgent,
    BackupNotFound,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from ..archive.contents import Contents, walk
from ..report.problems import LocationAwayError, Silence, silence_reason

# More than a header and the beginning of what follows.
_READ_AHEAD = 16 * 1024
_PIECE = 256 * 1024
# Seconds without a byte.
_STALLED_AFTER = 60.0


class NoRangesError(Exception):
    """The archive can only be read from its beginning."""


@dataclass(slots=True)
class SupervisorFile:
    """One archive. `etag`: what tells it from what lay there before, once that is known."""

    hass: HomeAssistant
    url: str
    token: str
    location: str
    etag: str | None = None

    @classmethod
    def of(cls, hass: HomeAssistant, agent: BackupAgent, backup: AgentBackup) -> Self:
        """Find where an archive lies. Raises `NoRangesError` if not with Supervisor.

        Address and token are Supervisor's documented way in
        (https://developers.home-assistant.io/docs/supervisor/developing/).
        """
        host, token = os.environ.get("SUPERVISOR"), os.environ.get("SUPERVISOR_TOKEN")
        location = getattr(agent, "location", None)
        if not host or not token or not isinstance(location, str):
            raise NoRangesError
        if not backup.backup_id.isalnum():
            raise NoRangesError
        return cls(hass, f"http://{host}/backups/{backup.backup_id}/download", token, location)

    async def read(self, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` on, up to `stop`.

        Raises `NoRangesError` if Supervisor does not hand them out alone, or if the archive is
        another one by now; `BackupNotFound` if it is gone; and `LocationAwayError` if it can't be
        read.
        """
        headers = {
            hdrs.AUTHORIZATION: f"Bearer {self.token}",
            hdrs.ACCEPT_ENCODING: "identity",
            hdrs.RANGE: f"bytes={start}-{'' if stop is None else stop - 1}",
        }
        if self.etag is not None:
            headers[hdrs.IF_RANGE] = self.etag
        try:
            async with async_get_clientsession(self.hass).get(
                self.url,
                params={"location": self.location},
                headers=headers,
                timeout=ClientTimeout(total=None, sock_connect=10, sock_read=_STALLED_AFTER),
            ) as response:
                if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return
                if response.status == HTTPStatus.NOT_FOUND:
                    raise BackupNotFound
                etag = response.headers.get(hdrs.ETAG)
                begin = response.headers.get(hdrs.CONTENT_RANGE, "").startswith(f"bytes {start}-")
                if self.etag is not None and response.status >= HTTPStatus.BAD_REQUEST:
                    raise LocationAwayError(Silence.ERROR)
                if response.status != HTTPStatus.PARTIAL_CONTENT or not begin or not etag:
                    raise NoRangesError
                if etag.startswith("W/"):  # weak: other bytes may have the same one
                    raise NoRangesError
                if self.etag not in {None, etag}:
                    raise NoRangesError
                self.etag = etag
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (ClientError, TimeoutError) as err:
            raise LocationAwayError(silence_reason(err)) from err

    async def look(self) -> str:
        """Return the `etag`, learning it if need be. Raises as `read`."""
        async for _ in self.read(0, 1):
            pass
        if self.etag is None:
            raise NoRangesError
        return self.etag

    async def contents(self) -> Contents:
        """Tell what it holds. Raises `ArchiveError`, and what `read` raises."""
        steps = walk([])
        wanted = next(steps)
        begin, ahead = 0, b""
        try:
            while True:
                offset, count = wanted
                if not begin <= offset <= offset + count <= begin + len(ahead):
                    begin = offset
                    stop = offset + max(count, _READ_AHEAD)
                    ahead = b"".join([piece async for piece in self.read(offset, stop)])
                wanted = steps.send(ahead[offset - begin : offset - begin + count])
        except StopIteration as done:
            contents: Contents = done.value
            return contents
