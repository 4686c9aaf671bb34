"""The user's own Dropbox app: how it is made, and how to sign in with it."""

from typing import Any, override

from aiohttp import hdrs
from homeassistant.components.application_credentials import ClientCredential
from homeassistant.core import HomeAssistant
from homeassistant.helpers.config_entry_oauth2_flow import (
    AUTH_CALLBACK_PATH,
    AbstractOAuth2Implementation,
    LocalOAuth2ImplementationWithPkce,
    async_get_redirect_uri,
)
from homeassistant.helpers.http import current_request
from homeassistant.helpers.network import NoURLAvailableError, get_url

from .const import SCOPES
from .dropbox_api.sdk import session as sdk_session

_UNKNOWN_ADDRESS = "https://YOUR_HOME_ASSISTANT"


class DropboxImplementation(LocalOAuth2ImplementationWithPkce):
    """Signs in with one app of the user's.

    https://developers.dropbox.com/oauth-guide
    """

    def __init__(self, hass: HomeAssistant, auth_domain: str, credential: ClientCredential) -> None:
        """Nothing is asked yet."""
        super().__init__(
            hass,
            auth_domain,
            credential.client_id,
            f"https://{sdk_session.WEB_HOST}/oauth2/authorize",
            f"https://{sdk_session.API_HOST}/oauth2/token",
            credential.client_secret,
        )
        self._name = credential.name or credential.client_id

    @property
    @override
    def name(self) -> str:
        """The name that the user gave to the app, to tell several apart."""
        return self._name

    @property
    @override
    def extra_authorize_data(self) -> dict[str, Any]:
        """Ask for a sign-in that lasts.

        No `scope`: then Dropbox grants what is ticked for the app, and the config flow names what
        is missing. Asking for what is not ticked ends on an error page, and nobody comes back from
        there.
        """
        return {
            "token_access_type": "offline",  # or there is no refresh token
            # Without it, a browser that is signed in to Dropbox is sent straight back: nobody could
            # choose another account.
            "force_reapprove": "true",
            **super().extra_authorize_data,
        }


async def async_get_auth_implementation(
    hass: HomeAssistant, auth_domain: str, credential: ClientCredential
) -> AbstractOAuth2Implementation:
    """Return how to sign in with one app."""
    return DropboxImplementation(hass, auth_domain, credential)


def console_url() -> str:
    """Return where Dropbox lists the user's apps."""
    return f"https://{sdk_session.WEB_HOST}/developers/apps"


async def async_get_description_placeholders(hass: HomeAssistant) -> dict[str, str]:
    """Return what the dialog for the app's key and secret has to name."""
    return {
        "console_url": console_url(),
        # A list within the list of the steps.
        "permissions": "\n".join(f"   - `{scope}`" for scope in SCOPES),
        "redirect_url": _redirect_url(hass),
    }


def _redirect_url(hass: HomeAssistant) -> str:
    try:
        return async_get_redirect_uri(hass)
    except RuntimeError:  # it only knows in the middle of a config flow
        return f"{_address(hass)}{AUTH_CALLBACK_PATH}"


def _address(hass: HomeAssistant) -> str:
    """Return where the user's browser has Home Assistant: that is where it will come back to."""
    request = current_request.get()
    if request is not None and request.headers.get(hdrs.ORIGIN, "").startswith("http"):
        return request.headers[hdrs.ORIGIN]
    try:
        return get_url(hass)
    except NoURLAvailableError:
        return _UNKNOWN_ADDRESS
