"""Looking at a folder of many backups."""

import asyncio
from collections.abc import Awaitable, Callable
import os
from pathlib import Path
import time
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.contenders.job import Job, core_auth, lead_to_local_dropbox, session, token_of
from benchmarks.measure import Figures, loop_watched, measured
from benchmarks.pi import as_on_a_pi
from tests.support.dropbox_server import ControlClient


async def folder_with_us(job: Job, figures: Figures) -> None:
    """List our folder of `job.size` backups, cold and warm, make a plan, and add a backup.

    `more` has of each the seconds and the requests. What is measured as a whole is the first
    listing together with the plan: that is what happens without a pause for anybody else.
    """
    from benchmarks.seed import OWNER, backups
    from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
    from custom_components.dropbox_backup.dropbox_api.types import UploadCommit
    from custom_components.dropbox_backup.dropbox_api.upload.source import FileSource
    from custom_components.dropbox_backup.dropbox_api.upload.upload import upload
    from custom_components.dropbox_backup.sync.decide.models import (
        LocalBackup,
        Policy,
        RemoteBackup,
    )
    from custom_components.dropbox_backup.sync.decide.plan import make_plan
    from custom_components.dropbox_backup.sync.remote.folder import BackupFolder
    from custom_components.dropbox_backup.sync.remote.listing import remote_file

    as_on_a_pi((job.options or {}).get("pi", 1.0))
    note = _Note(figures)
    async with session() as http:
        client = DropboxClient(http, token_of(job))
        folder = BackupFolder(client, job.path, OWNER, lambda _: None)
        local = [LocalBackup(one, "backup.local") for one in backups(job.size + 1)]
        with measured(figures):
            async with loop_watched(figures, job.watch):
                await note("cold", folder.refresh)
                await asyncio.sleep(0)
                begun = time.perf_counter()
                # Off the loop, as the reconciler does it.
                plan = await asyncio.to_thread(
                    make_plan, local, folder.backups, Policy(keep=0), OWNER
                )
                figures.more["plan"] = time.perf_counter() - begun
                await asyncio.sleep(0)
                await note("warm", folder.refresh)
        assert (len(folder.backups), len(plan.upload)) == (job.size, 1)
        backup = plan.upload[0].backup

        async def add() -> None:
            source = FileSource(Path(job.file), Path(job.file).stat().st_size)  # noqa: ASYNC240
            stored = await upload(client, source, UploadCommit(folder.path_for(backup)))
            await folder.insert(RemoteBackup(backup, remote_file(stored), owner=OWNER))

        await note("new", add)
        assert len(folder.backups) == job.size + 1


async def page_with_core(job: Job, figures: Figures) -> None:
    """List `job.size` backups twice with the agent of Home Assistant's own `dropbox`."""
    from homeassistant.components.dropbox.backup import DropboxBackupAgent
    from python_dropbox_api import DropboxAPIClient, client as library

    lead_to_local_dropbox(library)
    note = _Note(figures)
    async with session() as http:
        api = DropboxAPIClient(core_auth(job, http))
        # All that the agent wants of Home Assistant.
        entry = SimpleNamespace(title="Dropbox", unique_id="1", runtime_data=api)
        agent = DropboxBackupAgent(cast("Any", None), cast("Any", entry))
        for name in ("cold", "warm"):
            found = await note(name, agent.async_list_backups)
            assert len(found) == job.size


class _Note:
    """Takes note of how long something took, and of how many requests it made."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        url = f"https://{os.environ['DROPBOX_API_HOST']}"
        self._control = ControlClient(url, os.environ["REQUESTS_CA_BUNDLE"])

    async def __call__[T](self, name: str, do: Callable[[], Awaitable[T]]) -> T:
        await asyncio.to_thread(self._control.clear_log)
        begun = time.perf_counter()
        result = await do()
        self._figures.more[name] = time.perf_counter() - begun
        log = await asyncio.to_thread(self._control.log)
        self._figures.more[f"{name} requests"] = len(log)
        return result
