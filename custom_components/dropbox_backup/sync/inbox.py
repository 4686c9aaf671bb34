"""What somebody asked of the worker, until it looks."""

import asyncio
from collections.abc import Sequence
import logging

from homeassistant.core import HomeAssistant, callback

from .journal import Journal
from .wishes import Outcomes, Selection, Wish

_LOGGER = logging.getLogger(__name__)


class Inbox:
    """Every cause to look ends in `request`. Requests that come together are one run."""

    def __init__(self, hass: HomeAssistant, journal: Journal) -> None:
        """Nobody has asked for anything."""
        self._hass = hass
        self._journal = journal
        self._requested = asyncio.Event()
        self._wishes: list[Wish] = []
        self._closed = False

    @callback
    def request(self, reason: str, selection: Selection | None = None) -> asyncio.Future[Outcomes]:
        """Ask for a look; return a future of what became of the selected backups."""
        _LOGGER.debug("Check requested: %s", reason)
        done: asyncio.Future[Outcomes] = self._hass.loop.create_future()
        if selection is None:
            done.set_result({})
        elif self._closed:
            self._put_off([Wish(selection, done)])
        else:
            self._wishes.append(Wish(selection, done))
        self._requested.set()
        return done

    @property
    def has_news(self) -> bool:
        """Whether a look has been asked for since the last one."""
        return self._requested.is_set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits for anything."""
        return not self.has_news and not self._wishes

    async def wait(self) -> None:
        """Wait until a look is asked for."""
        await self._requested.wait()

    def looked(self) -> None:
        """Forget that a look was asked for. What somebody wishes still waits."""
        self._requested.clear()

    def take(self) -> list[Wish]:
        """Return, once, what somebody wishes."""
        self.looked()
        wishes, self._wishes = self._wishes, []
        return wishes

    def close(self) -> None:
        """Nobody will look any more."""
        self._closed = True
        self._put_off(self._wishes)

    def _put_off(self, wishes: Sequence[Wish]) -> None:
        """Interrupt wishes of which nobody knows yet what they name."""
        notes = self._journal.notes
        begins = [one.selection.since for one in wishes if one.selection.since is not None]
        if notes.wanted_since is not None:
            begins.append(notes.wanted_since)
        notes.wanted_since = min(begins, default=None)
        self.interrupt(wishes)

    def interrupt(self, wishes: Sequence[Wish]) -> None:
        """Tell those who wait that they wait in vain. What they named is uploaded all the same,
        when the config entry is loaded again.
        """
        notes = self._journal.notes
        for wish in wishes:
            notes.wanted |= wish.selection.ids
            notes.everything_wanted |= wish.selection.everything
            wish.done.cancel()
        self._journal.changed()
