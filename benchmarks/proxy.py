"""A proxy that leads Dropbox's names to the local Dropbox, for programs that know no other names;
and a meter on the way to it.

Both hand bytes on as they come: TLS stays between the program and the local Dropbox.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
import threading
import time
from typing import Self, override

PROXIED_HOSTS = ("api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com")
_BUFFER = 256 * 1024


class _Forwarder:
    """Hands connections on. Runs in a thread of its own, while it is entered."""

    def __init__(self, target_port: int) -> None:
        """Every connection goes to `target_port` of this machine."""
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self._server: asyncio.Server

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_BUFFER)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._greet(reader, writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port, limit=_BUFFER)
        await asyncio.gather(_pump(reader, back, self._arrived), _pump(there, writer, _ignore))

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what comes before the bytes that are handed on."""

    def _arrived(self, size: int) -> None:
        """Take note of bytes from the client."""


class Proxy(_Forwarder):
    """An HTTP proxy that connects to one place, whatever it is asked for."""

    @property
    def url(self) -> str:
        """The value for HTTPS_PROXY."""
        return f"http://127.0.0.1:{self.port}"

    @override
    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


class Meter(_Forwarder):
    """Takes note of when how many bytes arrived from the client."""

    def __init__(self, target_port: int) -> None:
        """`arrived` has pairs of a monotonic time in seconds and a number of bytes."""
        super().__init__(target_port)
        self.arrived: list[tuple[float, int]] = []

    @override
    def _arrived(self, size: int) -> None:
        self.arrived.append((time.monotonic(), size))


def _ignore(_: int) -> None:
    """Take no note."""


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: Callable[[int], None]
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_BUFFER):
            passed(len(data))
            writer.write(data)
            await writer.drain()
    writer.close()
