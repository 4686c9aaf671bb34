"""Dropbox's routes, by theme."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.routes import account, download, files, listing, search, upload

# The argument and the result are Stone objects; see schema.py.
Handler = Callable[[Call, Any], Awaitable[Any]]

HANDLERS: dict[str, Handler] = {
    **account.HANDLERS,
    **files.HANDLERS,
    **listing.HANDLERS,
    **search.HANDLERS,
    **upload.HANDLERS,
}
STREAMS: dict[str, Callable[[Call, Any], Awaitable[web.StreamResponse]]] = {
    "files/download": download.download
}
