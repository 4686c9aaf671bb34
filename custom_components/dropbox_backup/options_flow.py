"""The dialog of the options."""

from typing import Any

from homeassistant.config_entries import ConfigFlowResult, OptionsFlow

from .coordinator import DropboxBackupConfigEntry
from .options import Options, as_on_the_page, as_stored, errors_in, options_page


class DropboxBackupOptionsFlow(OptionsFlow):
    """What to upload, what to keep, and what uploads may take of the line. The worker hears of a
    change by the entry's update listener, and is not begun anew.
    """

    config_entry: DropboxBackupConfigEntry

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for all options on one page."""
        options: Options = self.config_entry.options
        errors: dict[str, str] = {}
        if user_input is not None:
            options = as_stored(user_input, options)
            errors = errors_in(options)
            if not errors:
                return self.async_create_entry(data=options)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                options_page(errors), as_on_the_page(options)
            ),
            errors=errors,
        )
