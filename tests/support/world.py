"""The demo's world: a local Dropbox and a real Home Assistant that is signed in to it."""

from collections.abc import AsyncGenerator
import contextlib
from dataclasses import dataclass
from pathlib import Path

from tests.support.home_assistant import (
    Backups,
    Client,
    Flows,
    HomeAssistant,
    JsonObject,
    free_port,
    until,
)
from tests.support.local_dropbox import LocalDropbox

DOMAIN = "dropbox_backup"
INTEGRATION = Path(__file__).parents[2] / "custom_components" / DOMAIN

# How the unique ids of our entities end, in the order in which the demo shows them.
KEYS = (
    "status",
    "problem",
    "upload_progress",
    "waiting",
    "last_upload",
    "last_attempt",
    "newest_backup",
    "last_backup",
    "next_check",
    "backups_in_dropbox",
    "backups_size",
    "space_used",
    "space_free",
    "back_up_now",
    "upload_now",
    "uploads",
    "backup",
)

_SOON = 30.0


class WorldError(Exception):
    """The world is not as a user would find it."""


@dataclass(frozen=True, slots=True)
class World:
    """Both programs, and a user in front of Home Assistant's frontend."""

    dropbox: LocalDropbox
    home: HomeAssistant
    client: Client
    backups: Backups
    flows: Flows

    async def sign_in(self) -> JsonObject:
        """Set the integration up as a user does, and return the config entry.

        Raises `WorldError` where the flow takes a turn that no user could follow.
        """
        await self.add_credentials()
        folder = await self.authorize()
        done = await self.flows.answer(folder, **defaults(folder))
        if done["type"] != "create_entry":
            raise WorldError(f"the config flow ended with {done}")
        (entry,) = await self.client.config_entries(DOMAIN)
        if entry["state"] != "loaded":
            raise WorldError(f"the config entry is {entry['state']}: {entry['reason']}")
        return entry

    async def add_credentials(self) -> None:
        """Give Home Assistant the key and secret of the app that the local Dropbox knows."""
        await self.flows.add_credentials(
            DOMAIN, client_id=self.dropbox.app_key, client_secret=self.dropbox.app_secret
        )

    async def authorize(self) -> JsonObject:
        """Begin the config flow, press Allow at the local Dropbox, return the next step's form."""
        step = await self.flows.sign_in(await self.flows.add(DOMAIN))
        if step["type"] != "form":
            raise WorldError(f"after signing in, the config flow went to {step}")
        return step

    async def entities(self) -> dict[str, str]:
        """Return the entity ids of the integration by their keys, as far as they are enabled."""
        registered = await self.client.entities(DOMAIN)
        found = {
            key: entry["entity_id"]
            for unique_id, entry in registered.items()
            if entry["disabled_by"] is None and (key := _key(unique_id)) is not None
        }
        return {key: found[key] for key in KEYS if key in found}

    async def agent(self) -> str:
        """Return the id under which Home Assistant's backups know the integration.

        Home Assistant asks for locations a little after it has loaded the integration.
        """

        async def ours() -> list[str]:
            return [one for one in await self.backups.agents() if one.startswith(f"{DOMAIN}.")]

        try:
            (agent,) = await until(ours, within=_SOON)
        except TimeoutError:
            raise WorldError("Home Assistant has no location for backups in Dropbox") from None
        return agent


def defaults(form: JsonObject) -> JsonObject:
    """Return what a user sends who changes nothing in a form."""
    return {field["name"]: field["default"] for field in form["data_schema"] if "default" in field}


def _key(unique_id: str) -> str | None:
    return next((key for key in KEYS if unique_id.endswith(f"_{key}")), None)


@contextlib.asynccontextmanager
async def world(
    directory: Path, *, port: int | None = None, line_mbit: float | None = None
) -> AsyncGenerator[World]:
    """Start both programs on the loopback interface; stop them at the end.

    directory: all that they write goes there. line_mbit: the line to Dropbox, in Mbit/s.
    """
    port = port or free_port()
    callback = f"http://127.0.0.1:{port}/auth/external/callback"
    async with contextlib.AsyncExitStack() as stack:
        dropbox = await stack.enter_async_context(
            LocalDropbox(directory / "dropbox", redirect_uri=callback, line_mbit=line_mbit)
        )
        home = await stack.enter_async_context(
            HomeAssistant(
                directory / "home_assistant",
                integration=INTEGRATION,
                environment=dropbox.environment,
                port=port,
            )
        )
        client = await stack.enter_async_context(Client(home.url, home.account.token))
        flows = Flows(client, ca_bundle=dropbox.ca_bundle)
        yield World(dropbox, home, client, Backups(home, client), flows)
