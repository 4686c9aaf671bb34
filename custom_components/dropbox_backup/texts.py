"""Sentences that are put together here: whatever a text of a dialog can't choose by itself."""

from collections.abc import Mapping

from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations

from .const import DOMAIN

_CATEGORY = "common"


async def common_texts(hass: HomeAssistant) -> Mapping[str, str]:
    """Return the texts of `common` in the translations, in Home Assistant's language."""
    texts = await async_get_translations(hass, hass.config.language, _CATEGORY, {DOMAIN})
    prefix = f"component.{DOMAIN}.{_CATEGORY}."
    return {key.removeprefix(prefix): text for key, text in texts.items()}
