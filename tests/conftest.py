"""Fixtures that every test may use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
import os
from pathlib import Path
import random
from typing import Any

from homeassistant.components.backup import async_get_manager
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.helpers.entity import Entity
from homeassistant.setup import async_setup_component
from hypothesis import HealthCheck, settings
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator, WebSocketGenerator

# Home Assistant looks for custom integrations in the first `custom_components` that is imported,
# and the pytest plugin has one of its own.
import custom_components  # noqa: F401
from tests.support.backup_page import BackupPage, OpenPage
from tests.support.before_home_assistant import PORT, TLS
from tests.support.dropbox_server import DropboxServer
from tests.support.supervisor import JobError, Supervisor
from tests.support.waits import set_waits

# There is time for more than `scripts/test` does.
THOROUGH = os.environ.get("THOROUGH") == "true"

# Where pytest's cache keeps the seed of the last run.
SEED = "dropbox_backup/seed"

# A busy machine is no failure; and what failed at random can be repeated.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be as thorough as it has time for. `scripts/test` takes what comes first."""
    faults = parser.getgroup("faults", "tests/faults")
    faults.addoption(
        "--kills",
        type=int,
        default=30 if THOROUGH else 10,
        help="how often to kill Home Assistant at a random moment (10, with THOROUGH=true 30)",
    )
    faults.addoption(
        "--every-fault",
        action="store_true",
        default=THOROUGH,
        help="try every fault at every request, not only some (THOROUGH=true does)",
    )
    faults.addoption("--seed", type=int, help="repeat what was drawn at random")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of everything random: for tests that failed, the same as before."""
    if hasattr(config, "workerinput"):  # one of several processes
        config.option.seed = config.workerinput["seed"]
        return
    if config.getoption("--seed") is None:
        config.option.seed = random.SystemRandom().randrange(1 << 32)
        if config.getoption("lf", default=False) and config.cache:
            config.option.seed = config.cache.get(SEED, config.option.seed)
    if config.pluginmanager.has_plugin("cacheprovider") and config.cache:
        config.cache.set(SEED, config.option.seed)


def pytest_report_header(config: pytest.Config) -> str:
    """Tell how to repeat what follows."""
    return f"drawn at random: repeat with --seed {config.option.seed}"


@pytest.fixture(autouse=True)
async def enable_event_loop_debug() -> None:
    """Replace the plugin's: asyncio's debug mode takes more time than everything else together.

    It finds what is called from a wrong thread.
    """
    asyncio.get_running_loop().set_debug(THOROUGH)


@pytest.fixture(autouse=True)
def _our_integration_is_found(request: pytest.FixtureRequest) -> None:
    """Let Home Assistant find the integration, in tests that have a Home Assistant."""
    if "hass" in request.fixturenames:
        request.getfixturevalue("enable_custom_integrations")


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    """Give Home Assistant an empty folder of its own, so that its backups are real and small."""
    config = tmp_path / "config"
    config.mkdir()
    return str(config)


@pytest.fixture
async def dropbox_server(tmp_path: Path, socket_enabled: None) -> AsyncIterator[DropboxServer]:
    """Run an empty local Dropbox with one app and one account, at the hosts that the SDK knows."""
    async with DropboxServer(tmp_path / "dropbox", PORT, tls_dir=TLS) as server:
        yield server


@asynccontextmanager
async def home_assistant_os(
    hass: HomeAssistant, directory: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> AsyncIterator[Supervisor]:
    """Run a Supervisor, and Home Assistant's integration of it; `there`: when that starts."""

    @callback
    def push(event: dict[str, Any]) -> None:
        # Supervisor sends it over a WebSocket, whose command does just this.
        async_dispatcher_send(hass, "supervisor_event", event)

    async def command(name: str) -> None:
        # So are these.
        if "backup" not in hass.config.components:
            return
        manager = async_get_manager(hass)
        actions = {
            "backup/start": manager.async_pre_backup_actions,
            "backup/end": manager.async_post_backup_actions,
        }
        try:
            await actions[name]()
        except HomeAssistantError as err:
            raise JobError(str(err)) from err

    # A Home Assistant that is still to be set up would first have Supervisor updated.
    monkeypatch.setattr("homeassistant.components.hassio.async_is_onboarded", lambda _: True)
    async with Supervisor(directory, push, command, grace=0.5) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        if not there:
            await running.kill()
        assert await async_setup_component(hass, "hassio", {})
        await hass.async_block_till_done()
        yield running


@pytest.fixture
async def supervisor(
    hass: HomeAssistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, socket_enabled: None
) -> AsyncIterator[Supervisor]:
    """Run a Supervisor, and Home Assistant's integration of it."""
    directory = tmp_path / "supervisor"
    async with home_assistant_os(hass, directory, monkeypatch, there=True) as running:
        yield running


@pytest.fixture
async def late_supervisor(
    hass: HomeAssistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, socket_enabled: None
) -> AsyncIterator[Supervisor]:
    """Have a Supervisor that is still to be started when Home Assistant's integration of it is."""
    # Home Assistant asks for its locations in a task whose error nobody takes.
    hass.loop.set_exception_handler(lambda *_: None)
    directory = tmp_path / "supervisor"
    async with home_assistant_os(hass, directory, monkeypatch, there=False) as running:
        yield running


@pytest.fixture
def supervisor_breaks_off(hass: HomeAssistant) -> None:
    """Let downloads from Supervisor break off: its client in Home Assistant 2026.10 forgets to
    close what broke.
    """
    hass.loop.set_exception_handler(lambda *_: None)


@pytest.fixture
def open_page(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, hass_ws_client: WebSocketGenerator
) -> OpenPage:
    """Return what opens Home Assistant's page of backups, once everything is set up."""
    return partial(BackupPage.open, hass, hass_client, hass_ws_client)


@pytest.fixture
def quick_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker begin at once, and publish every step of an upload."""
    set_waits(monkeypatch, debounce=0.01, between_snapshots=0.0)


@pytest.fixture
def all_entities_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable also the entities that a user has to enable first."""
    monkeypatch.setattr(Entity, "entity_registry_enabled_default", True)
