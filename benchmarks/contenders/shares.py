"""Where the CPU goes in an upload: who uses how much of it, in the event loop and beside it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
import linecache
from pathlib import Path
import signal
import threading
import time
from types import FrameType
from typing import override

from benchmarks.contenders.job import Job, session, token_of
from benchmarks.measure import Figures

# A signal comes whenever the process has used so many seconds of CPU.
_SAMPLE = 0.002
_WAITING = "waiting"
# What a line of code does, by a part of its text; the first that fits.
_BY_TEXT = {
    "sslobj.write(": "TLS: encrypting",
    "_outgoing.read(": "TLS: copying",
    "_sock.send": "the kernel: sending",
    "_sock.recv": "the kernel: receiving",
    ".poll(": _WAITING,
    "sha256": "hashing",
}
# What a function does, by its name; then who wrote it, by a part of its file's path.
_BY_FUNCTION = {"_fill": "reading"}
_BY_PATH = {
    "custom_components/dropbox_backup": "this integration's Python",
    "/aiohttp/": "aiohttp",
    "/asyncio/": "asyncio",
    "/stone/": "the SDK's serializers",
    "/dropbox/": "the SDK's serializers",
}
_REST = "other Python"


async def shares_of_upload(job: Job, figures: Figures) -> None:
    """Upload twice: once to know the CPU of each thread, once to see what the event loop's thread
    does when a sample is taken.
    """
    threads = _CountingExecutor()
    asyncio.get_running_loop().set_default_executor(threads)
    await _upload(job, "/warm-up.tar")
    threads.seconds.clear()
    loop, process = time.thread_time(), time.process_time()
    await _upload(job, "/plain.tar")
    loop, process = time.thread_time() - loop, time.process_time() - process
    beside = dict(threads.seconds)

    seen: Counter[str] = Counter()
    with _sampled(seen):
        await _upload(job, "/sampled.tar")
    del seen[_WAITING]
    for name, samples in seen.items():
        figures.more[f"event loop, {name}"] = loop * samples / seen.total()
    for name, seconds in beside.items():
        figures.more[f"threads, {name}"] = seconds
    figures.more["threads, handing over"] = max(process - loop - sum(beside.values()), 0.0)
    figures.cpu = process


@contextmanager
def _sampled(seen: Counter[str]) -> Iterator[None]:
    """Count what the main thread is at. What is written in C counts as the line that calls it."""

    def look(_number: int, frame: FrameType | None) -> None:
        if frame is not None:
            seen[_use_of(frame)] += 1

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _SAMPLE, _SAMPLE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _use_of(frame: FrameType) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno)
    found = next((use for part, use in _BY_TEXT.items() if part in text), None)
    if found is None:
        found = _BY_FUNCTION.get(code.co_name)
    if found is None:
        found = next((who for part, who in _BY_PATH.items() if part in code.co_filename), _REST)
    return found


async def _upload(job: Job, path: str) -> None:
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
    from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
    from custom_components.dropbox_backup.dropbox_api.upload.source import FileSource
    from custom_components.dropbox_backup.dropbox_api.upload.upload import upload

    async with session() as http:
        client = DropboxClient(http, token_of(job))
        await upload(client, FileSource(Path(job.file), job.size), UploadCommit(path))


class _CountingExecutor(ThreadPoolExecutor):
    """Adds up the CPU of its threads by what they did."""

    def __init__(self) -> None:
        super().__init__(8)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @override
    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def counted() -> T:
            begun = time.thread_time()
            try:
                return fn(*args, **kwargs)
            finally:
                with self._lock:
                    name = "reading" if "fill" in getattr(fn, "__name__", "") else "hashing"
                    self.seconds[name] += time.thread_time() - begun

        return super().submit(counted)
