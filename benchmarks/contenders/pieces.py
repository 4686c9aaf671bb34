"""What could hold up the event loop, one by one."""

from collections.abc import Callable
import gc
import io
import json
import ssl
import sys
import threading
import time
from typing import Any

from benchmarks.contenders.job import Job
from benchmarks.measure import Figures

_KIB = 1024
_MIB = 1024 * _KIB
_TIMES = 9
# Seconds after which a thread that runs Python lets another one: far fewer than Python's five
# milliseconds, so that what is longer can't be interrupted.
_SWITCH = 1e-4
_BACKUPS = 1000


async def pieces(job: Job, figures: Figures) -> None:
    """Fill `more` with each piece's CPU, in seconds, and with how long it keeps other threads from
    running Python while it runs in one of its own ("..., held"). The medians of some runs; the
    garbage collector, which comes when it likes, does not count.
    """
    gc.disable()
    for name, piece in (*_bytes(job), *_texts(), *_archives()):
        piece()  # what is loaded once
        for key, measure in ((name, _seconds), (f"{name}, held", _held)):
            figures.more[key] = sorted(measure(piece) for _ in range(_TIMES))[_TIMES // 2]
            gc.collect()


def _held(piece: Callable[[], object]) -> float:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    results: list[object] = []  # to throw them away is not part of the piece
    thread = threading.Thread(target=lambda: results.append(piece()))
    longest = 0.0
    try:
        thread.start()
        last = time.perf_counter()
        while thread.is_alive():
            time.sleep(_SWITCH)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    return longest


def _seconds(piece: Callable[[], object]) -> float:
    begun = time.thread_time()
    piece()
    return time.thread_time() - begun


def _bytes(job: Job) -> list[tuple[str, Callable[[], object]]]:
    from custom_components.dropbox_backup.dropbox_api.content_hash import block_digests

    chunk = bytes(4 * _MIB)
    tls = _Tls(job.file)
    smallest, first = bytes(16 * _KIB), bytes(32 * _KIB)
    return [
        ("hash", lambda: block_digests(chunk)),
        ("tls 16", lambda: tls.write(smallest)),
        ("tls 32", lambda: tls.write(first)),
    ]


def _texts() -> list[tuple[str, Callable[[], object]]]:
    from stone.backends.python_rsrc import stone_serializers

    from benchmarks.seed import OWNER, backups
    from custom_components.dropbox_backup.dropbox_api.sdk import files
    from custom_components.dropbox_backup.sync.decide.file_names import file_name
    from custom_components.dropbox_backup.sync.remote.catalog import (
        CatalogEntry,
        parse_catalog,
        write_catalog,
    )

    entries = {
        file_name(one): CatalogEntry("0" * 64, one, owner=OWNER) for one in backups(_BACKUPS)
    }
    catalog = write_catalog(entries)
    route: Any = files.list_folder  # generated, without types
    serializers: Any = stone_serializers  # likewise
    listing = json.dumps(
        {"entries": [_entry(name) for name in entries], "cursor": "x" * 200, "has_more": False}
    )
    return [
        ("listing", lambda: serializers.json_decode(route.result_type, listing, strict=False)),
        ("read catalog", lambda: parse_catalog(catalog)),
        ("write catalog", lambda: write_catalog(entries)),
    ]


def _entry(name: str) -> dict[str, object]:
    return {
        ".tag": "file",
        "name": name,
        "id": "id:0123456789012345678901",
        "client_modified": "2026-01-01T00:00:00Z",
        "server_modified": "2026-01-01T00:00:00Z",
        "rev": "0123456789abcdef",
        "size": 10240,
        "path_lower": f"/homeassistant/backups/{name}".lower(),
        "path_display": f"/HomeAssistant/Backups/{name}",
        "is_downloadable": True,
        "content_hash": "0" * 64,
    }


def _archives() -> list[tuple[str, Callable[[], object]]]:
    from benchmarks.seed import archive, backups
    from custom_components.dropbox_backup.sync.archive.metadata import read_metadata

    (backup,) = backups(1)
    core, supervisor = archive(backup, _MIB), archive(backup, _MIB, supervisor=True)
    return [
        ("core archive", lambda: read_metadata(io.BytesIO(core), len(core))),
        ("supervisor archive", lambda: read_metadata(io.BytesIO(supervisor), len(supervisor))),
    ]


class _Tls:
    """A TLS connection within the process."""

    def __init__(self, certificate: str) -> None:
        there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        self._sent = there
        self._client = client.wrap_bio(here, there)
        other = server.wrap_bio(there, here, server_side=True)
        for _ in range(3):
            for side in (self._client, other):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue

    def write(self, data: bytes) -> None:
        """Encrypt, and let the kernel have it."""
        self._client.write(data)
        self._sent.read()
