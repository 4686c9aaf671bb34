"""One file in Home Assistant's storage: written soon after a change, quiet while it must be, and
honest about whether it can be written.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
import logging
from typing import Any, override

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, UnsupportedStorageVersionError
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store
from homeassistant.util.file import WriteError

from ... import untrusted
from ...const import DOMAIN
from .spare_file import SpareFile
from .write_hold import WriteHold, write_hold_of

_LOGGER = logging.getLogger(__name__)

_VERSION = 1
# In seconds. Each try on a full disk leaves traces in the log.
_TRY_AGAIN_AFTER = 60.0
# A number that grows with each writing: tells the later of two, whatever the clock says.
_EDITION = "edition"


class StorageFile:
    """A JSON document that `content` returns whenever it is to be written.

    `content` is called in a thread if that takes long. `on_writable` is told when
    the file can't be written any more, and when it can again. `urgent`: while Home Assistant packs
    its storage it is written beside it, instead of later.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        name: str,
        content: Callable[[], dict[str, Any]],
        *,
        delay: float,
        in_thread: bool = False,
        on_writable: Callable[[], None] = lambda: None,
        urgent: bool = False,
    ) -> None:
        """Nothing is read or written yet. `delay`: how many seconds changes may wait."""
        self._hass = hass
        self._content = content
        self._delay = delay
        self._in_thread = in_thread
        self._on_writable = on_writable
        self._hold = write_hold_of(hass)
        self._spare = SpareFile(hass, name) if urgent else None
        self._edition = 0
        self._store = _Store(
            hass, name, self._written, self._hold, self._spare, in_thread=in_thread
        )
        self._try_again = HassJob(self._save_after_failure, cancel_on_shutdown=True)
        self._cancel_next_try: CALLBACK_TYPE | None = None
        self._unwritten = False
        self._changes = 0
        self._saved = 0
        self._saving = asyncio.Lock()
        self._closed = False
        self.writable = True
        self._hold.bind(self)

    async def load(self) -> object:
        """Return what an earlier run wrote, None if there is nothing or it can't be read."""
        loaded: object = None
        try:
            loaded = await self._store.async_load()
        except UnsupportedStorageVersionError:
            raise
        except HomeAssistantError as err:
            _LOGGER.warning("What was remembered can't be read, it is learned again: %s", err)
        if self._spare is None:
            return loaded
        beside = await self._hass.async_add_executor_job(self._spare.read)
        # Home Assistant ended, or was killed, while it packed.
        newest = max((loaded, beside), key=_edition_of)
        self._edition = max(0, _edition_of(newest))
        self._store.written_beside = beside is not None
        return newest

    def changed(self) -> None:
        """Write soon."""
        self._unwritten = True
        if not self._quiet:
            self._store.async_delay_save(self._collect, self._delay)

    async def save(self) -> None:
        """Return when the content as it is now has been written, if it can be. Many that wait share
        one writing.
        """
        self._unwritten = True
        if self._quiet:
            return
        self._changes += 1
        mine = self._changes
        async with self._saving:
            # It may be held back by now: then `catch_up` writes.
            if self._saved < mine and not self._quiet:
                saved = self._changes
                await self._save()
                self._saved = saved

    async def settle(self) -> None:
        """Write what waits, although it is to be held back from now on; return when no writing is
        under way any more.
        """
        async with self._saving:
            if self._unwritten and not self._closed and self._cancel_next_try is None:
                await self._save()
        async with self._store.writing:
            return

    async def catch_up(self) -> None:
        """Write what was held back, or written beside."""
        if self._unwritten or self._store.written_beside:
            await self.save()

    async def close(self) -> None:
        """Write one last time. Another object may use the file afterwards."""
        self._cancel_try()
        await self.catch_up()
        self._closed = True

    async def remove(self) -> None:
        """Delete the file, and never write it again."""
        self._cancel_try()
        self._closed = True
        await self._store.async_remove()
        await self._store.remove_spare()

    @property
    def _quiet(self) -> bool:
        # While it can't be written, the next try comes by itself.
        held = self._hold.held and self._spare is None
        return held or self._closed or self._cancel_next_try is not None

    async def _save(self) -> None:
        if self._in_thread:
            data = await self._hass.async_add_executor_job(self._collect)
        else:
            data = self._collect()
        await self._store.async_save(data)

    def _collect(self) -> dict[str, Any]:
        self._unwritten = False
        if self._spare is None:
            return self._content()
        self._edition += 1
        return {**self._content(), _EDITION: self._edition}

    def _written(self, error: Exception | None) -> None:
        """Take note of how a writing ended."""
        if error is not None:
            self._unwritten = True
            self._cancel_try()
            if not self._closed:
                self._cancel_next_try = async_call_later(
                    self._hass, _TRY_AGAIN_AFTER, self._try_again
                )
        if self.writable != (error is None):
            self.writable = error is None
            if error is not None:
                _LOGGER.warning("Home Assistant can't write to its disk: %s", error)
            self._on_writable()

    async def _save_after_failure(self, _now: datetime) -> None:
        self._cancel_next_try = None
        await self.catch_up()

    def _cancel_try(self) -> None:
        if self._cancel_next_try is not None:
            self._cancel_next_try()
            self._cancel_next_try = None


def _edition_of(content: object) -> int:
    """Return the number of a writing: 0 for one by an earlier version, -1 for none."""
    if not isinstance(content, dict):
        return -1
    return untrusted.or_none(untrusted.whole, content.get(_EDITION)) or 0


class _Store(Store[dict[str, Any]]):
    """Tells how each writing ended. Home Assistant's own puts failures into the log, and no more.

    Should Home Assistant change what is overridden here, failures are no longer noticed.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        name: str,
        on_written: Callable[[Exception | None], None],
        hold: WriteHold,
        spare: SpareFile | None,
        *,
        in_thread: bool,
    ) -> None:
        # Worth little without a token, but private all the same.
        super().__init__(
            hass,
            _VERSION,
            f"{DOMAIN}.{name}",
            private=True,
            serialize_in_event_loop=not in_thread,
        )
        self._on_written = on_written
        self._hold = hold
        self._spare = spare
        self.written_beside = False
        # Held while the file is being written.
        self.writing = asyncio.Lock()

    @override
    async def _async_write_data(self, data: dict[str, Any]) -> None:
        async with self.writing:
            try:
                if self._hold.held and self._spare is not None:
                    await self._write_beside(self._spare, data)
                else:
                    await super()._async_write_data(data)
                    await self.remove_spare()
            except (WriteError, OSError) as err:
                self._on_written(err)
            else:
                self._on_written(None)

    async def _write_beside(self, spare: SpareFile, data: dict[str, Any]) -> None:
        content = data["data_func"]() if "data_func" in data else data["data"]
        await self.hass.async_add_executor_job(spare.write, content)
        self.written_beside = True

    async def remove_spare(self) -> None:
        """Delete what was written beside, if anything was: by now it is out of date."""
        if self._spare is None or not self.written_beside:
            return
        try:
            await self.hass.async_add_executor_job(self._spare.remove)
        except OSError as err:  # what is out of date shows by itself
            _LOGGER.debug("%s can't be deleted: %s", self._spare.path.name, err)
        else:
            self.written_beside = False
