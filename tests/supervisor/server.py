"""The server: start it, stop it, and everything a test may want of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
import tarfile
from typing import Any, Self
from uuid import uuid4

from aiohttp import BodyPartReader, web

from . import system
from .archives import ALL_FOLDERS, Contents
from .backups import CLOUD, LOCAL, BackupStore, NoSuchBackupError, StoredBackup
from .faults import Fault

_HOST = "127.0.0.1"
TOKEN = "supervisor-token"

type Json = dict[str, Any]  # Any: that is what JSON is


class Supervisor:
    """A Supervisor on 127.0.0.1. Use it as an async context manager, or start and stop it.

    `on_event` hears what Supervisor pushes to Home Assistant. `requests` are those of Home
    Assistant, as method and path.
    """

    def __init__(self, directory: Path, on_event: Callable[[Json], None]) -> None:
        self.store = BackupStore(directory)
        self.mounts: list[str] = []
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.restored: list[Json] = []
        self.port = 0
        self._directory = directory
        self._on_event = on_event
        self._jobs: dict[str, Json] = {}
        self._tasks: set[asyncio.Task[StoredBackup]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Listen, after a stop at the same port again."""
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and cut the connections. The backups stay."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    def env(self) -> dict[str, str]:
        """Environment variables that lead Home Assistant to this Supervisor."""
        return {"SUPERVISOR": f"{_HOST}:{self.port}", "SUPERVISOR_TOKEN": TOKEN}

    # What happens without Home Assistant

    async def make_backup(self, contents: Contents, *locations: str) -> StoredBackup:
        """Make a backup as the command line does: Home Assistant hears of nothing but the job."""
        kind = "full" if contents.full else "partial"
        job = self._start_job(f"backup_manager_{kind}_backup", contents.slug)
        self._tell(job, stage="home_assistant")
        return await self._finish_backup(job, contents, list(locations) or [LOCAL])

    def add_mount(self, name: str) -> None:
        """Connect a network share for backups; some may lie on it already."""
        if name not in self.store.locations:
            self.store.add_location(name)
        self.mounts.append(name)
        self._tell(self._start_job("mount_manager_create_mount", name), done=True)

    def downloads(self, slug: str) -> int:
        """Count how often a backup was fetched."""
        return self.requests.count(f"GET backups/{slug}/download")

    # Jobs

    def _start_job(self, name: str, reference: str | None) -> Json:
        uuid = uuid4().hex
        job = self._jobs[uuid] = {
            "name": name,
            "reference": reference,
            "uuid": uuid,
            "progress": 0,
            "stage": None,
            "done": False,
            "errors": [],
            "created": datetime.now(UTC).isoformat(),
            "child_jobs": [],
            "extra": None,
        }
        self._tell(job)
        return job

    def _tell(self, job: Json, **changes: object) -> None:
        job.update(changes)
        self._on_event({"event": "job", "data": dict(job)})

    async def _finish_backup(
        self, job: Json, contents: Contents, locations: list[str]
    ) -> StoredBackup:
        backup = await asyncio.to_thread(self.store.make, contents, locations)
        self._tell(job, stage="await_addon_restarts", done=True, progress=100)
        return backup

    # HTTP

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=0, middlewares=[self._guard])
        add = application.router.add_route
        add("GET", "/mounts", self._mounts)
        add("GET", "/jobs/info", self._all_jobs)
        add("GET", "/jobs/{uuid}", self._job)
        add("GET", "/backups", self._backups)
        add("POST", "/backups/new/{kind:full|partial}", self._new_backup)
        add("POST", "/backups/new/upload", self._upload)
        add("GET", "/backups/{slug}/info", self._backup)
        add("GET", "/backups/{slug}/download", self._download)
        add("DELETE", "/backups/{slug}", self._delete)
        add("POST", "/backups/{slug}/restore/partial", self._restore)
        add("POST", "/store/addons/{slug}/update", self._accept)
        add("GET", "/{path:.+}", self._about_the_system)
        add("POST", "/{path:.+}", self._accept)
        return application

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        path = request.path.removeprefix("/")
        self.requests.append(f"{request.method} {path}")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "not authorized")
        for fault in self.faults:
            if fault.cut_after is None and fault.wants(path):
                return _error(fault.status, "a fault on purpose")
        try:
            answer: web.StreamResponse = await handler(request)
        except NoSuchBackupError:
            return _error(404, "Backup does not exist")
        return answer

    async def _about_the_system(self, request: web.Request) -> web.Response:
        answer = system.ANSWERS.get(request.match_info["path"])
        return _error(404, "not here") if answer is None else _ok(answer)

    async def _accept(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/")
        known = path in system.ACCEPTED or path.startswith("store/addons/")
        return _ok({}) if known else _error(404, "not here")

    async def _mounts(self, _: web.Request) -> web.Response:
        mounts = [system.mount(name) for name in self.mounts]
        return _ok({"default_backup_mount": None, "mounts": mounts})

    async def _all_jobs(self, _: web.Request) -> web.Response:
        running = [job for job in self._jobs.values() if not job["done"]]
        return _ok({"ignore_conditions": [], "jobs": running})

    async def _job(self, request: web.Request) -> web.Response:
        return _ok(self._jobs[request.match_info["uuid"]])

    async def _backups(self, _: web.Request) -> web.Response:
        return _ok({"backups": [backup.brief() for backup in self.store.listed()]})

    async def _backup(self, request: web.Request) -> web.Response:
        return _ok(self.store.get(request.match_info["slug"]).complete())

    async def _new_backup(self, request: web.Request) -> web.Response:
        options: Json = await request.json() if request.can_read_body else {}
        full = request.match_info["kind"] == "full"
        contents = _contents_of(options, full=full)
        where = options.get("location") or LOCAL
        locations = [where] if isinstance(where, str) else list(where)
        if not options.get("background"):
            backup = await self.make_backup(contents, *locations)
            return _ok({"job_id": next(reversed(self._jobs)), "slug": backup.slug})
        kind = "full" if full else "partial"
        job = self._start_job(f"backup_manager_{kind}_backup", contents.slug)
        task = asyncio.create_task(self._finish_backup(job, contents, locations))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _ok({"job_id": job["uuid"]})

    async def _upload(self, request: web.Request) -> web.Response:
        reader = await request.multipart()
        part = await reader.next()
        assert isinstance(part, BodyPartReader)
        path = self._directory / f"upload-{uuid4().hex}.tar"
        locations = request.query.getall("location", [LOCAL])
        try:
            with path.open("wb") as file:
                while chunk := await part.read_chunk(1 << 16):
                    file.write(chunk)
            backup = await asyncio.to_thread(self.store.receive, path, locations)
        except (tarfile.TarError, KeyError) as err:
            return _error(400, f"Invalid tarball: {err}")
        finally:
            path.unlink(missing_ok=True)
        return _ok({"slug": backup.slug, "job_id": uuid4().hex})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = self.store.get(request.match_info["slug"]).path(request.query.get("location"))
        for fault in self.faults:
            if fault.cut_after is not None and fault.wants(request.path.removeprefix("/")):
                return await _cut(request, path, fault.cut_after)
        return web.FileResponse(path, headers={"Content-Type": "application/tar"})

    async def _delete(self, request: web.Request) -> web.Response:
        options = await request.json() if request.can_read_body else {}
        where = options.get("location")
        locations = [where] if isinstance(where, str) else where
        self.store.remove(request.match_info["slug"], locations)
        return _ok({})

    async def _restore(self, request: web.Request) -> web.Response:
        options = await request.json()
        backup = self.store.get(request.match_info["slug"])
        backup.path(options.get("location"))
        self.restored.append({"slug": backup.slug, **options})
        job = self._start_job("backup_manager_partial_restore", backup.slug)
        self._tell(job, stage="home_assistant", done=True, progress=100)
        return _ok({"job_id": job["uuid"]})


def _contents_of(options: Json, *, full: bool) -> Contents:
    now = datetime.now(UTC).isoformat()
    addons = options.get("addons") or ()
    return Contents(
        name=options.get("name") or f"Backup {now}",
        date=now,
        homeassistant=full or bool(options.get("homeassistant")),
        database=not options.get("homeassistant_exclude_database"),
        addons=() if addons == "ALL" else tuple(addons),
        folders=ALL_FOLDERS if full else tuple(options.get("folders") or ()),
        full=full,
        extra=options.get("extra") or {},
        password=options.get("password"),
    )


async def _cut(request: web.Request, path: Path, after: int) -> web.StreamResponse:
    """Announce the whole archive, send a part of it and cut the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/tar"})
    response.content_length = path.stat().st_size
    await response.prepare(request)
    await response.write(path.read_bytes()[:after])
    if request.transport is not None:
        request.transport.abort()
    return response


def _ok(data: Json) -> web.Response:
    return web.json_response({"result": "ok", "data": data})


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"result": "error", "message": message}, status=status)


__all__ = ["CLOUD", "LOCAL", "TOKEN", "Supervisor"]
