"""Backups, as the Backups page of Home Assistant makes, lists and restores them."""

import asyncio
from collections.abc import Callable, Sequence
import contextlib
import json
from pathlib import Path
import tarfile

from tests.support.home_assistant.client import ApiError, Client, JsonObject
from tests.support.home_assistant.process import HomeAssistant

LOCAL = "backup.local"

# Both depend on the size of the backup; these do for tens of gigabytes.
CREATE_TIMEOUT = 1800.0
RESTORE_TIMEOUT = 1800.0


class BackupError(Exception):
    """Home Assistant could not make or restore a backup."""


class Backups:
    """The backups of one Home Assistant."""

    def __init__(self, home: HomeAssistant, client: Client) -> None:
        self._home = home
        self._client = client

    async def agents(self) -> list[str]:
        """Return the ids of the locations that a backup can be sent to."""
        info = await self._client.ws("backup/agents/info")
        return [agent["agent_id"] for agent in info["agents"]]

    async def info(self) -> JsonObject:
        """Return the list of backups and the state of the backup manager."""
        info: JsonObject = await self._client.ws("backup/info")
        return info

    async def list(self) -> dict[str, JsonObject]:
        """Return all backups by their id. Raises `BackupError` if a location has no answer."""
        info = await self.info()
        if info["agent_errors"]:
            raise BackupError(str(info["agent_errors"]))
        return {backup["backup_id"]: backup for backup in info["backups"]}

    async def details(self, backup_id: str) -> JsonObject | None:
        """Return one backup as its locations know it now, or nothing."""
        details = await self._client.ws("backup/details", backup_id=backup_id)
        backup: JsonObject | None = details["backup"]
        return backup

    async def create(
        self,
        name: str,
        *,
        agents: Sequence[str] = (LOCAL,),
        password: str | None = None,
        on_event: Callable[[JsonObject], None] | None = None,
    ) -> str:
        """Make a backup, wait until Home Assistant is done with it, and return its id.

        `on_event` is told of each stage. Raises `BackupError`.
        """
        request: JsonObject = {"agent_ids": list(agents), "name": name}
        if password is not None:
            request["password"] = password
        return await self._create("backup/generate", request, on_event)

    async def create_automatic(self) -> str:
        """Make a backup as the schedule does, by the settings of `configure`."""
        return await self._create("backup/generate_with_automatic_settings", {})

    async def _create(
        self,
        command: str,
        request: JsonObject,
        on_event: Callable[[JsonObject], None] | None = None,
    ) -> str:
        before = set(await self.list())
        async with self._client.subscribe("backup/subscribe_events") as events:
            await self._client.ws(command, **request)
            async with asyncio.timeout(CREATE_TIMEOUT):
                await _completed(events, on_event)
        (created,) = set(await self.list()) - before
        return created

    async def delete(self, backup_id: str) -> None:
        """Delete a backup in all its locations: Home Assistant knows no other way."""
        answer = await self._client.ws("backup/delete", backup_id=backup_id)
        if answer["agent_errors"]:
            raise BackupError(str(answer["agent_errors"]))

    async def configure(self, **settings: object) -> None:
        """Change the settings of automatic backups."""
        await self._client.ws("backup/config/update", **settings)

    async def download(
        self, backup_id: str, agent: str, to: Path, *, password: str | None = None
    ) -> int:
        """Download a backup from one location and return its length in bytes."""
        params = {"agent_id": agent} | ({} if password is None else {"password": password})
        return await self._client.download(f"/api/backup/download/{backup_id}", to, **params)

    def local_file(self, backup_id: str) -> Path:
        """Return the archive of a local backup. Raises `BackupError` if there is none."""
        for path in (self._home.config / "backups").glob("*.tar"):
            if _id_of(path) == backup_id:
                return path
        raise BackupError(f"no local file holds backup {backup_id}")

    async def restore(self, backup_id: str, agent: str, *, password: str | None = None) -> None:
        """Restore a backup, and wait until Home Assistant runs again with what was in it.

        Raises `BackupError` if it refuses or fails, `StartError` if it does not come back.
        """
        starts = self._home.starts
        request: JsonObject = {"backup_id": backup_id, "agent_id": agent}
        if password is not None:
            request["password"] = password
        try:
            # Home Assistant may be gone before it has answered.
            with contextlib.suppress(ConnectionError):
                await self._client.ws("backup/restore", **request)
        except ApiError as error:
            raise BackupError(f"restore was refused: {error}") from error
        await self._home.wait_until_running(starts=starts + 2, within=RESTORE_TIMEOUT)
        last = (await self.info())["last_action_event"]
        if last is None or (last["manager_state"], last["state"]) != (
            "restore_backup",
            "completed",
        ):
            raise BackupError(f"restore ended with {last}")


async def _completed(
    events: asyncio.Queue[JsonObject], on_event: Callable[[JsonObject], None] | None
) -> None:
    while True:
        event = await events.get()
        if on_event is not None:
            on_event(event)
        if event["manager_state"] != "create_backup" or "state" not in event:
            continue  # idle, or the progress of one location
        if event["state"] == "failed":
            raise BackupError(f"Home Assistant failed to make a backup: {event['reason']}")
        if event["state"] == "completed":
            return


def _id_of(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        for member in tar:
            if Path(member.name) == Path("backup.json") and (file := tar.extractfile(member)):
                return str(json.load(file)["slug"])
    raise BackupError(f"{archive} is no backup")
