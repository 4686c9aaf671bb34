"""The part of the config flow that signs in with the user's own Dropbox app."""

from collections.abc import Mapping
import logging
from typing import Any, override

from homeassistant.config_entries import ConfigFlowResult, FlowType
from homeassistant.const import CONF_CLIENT_ID, CONF_CLIENT_SECRET
from homeassistant.core import callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.config_entry_oauth2_flow import AbstractOAuth2FlowHandler
from homeassistant.helpers.selector import TextSelector, TextSelectorConfig, TextSelectorType
import voluptuous as vol

from .application_credentials import (
    AppRefusedError,
    DropboxImplementation,
    console_url,
    forget_unused_app,
    redirect_placeholders,
    replace_app,
)
from .const import DOMAIN

_LOGGER = logging.getLogger(__name__)

# What Home Assistant's part of the flow ends with: in our words, with what to do about it.
IN_OUR_WORDS = {
    "authorize_url_timeout",
    "missing_credentials",
    "no_url_available",
    "oauth_error",
    "oauth_failed",
    "oauth_implementation_unavailable",
    "oauth_timeout",
    "oauth_unauthorized",
    "user_rejected_authorize",
}
_KEY_AND_SECRET = vol.Schema(
    {
        vol.Required(CONF_CLIENT_ID): TextSelector(),
        vol.Required(CONF_CLIENT_SECRET): TextSelector(
            TextSelectorConfig(type=TextSelectorType.PASSWORD)
        ),
    }
)


class SignInFlow(AbstractOAuth2FlowHandler):
    """Signs in with an app that Dropbox knows and that may do what we need; where it is not so, the
    user can mend it on the way. It ends in `async_oauth_create_entry`.
    """

    DOMAIN = DOMAIN

    def __init__(self) -> None:
        """Nobody has signed in yet."""
        super().__init__()
        # What Home Assistant calls the app to sign in with again.
        self._app = ""
        self._app_asked_about = ("", "")
        self._refused_apps: set[str] = set()
        self._missing: tuple[str, ...] = ()

    @property
    @override
    def logger(self) -> logging.Logger:
        """The logger that Home Assistant's part of the flow uses."""
        return _LOGGER

    @callback
    @override
    def async_abort(
        self,
        *,
        reason: str,
        description_placeholders: Mapping[str, str] | None = None,
        translation_domain: str | None = None,
        next_flow: tuple[FlowType, str] | None = None,
    ) -> ConfigFlowResult:
        """End without an entry, and say what to do about it."""
        if reason in IN_OUR_WORDS:
            translation_domain = DOMAIN
        return super().async_abort(
            reason=reason,
            description_placeholders=description_placeholders,
            translation_domain=translation_domain,
            next_flow=next_flow,
        )

    @override
    async def async_step_auth(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Go to Dropbox's page, but with an app that Dropbox knows: for others it has a page from
        where nobody comes back.
        """
        if user_input is None:
            self._app = self.flow_impl.domain
            if await self._app_is_refused():
                return await self.async_step_app()
        result = await super().async_step_auth(user_input)
        if result["type"] is FlowResultType.EXTERNAL_STEP:
            result["description_placeholders"] = await redirect_placeholders(self.hass)
        return result

    @override
    async def async_step_creation(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take what came back from Dropbox's page."""
        try:
            return await super().async_step_creation(user_input)
        except AppRefusedError:
            return await self.async_step_app()

    async def _sign_in_again(self) -> ConfigFlowResult:
        """Go to Dropbox with the same app: another one could have another folder. The user is only
        asked for one if it is gone.
        """
        return await self.async_step_pick_implementation({"implementation": self._app})

    # Correcting key and secret of the app

    async def async_step_app(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for key and secret again, and store them instead of those that Dropbox refused."""
        app = self._implementation
        # Without an error, showing the same form again would look as if nothing had happened.
        errors = {"base": "still_refused"} if self._refused_apps else {}
        if user_input is not None:
            given = {field: text.strip() for field, text in user_input.items()}
            errors = {field: "empty" for field, text in given.items() if not text}
            if not errors:
                self._refused_apps.add(app.domain)
                self._app = await replace_app(
                    self.hass, app.domain, given[CONF_CLIENT_ID], given[CONF_CLIENT_SECRET]
                )
                return await self._sign_in_again()
        return self.async_show_form(
            step_id="app",
            data_schema=self.add_suggested_values_to_schema(
                _KEY_AND_SECRET, user_input or {CONF_CLIENT_ID: app.client_id}
            ),
            errors=errors,
            description_placeholders={"console_url": console_url(), "app": app.name},
        )

    async def _app_is_refused(self) -> bool:
        """Ask Dropbox, once for each key and secret: entered again, they are used."""
        app = self._implementation
        key_and_secret = (app.client_id, app.client_secret)
        if key_and_secret == self._app_asked_about:
            return False
        self._app_asked_about = key_and_secret
        return await app.is_refused()

    async def _forget_refused_apps(self) -> None:
        """Delete the keys and secrets that were replaced and that no config entry uses any more."""
        for app in self._refused_apps:
            await forget_unused_app(self.hass, app)

    @property
    def _implementation(self) -> DropboxImplementation:
        app = self.flow_impl
        assert isinstance(app, DropboxImplementation)  # our domain has no others
        return app

    # Giving more permissions to the app

    async def async_step_permissions(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Sign in again, after the user has ticked what was missing."""
        if user_input is not None:
            return await self._sign_in_again()
        return self.async_show_form(
            step_id="permissions",
            description_placeholders={
                "console_url": console_url(),
                "permissions": "\n".join(f"- `{scope}`" for scope in self._missing),
            },
        )

    async def _ask_for_permissions(self, missing: tuple[str, ...]) -> ConfigFlowResult:
        self._missing = missing
        return await self.async_step_permissions()
