"""System information says whether Dropbox can be reached."""

from homeassistant.components.system_health import DATA_SYSTEM_HEALTH_PLATFORMS
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import get_system_health_info

from custom_components.dropbox_backup.const import DOMAIN
from tests.support.account import set_up_entry
from tests.support.dropbox_server import DropboxServer

pytestmark = pytest.mark.usefixtures("quick_worker")


async def test_system_information_tells_accounts_and_whether_dropbox_is_there(
    hass: HomeAssistant, dropbox_server: DropboxServer
) -> None:
    await async_setup_component(hass, "system_health", {})
    await set_up_entry(hass, dropbox_server)

    info = await get_system_health_info(hass, DOMAIN)

    assert (info["accounts"], info["accounts_loaded"]) == (1, 1)
    assert await info["can_reach_dropbox"] == "ok"
    assert await info["can_reach_dropbox_files"] == "ok"

    registration = hass.data[DATA_SYSTEM_HEALTH_PLATFORMS]
    platforms = await registration.async_get_platforms()
    assert platforms[DOMAIN].manage_url == "/config/integrations/integration/dropbox_backup"

    await dropbox_server.stop()
    info = await get_system_health_info(hass, DOMAIN)
    assert (await info["can_reach_dropbox"])["error"] == "unreachable"
    assert (await info["can_reach_dropbox_files"])["error"] == "unreachable"
