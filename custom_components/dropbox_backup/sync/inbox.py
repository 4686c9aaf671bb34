"""Requests that wait until the worker takes them."""

import asyncio
from collections.abc import Sequence
import logging

from homeassistant.core import HomeAssistant, callback

from .requests import Outcomes, Selection, UploadRequest
from .storage.journal import Journal

_LOGGER = logging.getLogger(__name__)


class Inbox:
    """Every cause to look ends in `request`. Requests that come together are one run."""

    def __init__(self, hass: HomeAssistant, journal: Journal) -> None:
        """Begin empty."""
        self._hass = hass
        self._journal = journal
        self._requested = asyncio.Event()
        self._requests: list[UploadRequest] = []
        self._closed = False
        self._archives_read = False

    @callback
    def request(self, reason: str, selection: Selection | None = None) -> asyncio.Future[Outcomes]:
        """Ask for a look; return a future of what became of the selected backups."""
        _LOGGER.debug("Check requested: %s", reason)
        done: asyncio.Future[Outcomes] = self._hass.loop.create_future()
        if selection is None:
            done.set_result({})
        elif self._closed:
            self._put_off([UploadRequest(selection, done)])
        else:
            self._requests.append(UploadRequest(selection, done))
        self._requested.set()
        return done

    def archives_were_read(self) -> None:
        """Ask for a look at the folder: it is known of more archives what they are."""
        self._archives_read = True
        self.request("archives in the folder were read")

    def take_archives(self) -> bool:
        """Return, once, whether the folder is to be looked at for that."""
        read, self._archives_read = self._archives_read, False
        return read

    @property
    def has_news(self) -> bool:
        """Whether a look has been asked for since the last one."""
        return self._requested.is_set()

    @property
    def is_empty(self) -> bool:
        """Whether there is no request."""
        return not self.has_news and not self._requests

    async def wait(self) -> None:
        """Wait until a look is asked for."""
        await self._requested.wait()

    def looked(self) -> None:
        """Note that the worker looks now. Requests still wait to be taken."""
        self._requested.clear()

    def take(self) -> list[UploadRequest]:
        """Return all waiting requests, and forget them."""
        self.looked()
        requests, self._requests = self._requests, []
        return requests

    def close(self) -> None:
        """Cancel what waits, and accept nothing more."""
        self._closed = True
        self._put_off(self._requests)

    def _put_off(self, requests: Sequence[UploadRequest]) -> None:
        """Cancel requests that were never looked at. Which backups they mean is not known yet."""
        notes = self._journal.notes
        begins = [one.selection.since for one in requests if one.selection.since is not None]
        if notes.wanted_since is not None:
            begins.append(notes.wanted_since)
        notes.wanted_since = min(begins, default=None)
        self.interrupt(requests)

    def interrupt(self, requests: Sequence[UploadRequest]) -> None:
        """Cancel the futures that callers wait for. What was asked for by id is remembered, and
        uploaded when the config entry is loaded again.
        """
        notes = self._journal.notes
        for request in requests:
            notes.wanted |= request.selection.ids
            notes.everything_wanted |= request.selection.everything
            request.done.cancel()
        self._journal.changed()
