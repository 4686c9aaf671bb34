"""Sentences that are put together here: whatever a text of a dialog can't choose by itself."""

from collections.abc import Mapping

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations, async_get_translations

from .const import DOMAIN

_CATEGORY = "common"
_PREFIX = f"component.{DOMAIN}.{_CATEGORY}."


async def common_texts(hass: HomeAssistant) -> Mapping[str, str]:
    """Return the texts of `common` in the translations, in Home Assistant's language."""
    texts = await async_get_translations(hass, hass.config.language, _CATEGORY, {DOMAIN})
    return {key.removeprefix(_PREFIX): text for key, text in texts.items()}


@callback
def cached_texts(hass: HomeAssistant) -> Mapping[str, str]:
    """Return the same at once. Home Assistant has them ready while we are loaded."""
    texts = async_get_cached_translations(hass, hass.config.language, _CATEGORY, DOMAIN)
    return {key.removeprefix(_PREFIX): text for key, text in texts.items()}
