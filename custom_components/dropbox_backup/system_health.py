"""What the System information page says of Dropbox Backup."""

from typing import Any  # values, or what Home Assistant awaits for them

from homeassistant.components import system_health
from homeassistant.core import HomeAssistant, callback

from .const import DOMAIN
from .dropbox_api import hosts


@callback
def async_register(hass: HomeAssistant, register: system_health.SystemHealthRegistration) -> None:
    """Take part in the page."""
    register.async_register_info(system_health_info, f"/config/integrations/integration/{DOMAIN}")


async def system_health_info(
    hass: HomeAssistant,
) -> dict[str, Any]:
    """Return how many accounts there are, and whether Dropbox can be reached."""
    return {
        "accounts": len(hass.config_entries.async_entries(DOMAIN)),
        "accounts_loaded": len(hass.config_entries.async_loaded_entries(DOMAIN)),
        "can_reach_dropbox": system_health.async_check_can_reach_url(
            hass, f"https://{hosts.api()}"
        ),
        "can_reach_dropbox_files": system_health.async_check_can_reach_url(
            hass, f"https://{hosts.content()}"
        ),
    }
