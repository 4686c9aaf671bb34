"""The server: start it, stop it, and everything a test may want of it.

Source: `supervisor/api/` and `supervisor/backups/manager.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
import re
import socket
import tarfile
from typing import Any, Self
from uuid import uuid4

from aiohttp import BodyPartReader, web

from tests.support.supervisor import system
from tests.support.supervisor.archives import ALL_FOLDERS, Contents, opens
from tests.support.supervisor.backups import (
    CLOUD,
    LOCAL,
    BackupStore,
    DifferentError,
    NoSuchBackupError,
    NotThereError,
    StoredBackup,
)
from tests.support.supervisor.faults import Fault
from tests.support.supervisor.jobs import Job, JobError, Json

_HOST = "127.0.0.1"
TOKEN = "supervisor-token"
# An app that may use the API, such as a terminal.
APP_TOKEN = "app-token"
_ANSWERING = {"startup", "running", "freeze"}
_FULL = {
    *("name", "filename", "password", "compressed", "location", "background", "extra"),
    "homeassistant_exclude_database",
}
_PARTIAL = _FULL | {"addons", "folders", "homeassistant"}
_RESTORE = {"password", "background", "location", "homeassistant", "addons", "folders"}
_REMOVE = {"location"}


class Supervisor:
    """A Supervisor on 127.0.0.1. Use it as an async context manager, or start and stop it.

    `on_event` hears what Supervisor pushes to Home Assistant, `on_command` answers what it asks
    there: `backup/start` and `backup/end`. `requests` are those of Home Assistant, as method and
    path. `grace`: for how many seconds a download goes on when Supervisor is stopped in order; the
    real one's are 5. `apps` are installed. While `packing` is not set, a backup stays between
    `backup/start` and `backup/end`. `default_mount`: where backups go when nobody says where.
    """

    def __init__(
        self,
        directory: Path,
        on_event: Callable[[Json], None],
        on_command: Callable[[str], Awaitable[None]] | None = None,
        *,
        grace: float = 5.0,
    ) -> None:
        self.store = BackupStore(directory)
        self.mounts: dict[str, Json] = {}
        self.default_mount: str | None = None
        self.apps = ["core_mosquitto", "core_ssh"]
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.read_from: list[int] = []
        self.restored: list[Json] = []
        self.packing = asyncio.Event()
        self.packing.set()
        self.state = "initialize"
        self.port = 0
        self._directory = directory
        self.on_event = on_event
        self._on_command = on_command
        self._grace = grace
        self._jobs: dict[str, Job] = {}
        self._busy = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.kill()

    async def start(self, *, ready: bool = True) -> None:
        """Listen, after a stop at the same port again; what it was doing before is forgotten.

        Unless `ready`, it refuses everything until it is said to be.
        """
        self._jobs.clear()
        self._busy = False
        self.state = "setup"
        self._runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=self._grace
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        if ready:
            self.ready()

    def ready(self) -> None:
        """Have everything loaded, and tell Home Assistant."""
        self._set_state("running")

    async def stop(self) -> None:
        """Stop in order: refuse everything, and cut downloads when the grace is over."""
        self.state = "stopping"
        await self._cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def kill(self) -> None:
        """Die: cut all connections at once. The backups stay, nobody is told anything."""
        if self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    # Aborting it would leave the one who sends a file waiting for ever.
                    with suppress(OSError):
                        _socket_of(connection.transport).shutdown(socket.SHUT_RDWR)
        await self.stop()

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def env(self) -> dict[str, str]:
        """Environment variables that lead Home Assistant to this Supervisor."""
        return {"SUPERVISOR": f"{_HOST}:{self.port}", "SUPERVISOR_TOKEN": TOKEN}

    # What happens without Home Assistant

    async def make_backup(self, contents: Contents, *locations: str) -> StoredBackup:
        """Make a backup as the command line does: Home Assistant hears of it only what Supervisor
        tells by itself. Raises `JobError`; is cancelled when Supervisor dies.
        """
        _job, task = self._begin_backup(contents, list(locations), None)
        return await task

    async def freeze(self) -> None:
        """Have Home Assistant hold still for an image of the whole machine."""
        job = self._job("backup_manager_freeze_all")
        with job.running():
            self._set_state("freeze")
            job.update(stage="home_assistant")
            await self._begin(job)

    async def thaw(self) -> None:
        """End that."""
        job = self._job("backup_manager_thaw_all")
        with job.running():
            await self._end(job)
        self._set_state("running")

    def add_mount(self, name: str, *, windows: bool = False) -> None:
        """Connect a network share for backups; some may lie on it already. The first becomes the
        place for backups of which nobody says where they are to go.
        """
        if name not in self.store.locations:
            self.store.add_location(name)
        with self._job("mount_manager_create_mount", name).running():
            self.mounts[name] = system.mount(name, windows=windows)
        self.default_mount = self.default_mount or name

    def downloads(self, slug: str) -> int:
        """Count how often a backup was fetched, whole or from somewhere on."""
        return self.requests.count(f"GET backups/{slug}/download")

    # Backups

    def _begin_backup(
        self, contents: Contents, locations: list[str], filename: str | None
    ) -> tuple[Job, asyncio.Task[StoredBackup]]:
        kind = "full" if contents.full else "partial"
        if self.state != "running":
            raise JobError(
                f"'BackupManager.do_backup_{kind}' blocked from execution, system is not running - "
                f"{self.state}"
            )
        if self._busy:
            raise JobError("Another job is running for job group backup_manager")
        self._busy = True
        job = self._job(f"backup_manager_{kind}_backup")
        where = locations or [self.default_mount or LOCAL]
        task = asyncio.create_task(self._backup(job, contents, where, filename))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job, task

    async def _backup(
        self, job: Job, contents: Contents, locations: list[str], filename: str | None
    ) -> StoredBackup:
        backup = None
        with job.running():
            job.update(reference=contents.slug)
            job.update(stage="addon_repositories")
            try:
                self._set_state("freeze")
                backup = await self._pack(job, contents, locations, filename)
            except (JobError, FileExistsError) as err:
                job.capture(err)
            finally:
                self._busy = False
                if self.state == "freeze":
                    self._set_state("running")
        if backup is None:
            raise JobError(
                f"An error occurred while making backup, check job '{job.uuid}' or supervisor logs "
                "for details"
            )
        return backup

    async def _pack(
        self, job: Job, contents: Contents, locations: list[str], filename: str | None
    ) -> StoredBackup:
        if contents.homeassistant:
            job.update(stage="home_assistant")
            with (
                job.child("backup_store_homeassistant") as part,
                part.child("home_assistant_module_backup") as packing,
            ):
                await self._begin(packing)
                try:
                    await self.packing.wait()
                finally:
                    if self.state == "freeze":
                        await self._end(packing)
        if contents.addons:
            job.update(stage="addons")
            with job.child("backup_store_apps") as part:
                for slug in contents.addons:
                    with part.child("backup_app_save", slug):
                        pass
        if contents.folders:
            job.update(stage="folders")
            with job.child("backup_store_folders") as part:
                for folder in contents.folders:
                    with part.child("backup_folder_save", folder):
                        pass
        job.update(stage="supervisor_config")
        with job.child("backup_store_supervisor_config"):
            pass
        job.update(stage="finishing_file")
        backup = await asyncio.to_thread(self.store.make, contents, locations, filename)
        if locations[1:]:
            job.update(stage="copy_additional_locations")
        if contents.addons:
            job.update(stage="await_addon_restarts")
        return backup

    async def _begin(self, job: Job) -> None:
        with job.child("home_assistant_module_begin_backup"):
            if self._on_command is not None:
                await self._on_command("backup/start")

    async def _end(self, job: Job) -> None:
        with job.child("home_assistant_module_end_backup"):
            if self._on_command is not None:
                with suppress(JobError):
                    await self._on_command("backup/end")

    # Telling

    def _job(self, name: str, reference: str | None = None) -> Job:
        job = Job(name, self.on_event)
        self._jobs[job.uuid] = job
        job.update(reference=reference)
        return job

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            told = {"event": "supervisor_update", "update_key": "info", "data": {"state": state}}
            self.on_event(told)

    # HTTP

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=0, middlewares=[self._guard])
        add = application.router.add_route
        add("GET", "/mounts", self._mounts)
        add("GET", "/jobs/info", self._all_jobs)
        add("GET", "/jobs/{uuid}", self._one_job)
        add("GET", "/backups", self._backups)
        add("GET", "/backups/info", self._backups)
        add("POST", "/backups/reload", self._reload)
        add("POST", "/backups/freeze", self._freeze)
        add("POST", "/backups/thaw", self._thaw)
        add("POST", "/backups/new/{kind:full|partial}", self._new_backup)
        add("POST", "/backups/new/upload", self._upload)
        add("GET", "/backups/{slug}/info", self._one_backup)
        add("GET", "/backups/{slug}/download", self._download)
        add("DELETE", "/backups/{slug}", self._delete)
        add("POST", "/backups/{slug}/restore/partial", self._restore)
        add("GET", "/{path:.+}", self._about_the_system)
        add("POST", "/{path:.+}", self._accept)
        return application

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        path = request.path.removeprefix("/")
        part = " (a part)" if _is_bounded(request) else ""
        self.requests.append(f"{request.method} {path}{part}")
        if self.state not in _ANSWERING:
            return _error(400, f"System is not ready with state: {self.state}")
        if path != "supervisor/ping":
            self._authorize(request)
        for fault in self.faults:
            if fault.cut_after is None and fault.wants(path):
                return _error(fault.status, "a fault on purpose")
        try:
            return await handler(request)
        except NoSuchBackupError:
            return _error(404, "Backup does not exist")
        except (JobError, NotThereError, DifferentError) as err:
            return _error(400, str(err))

    def _authorize(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").split(" ")[-1]
        if not token:
            raise web.HTTPUnauthorized
        if token not in {TOKEN, APP_TOKEN}:
            raise web.HTTPForbidden

    async def _about_the_system(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path not in system.ANSWERS:
            raise web.HTTPNotFound
        answer = system.ANSWERS[path]
        return _ok({**answer, "state": self.state} if path == "info" else answer)

    async def _accept(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path in system.ACCEPTED or re.fullmatch(r"store/addons/[^/]+/update", path):
            return _ok({})
        raise web.HTTPNotFound

    async def _mounts(self, _: web.Request) -> web.Response:
        return _ok(
            {"default_backup_mount": self.default_mount, "mounts": list(self.mounts.values())}
        )

    async def _all_jobs(self, _: web.Request) -> web.Response:
        jobs = [job.tree() for job in reversed(self._jobs.values())]
        return _ok({"ignore_conditions": [], "jobs": jobs})

    async def _one_job(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["uuid"])
        return _error(404, "Job does not exist") if job is None else _ok(job.tree())

    async def _backups(self, _: web.Request) -> web.Response:
        listed = [backup.brief() for backup in self.store.listed()]
        return _ok({"backups": listed, "days_until_stale": 30})

    async def _reload(self, _: web.Request) -> web.Response:
        for location in self.store.locations:
            self.store.look(location)
        return _ok({})

    async def _freeze(self, _: web.Request) -> web.Response:
        await self.freeze()
        return _ok({})

    async def _thaw(self, _: web.Request) -> web.Response:
        await self.thaw()
        return _ok({})

    async def _one_backup(self, request: web.Request) -> web.Response:
        return _ok(self.store.get(request.match_info["slug"]).complete())

    async def _new_backup(self, request: web.Request) -> web.Response:
        full = request.match_info["kind"] == "full"
        options = await _options(request, _FULL if full else _PARTIAL)
        locations = _listed(options["location"]) if "location" in options else []
        if (refusal := self._refusal_of(request, *locations)) is not None:
            return refusal
        contents = self._contents_of(options, full=full)
        job, task = self._begin_backup(contents, locations, options.get("filename"))
        if options.get("background"):
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            return _ok({"job_id": job.uuid})
        try:
            backup = await asyncio.shield(task)
        except JobError as err:
            return _error(400, str(err), job_id=job.uuid)
        return _ok({"job_id": job.uuid, "slug": backup.slug})

    def _contents_of(self, options: Json, *, full: bool) -> Contents:
        wanted = options.get("addons") or ()
        chosen = (
            self.apps if full or wanted == "ALL" else [slug for slug in wanted if slug in self.apps]
        )
        compressed = options.get("compressed")
        return Contents(
            name=options.get("name") or "",
            date=datetime.now(UTC).isoformat(),
            homeassistant=full or bool(options.get("homeassistant")),
            database=not options.get("homeassistant_exclude_database"),
            addons=tuple(chosen),
            folders=ALL_FOLDERS if full else tuple(options.get("folders") or ()),
            supervisor=bool(self.mounts),
            full=full,
            extra=options.get("extra") or {},
            password=options.get("password") or None,
            compressed=True if compressed is None else compressed,
        )

    async def _upload(self, request: web.Request) -> web.Response:
        locations = request.query.getall("location", [LOCAL])
        if (refusal := self._refusal_of(request, *locations)) is not None:
            return refusal
        reader = await request.multipart()
        part = await reader.next()
        assert isinstance(part, BodyPartReader)
        path = self._directory / f"upload-{uuid4().hex}.tar"
        job = self._job("backup_manager_import_backup")
        try:
            with path.open("wb") as file:
                while chunk := await part.read_chunk(1 << 16):
                    file.write(chunk)
            with job.running():
                backup = await asyncio.to_thread(
                    self.store.receive, path, locations, request.query.get("filename")
                )
        except tarfile.TarError, KeyError, ValueError:
            return _error(400, "Unknown error, see Supervisor logs")
        finally:
            path.unlink(missing_ok=True)
        return _ok({"slug": backup.slug, "job_id": job.uuid})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        backup = self.store.get(request.match_info["slug"])
        location = request.query.get("location") or backup.locations[0]
        if (refusal := self._refusal_of(request, location, known=True)) is not None:
            return refusal
        if not _is_bounded(request):
            self.read_from.append(request.http_range.start or 0)
        path = backup.path(location)
        if not path.is_file():
            self.store.look(location)
            return web.Response(status=404)
        for fault in self.faults:
            cuts = fault.cut_after is not None and not _is_bounded(request)
            if cuts and fault.wants(request.path.removeprefix("/")):
                assert fault.cut_after is not None
                return await _cut(request, path, fault.cut_after)
        name = re.sub(r"[^A-Za-z0-9]+", "_", str(backup.description["name"]))
        return web.FileResponse(
            path,
            headers={
                "Content-Type": "application/tar",
                "Content-Disposition": f"attachment; filename={name}.tar",
            },
        )

    async def _delete(self, request: web.Request) -> web.Response:
        backup = self.store.get(request.match_info["slug"])
        options = await _options(request, _REMOVE)
        locations = _listed(options["location"]) if "location" in options else list(backup.paths)
        if (refusal := self._refusal_of(request, *locations)) is not None:
            return refusal
        there = [location for location in locations if location in backup.paths]
        await asyncio.to_thread(self.store.remove, backup.slug, there)
        return _ok({})

    async def _restore(self, request: web.Request) -> web.Response:
        backup = self.store.get(request.match_info["slug"])
        options = await _options(request, _RESTORE)
        location = options.get("location") or backup.locations[0]
        if (refusal := self._refusal_of(request, location, known=True)) is not None:
            return refusal
        password = options.get("password") if backup.protected[location] else None
        if not await asyncio.to_thread(opens, backup.path(location), password):
            raise JobError(f"Invalid password for backup {backup.slug}")
        self.restored.append({"slug": backup.slug, **options})
        job = self._job("backup_manager_partial_restore", backup.slug)
        with job.running():
            job.update(stage="home_assistant")
        return _ok({"job_id": job.uuid})

    def _refusal_of(
        self, request: web.Request, *locations: str, known: bool = False
    ) -> web.Response | None:
        """Return what is answered when a place may not be used. `known`: it may be gone by now."""
        ours = request.headers["Authorization"].endswith(f" {TOKEN}")
        if CLOUD in locations and not ours:
            return _error(403, f"Location {CLOUD} is only available for Home Assistant")
        for name in locations:
            if not known and name not in {LOCAL, CLOUD, *self.mounts}:
                told = f"No mount exists with name '{name}'"
                return _error(404, told, error_key="mount_not_found_error")
        return None


def _socket_of(transport: asyncio.BaseTransport) -> socket.socket:
    there: socket.socket = transport.get_extra_info("socket")
    return there


async def _options(request: web.Request, known: set[str]) -> Json:
    options: Json = await request.json() if request.can_read_body else {}
    for key in options.keys() - known:
        raise JobError(f"extra keys not allowed @ data['{key}']. Got {options[key]!r}")
    return options


def _listed(value: str | list[str | None] | None) -> list[str]:
    return [one or LOCAL for one in (value if isinstance(value, list) else [value])]


def _is_bounded(request: web.Request) -> bool:
    """Tell whether only some bytes are asked for, and not all from one on."""
    return not request.headers.get("Range", "-").endswith("-")


async def _cut(request: web.Request, path: Path, after: int) -> web.StreamResponse:
    """Announce the archive, whole or from somewhere on, send a part of that and cut the
    connection.
    """
    about, start = path.stat(), request.http_range.start
    # As aiohttp's `FileResponse` does.
    headers = {"Content-Type": "application/tar"}
    headers["Etag"] = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
    if start is not None:
        headers["Content-Range"] = f"bytes {start}-{about.st_size - 1}/{about.st_size}"
    response = web.StreamResponse(status=200 if start is None else 206, headers=headers)
    response.content_length = about.st_size - (start or 0)
    await response.prepare(request)
    await response.write(path.read_bytes()[start or 0 : after])
    if request.transport is not None:
        request.transport.abort()
    return response


def _ok(data: Json) -> web.Response:
    return web.json_response({"result": "ok", "data": data})


def _error(status: int, message: str, **more: str) -> web.Response:
    return web.json_response({"result": "error", "message": message, **more}, status=status)


__all__ = ["APP_TOKEN", "CLOUD", "LOCAL", "TOKEN", "Supervisor"]
