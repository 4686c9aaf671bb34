"""The user's own Dropbox app: how to make it, sign in with it, and correct its key and secret."""

import asyncio
from http import HTTPStatus
import json
import logging
from typing import Any, override
from urllib.parse import urlsplit

from aiohttp import ClientError, hdrs
from homeassistant.components.application_credentials import (
    CONF_AUTH_DOMAIN,
    DATA_COMPONENT,
    ClientCredential,
)
from homeassistant.const import CONF_CLIENT_ID, CONF_CLIENT_SECRET, CONF_DOMAIN, CONF_ID, CONF_NAME
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import OAuth2TokenRequestReauthError
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.config_entry_oauth2_flow import (
    AUTH_CALLBACK_PATH,
    AbstractOAuth2Implementation,
    LocalOAuth2ImplementationWithPkce,
    async_get_redirect_uri,
)
from homeassistant.helpers.http import current_request
from homeassistant.helpers.network import NoURLAvailableError, get_url

from .const import CONF_IMPLEMENTATION, DOMAIN, SCOPES
from .dropbox_api import hosts
from .texts import load_texts

_LOGGER = logging.getLogger(__name__)

_UNKNOWN_ADDRESS = "https://YOUR_HOME_ASSISTANT"
# The only hosts for which Dropbox takes a redirect URI without TLS.
_OWN_COMPUTER = {"localhost", "127.0.0.1"}
# A person waits for the answer.
_LONGEST_CHECK = 10.0
_LONGEST_ANSWER = 64 * 1024


class AppRefusedError(Exception):
    """Dropbox knows no app with this key, or the secret is not the app's."""


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
            f"https://{hosts.web()}/oauth2/authorize",
            f"https://{hosts.api()}/oauth2/token",
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

    @override
    async def async_resolve_external_data(self, external_data: Any) -> dict[str, Any]:
        """Return the token for what came back from Dropbox's page. Raises `AppRefusedError`."""
        try:
            return await super().async_resolve_external_data(external_data)
        except OAuth2TokenRequestReauthError as err:
            # Home Assistant keeps to itself whether the app was refused, or just this code.
            if await self.is_refused():
                raise AppRefusedError from err
            raise

    async def is_refused(self) -> bool:
        """Tell whether Dropbox says that it does not know the app or that its secret is wrong.

        It is asked with a code that can't be good: the app is what it complains of first. False
        also if there is no answer.
        """
        data = {
            "grant_type": "authorization_code",
            "code": "none",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        session = async_get_clientsession(self.hass)
        body = bytearray()
        try:
            async with (
                asyncio.timeout(_LONGEST_CHECK),
                session.post(self.token_url, data=data) as response,
            ):
                if response.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
                    return False
                async for chunk in response.content.iter_chunked(_LONGEST_ANSWER):
                    body += chunk
                    if len(body) > _LONGEST_ANSWER:
                        return False
            answer = json.loads(body)
        except (ClientError, TimeoutError, ValueError, RecursionError) as err:
            _LOGGER.debug("Dropbox does not say whether it knows the app: %r", err)
            return False
        # Dropbox has also put its description behind the code: "invalid_client: Invalid ...".
        return isinstance(answer, dict) and str(answer.get("error")).startswith("invalid_client")


async def async_get_auth_implementation(
    hass: HomeAssistant, auth_domain: str, credential: ClientCredential
) -> AbstractOAuth2Implementation:
    """Return how to sign in with one app."""
    return DropboxImplementation(hass, auth_domain, credential)


# Correcting key and secret


async def replace_app(hass: HomeAssistant, implementation: str, key: str, secret: str) -> str:
    """Store another key and secret instead of those of an implementation; return what Home
    Assistant calls the new one.

    One that a config entry signs in with stays until `forget_unused_app`.
    """
    apps = hass.data[DATA_COMPONENT]
    name = next((item.get(CONF_NAME) for item in _items_of(hass, implementation)), None)
    await forget_unused_app(hass, implementation)
    item = await apps.async_create_item(
        {
            CONF_DOMAIN: DOMAIN,
            CONF_CLIENT_ID: key,
            CONF_CLIENT_SECRET: secret,
            **({CONF_NAME: name} if name else {}),
        }
    )
    return str(item[CONF_ID])


async def forget_unused_app(hass: HomeAssistant, implementation: str) -> None:
    """Delete key and secret of an implementation, unless a config entry signs in with it."""
    entries = hass.config_entries.async_entries(DOMAIN)
    if any(entry.data.get(CONF_IMPLEMENTATION) == implementation for entry in entries):
        return
    for item in _items_of(hass, implementation):
        await hass.data[DATA_COMPONENT].async_delete_item(item[CONF_ID])


def _items_of(hass: HomeAssistant, implementation: str) -> list[dict[str, str]]:
    return [
        item
        for item in hass.data[DATA_COMPONENT].async_items()
        if item[CONF_DOMAIN] == DOMAIN
        and item.get(CONF_AUTH_DOMAIN, item[CONF_ID]) == implementation
    ]


# Texts


def console_url() -> str:
    """Return where Dropbox lists the user's apps."""
    return f"https://{hosts.web()}/developers/apps"


async def async_get_description_placeholders(hass: HomeAssistant) -> dict[str, str]:
    """Return what the dialog for the app's key and secret has to name."""
    shown = await redirect_placeholders(hass)
    # Within the list of the steps: as far to the right as these.
    warning = shown["redirect_warning"].replace("\n", "\n   ")
    return {
        **shown,
        "redirect_warning": warning,
        "permissions": "\n".join(f"   - `{scope}`" for scope in SCOPES),
    }


async def redirect_placeholders(hass: HomeAssistant) -> dict[str, str]:
    """Return where Dropbox lists the app and which address belongs there, with a warning if Dropbox
    will not take it.
    """
    url = _redirect_url(hass)
    warning = ""
    if _will_be_refused(url):
        warning = f"\n\n{(await load_texts(hass)).fill('redirect_refused')}"
    return {"console_url": console_url(), "redirect_url": url, "redirect_warning": warning}


def _will_be_refused(url: str) -> bool:
    """Tell whether Dropbox takes no such redirect URI: it wants https, but on one's own computer.

    https://developers.dropbox.com/oauth-guide
    """
    parts = urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in _OWN_COMPUTER


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
