"""`files/download`: whole files and ranges, streamed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import time
from typing import Any

from aiohttp import web

from tests.support.dropbox_server import answers, errors, schema
from tests.support.dropbox_server.calls import RESET_DELAY, Call, ConnectionGoneError, abort
from tests.support.dropbox_server.entries import StoredFile
from tests.support.dropbox_server.faults import FaultKind
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.schema import files
from tests.support.dropbox_server.storage import NotFoundError
from tests.support.dropbox_server.targets import Target, resolve

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_READ_SIZE = 256 * 1024


async def download(call: Call, arg: Any) -> web.StreamResponse:
    """Send a file or a range of it; the metadata goes into a header."""
    path = f"rev:{arg.rev}" if arg.rev is not None else arg.path
    try:
        target = resolve(call, path)
        file = target.file()
    except (NotFoundError, PathRefusedError) as error:
        union = files.DownloadError.path(answers.lookup_error(error))
        raise errors.route_error(call.spec, union) from error
    part = _part(call, file)
    encoded = schema.encode_result(call.spec, answers.metadata(file))
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(part.size),
        "Accept-Ranges": "bytes",
        "ETag": f'W/"{file.rev}"',
        # json.dumps leaves 0x7f alone, which is not allowed in a header.
        "Dropbox-API-Result": json.dumps(encoded).replace("\x7f", "\\u007f"),
        "X-Dropbox-Request-Id": call.request["request_id"],
    }
    if part.partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{file.size}"
    response = web.StreamResponse(status=206 if part.partial else 200, headers=headers)
    call.record.status = response.status
    await response.prepare(call.request)
    _interfere(call, target)
    await _Sender(call, response).send(target.tree.blob_path(file), part)
    return response


def _interfere(call: Call, target: Target) -> None:
    """Let another client change what is at the path while the revision that was there is sent."""
    if call.faults.first(FaultKind.REPLACE_FILE):
        target.tree.put(target.path, b"replaced while it was read")
    if call.faults.first(FaultKind.DELETE_FILE):
        target.tree.delete(target.path)


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    end: int
    partial: bool

    @property
    def size(self) -> int:
        return self.end - self.start


def _part(call: Call, file: StoredFile) -> _Part:
    """Read the Range header; what is not one plain range is ignored, as HTTP allows."""
    match = _RANGE.fullmatch(call.request.headers.get("Range", "").replace(" ", ""))
    ignored = call.faults.first(FaultKind.IGNORE_RANGE) is not None
    if ignored or match is None or not any(match.groups()):
        return _Part(0, file.size, partial=False)
    first, last = match.groups()
    if not first:
        start, end = max(0, file.size - int(last)), file.size
    else:
        start, end = int(first), min(file.size, int(last) + 1 if last else file.size)
        if last and int(last) < int(first):
            return _Part(0, file.size, partial=False)
    if start >= end:
        status = call.state.rules.range_error_status
        body = {"error_summary": "range/not_satisfiable/", "error": {".tag": "other"}}
        raise errors.RefusalError(
            status,
            json.dumps(body).encode(),
            headers={"Content-Range": f"bytes */{file.size}"},
            summary="range/not_satisfiable/",
        )
    return _Part(start, end, partial=True)


class _Sender:
    """Streams a file: shaped by the line, spoilt by faults, counted."""

    def __init__(self, call: Call, response: web.StreamResponse) -> None:
        self._call = call
        self._response = response
        self._throttle = call.state.shaper.download(call.request.transport)
        self._reset = call.faults.first(FaultKind.RESET_IN_RESPONSE)
        self._truncate = call.faults.first(FaultKind.TRUNCATE_DOWNLOAD)
        self._corrupt = call.faults.first(FaultKind.CORRUPT_DOWNLOAD)
        self._stall = call.faults.first(FaultKind.STALL, "during")
        self._waited = 0.0

    async def send(self, path: Path, part: _Part) -> None:
        size = self._throttle.slice_size if self._throttle.active else _READ_SIZE
        loop = asyncio.get_running_loop()
        descriptor = os.open(path, os.O_RDONLY)
        try:
            position = part.start
            while position < part.end:
                wanted = min(size, part.end - position)
                data = await loop.run_in_executor(
                    self._call.state.executor, os.pread, descriptor, wanted, position
                )
                if not data:
                    raise ConnectionGoneError  # the file on disk was cut by a test
                await self._write(data, position - part.start)
                position += len(data)
        finally:
            os.close(descriptor)

    async def _write(self, data: bytes, start: int) -> None:
        end = start + len(data)
        if (stall := self._stall) and end >= stall.after_bytes:
            self._stall = None
            await stall.stall()
        if self._corrupt and start <= self._corrupt.after_bytes < end:
            spoilt = bytearray(data)
            spoilt[self._corrupt.after_bytes - start] ^= 0xFF
            data = bytes(spoilt)
        cut = self._reset or self._truncate
        if cut and end > cut.after_bytes:
            await self._pass(data[: max(0, cut.after_bytes - start)])
            await self._cut()
        await self._pass(data)

    async def _pass(self, data: bytes) -> None:
        if data:
            await self._throttle.passed(len(data), self._waited)
            asked = time.monotonic()
            await self._response.write(data)
            self._waited = time.monotonic() - asked
            self._call.record.bytes_sent += len(data)

    async def _cut(self) -> None:
        transport = self._call.request.transport
        if self._reset or transport is None:
            await asyncio.sleep(RESET_DELAY)
            abort(self._call.request)
        else:
            transport.close()  # flushes: an orderly end, only too early
        raise ConnectionGoneError
