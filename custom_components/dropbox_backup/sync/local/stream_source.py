"""The bytes of a backup that somebody hands out from its beginning on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from homeassistant.exceptions import HomeAssistantError

from ...dropbox_api.upload.source import Source
from ..archive.contents import MOST_MEMBERS, Contents, Watch
from ..archive.metadata import ArchiveError, ArchiveFault
from ..decide.models import Protection
from ..report.problems import LocationAwayError, Silence, silence_reason

# Seconds without a byte.
_STALLED_AFTER = 300.0

type OpenStream = Callable[[], Coroutine[Any, Any, AsyncIterator[bytes]]]


class ReadableError(Exception):
    """The archive should be encrypted, and is not."""


class UnexaminedError(Exception):
    """The archive should be encrypted, and nobody can tell whether it is."""


@dataclass(slots=True)
class StreamSource(Source):
    """An archive that Home Assistant hands out, as often as it is asked for.

    `secret`: nothing readable may pass, whatever Home Assistant says of it. `protection` is what
    the last reading found.
    """

    open_stream: OpenStream
    size: int
    secret: bool = False
    protection: Protection = Protection.UNKNOWN

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive. Raises `ReadableError` and `UnexaminedError`, before that passes."""
        watch = Watch()
        async with aclosing(self.read_plain()) as stream:
            async for piece in stream:
                watch.passed(piece)
                if self.secret:
                    _check_secret(watch)
                yield piece
        contents = watch.ended()
        if self.secret:
            _check_secret(watch)
        self.protection = Protection.UNKNOWN if contents is None else contents.protection

    def read_plain(self) -> AsyncGenerator[bytes]:
        """Yield the archive, whether it is readable or not."""
        return read_stream(self.open_stream)

    async def contents(self) -> Contents:
        """Tell what it holds. Reads all of it. Raises `ArchiveError`, and what reading raises."""
        return await contents_of(self.read_plain())


def _check_secret(watch: Watch) -> None:
    if any(one.protection is Protection.NOT_ENCRYPTED for one in watch.inner):
        raise ReadableError
    if watch.lost:
        raise UnexaminedError


async def contents_of(reading: AsyncGenerator[bytes]) -> Contents:
    """Read an archive and tell what it holds. Raises `ArchiveError`, and what reading raises."""
    watch = Watch(MOST_MEMBERS)
    async with aclosing(reading) as stream:
        async for piece in stream:
            watch.passed(piece)
    if (contents := watch.ended()) is None:
        raise ArchiveError(ArchiveFault.NOT_READABLE)
    return contents


async def read_stream(open_stream: OpenStream) -> AsyncGenerator[bytes]:
    """Yield what somebody hands out.

    Raises `HomeAssistantError` as that does, and `LocationAwayError` for everything else:
    Supervisor's client lets errors of its own and of its connection through.
    """
    try:
        async with aclosing(_read_to_its_end(open_stream)) as stream:
            async for piece in stream:
                yield piece
    except HomeAssistantError:
        raise
    except TimeoutError as err:
        raise LocationAwayError(Silence.STALLED) from err
    except Exception as err:
        raise LocationAwayError(silence_reason(err)) from err


async def _read_to_its_end(open_stream: OpenStream) -> AsyncGenerator[bytes]:
    # Supervisor's streams have no timeout of their own: one that stands still would do so for ever.
    async with asyncio.timeout(_STALLED_AFTER):
        stream = await open_stream()
    try:
        pieces = aiter(stream)
        while True:
            async with asyncio.timeout(_STALLED_AFTER):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    finally:
        # Home Assistant 2026.10 leaves closing to the agent. Not every stream can be closed.
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()
