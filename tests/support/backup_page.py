"""Home Assistant's page of backups, as its frontend talks to Home Assistant."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Self

from aiohttp import FormData
from aiohttp.test_utils import TestClient
from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    MockHAClientWebSocket,
    WebSocketGenerator,
)

from custom_components.dropbox_backup.const import DOMAIN
from tests.support.account import wait_until_idle

type Json = dict[str, Any]  # Any: that is what JSON is


class BackupPage:
    """The page, opened by an administrator."""

    def __init__(
        self,
        hass: HomeAssistant,
        http: TestClient[Any, Any],
        commands: MockHAClientWebSocket,
        connect: WebSocketGenerator,
    ) -> None:
        self.http = http
        self._hass = hass
        self._commands = commands
        self._connect = connect

    @classmethod
    async def open(
        cls, hass: HomeAssistant, http: ClientSessionGenerator, connect: WebSocketGenerator
    ) -> Self:
        """Open it. Everything must be set up: Home Assistant's test client takes no more views."""
        return cls(hass, await http(), await connect(hass), connect)

    async def send(self, command: str, **data: object) -> Json:
        """Send a command; return the answer, good or bad."""
        await self._commands.send_json_auto_id({"type": command, **data})
        return dict(await self._commands.receive_json())

    async def ask(self, command: str, **data: object) -> Any:
        """Send a command that succeeds; return its result."""
        answer = await self.send(command, **data)
        assert answer["success"], answer
        return answer["result"]

    async def make(self, *agent_ids: str, **options: object) -> list[Json]:
        """Make a backup at these locations; return all events up to the end, after which our
        workers have looked at it as well.
        """
        events = await self._connect()
        await events.send_json_auto_id({"type": "backup/subscribe_events"})
        assert (await events.receive_json())["event"] == {"manager_state": "idle"}
        assert (await events.receive_json())["success"]
        options = {"include_database": False, "name": "Nightly", **options}
        await self.ask("backup/generate", agent_ids=agent_ids, **options)
        heard: list[Json] = []
        while not heard or heard[-1] != {"manager_state": "idle"}:
            heard.append((await events.receive_json())["event"])
        await events.close()
        for entry in self._hass.config_entries.async_loaded_entries(DOMAIN):
            await wait_until_idle(self._hass, entry)
        return heard

    async def backups(self) -> dict[str, Json]:
        """Return the backups that the page shows, by id."""
        return {one["backup_id"]: one for one in (await self.ask("backup/info"))["backups"]}

    async def the_backup(self) -> Json:
        """Return the only backup there is."""
        (backup,) = (await self.backups()).values()
        return backup

    async def download(
        self, backup_id: str, agent_id: str, password: str | None = None
    ) -> tuple[int, bytes]:
        """Download a backup; return status and bytes. Raises aiohttp's error if it breaks off."""
        query = {"agent_id": agent_id} | ({"password": password} if password else {})
        response = await self.http.get(f"/api/backup/download/{backup_id}", params=query)
        return response.status, await response.read()

    async def upload(self, archive: bytes, *agent_ids: str) -> str:
        """Upload an archive to locations; return its id."""
        form = FormData()
        form.add_field("file", archive, filename="backup.tar", content_type="application/x-tar")
        response = await self.http.post(
            "/api/backup/upload", params=[("agent_id", one) for one in agent_ids], data=form
        )
        assert response.status == HTTPStatus.CREATED, await response.text()
        return str((await response.json())["backup_id"])


type OpenPage = Callable[[], Awaitable[BackupPage]]


def last_result(events: list[Json]) -> tuple[str, str | None]:
    """Return how making a backup ended: state and reason."""
    event = events[-2]
    assert event["manager_state"] == "create_backup"
    return event["state"], event["reason"]


def own_agents(hass: HomeAssistant) -> list[str]:
    """Return the ids of our locations."""
    prefix = f"{DOMAIN}."
    return [one for one in async_get_manager(hass).backup_agents if one.startswith(prefix)]
