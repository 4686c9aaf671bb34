"""Access tokens for the Dropbox client: of a config entry, or of a sign-in that is none yet."""

import asyncio
import re
from typing import Any

from aiohttp import ClientError
from homeassistant.const import CONF_ACCESS_TOKEN, CONF_TOKEN
from homeassistant.exceptions import OAuth2TokenRequestReauthError
from homeassistant.helpers.config_entry_oauth2_flow import OAuth2Session

from .dropbox_api.calls import GetToken
from .dropbox_api.errors import Fault, SignInError, UnreachableError

# In seconds. Home Assistant's helper would wait for five minutes, and all others for it.
_LONGEST_RENEWAL = 60.0
# No JSON, JSON of another shape, numbers that are none.
_NOT_DROPBOXS = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
# What can't be in a header.
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


class EntryToken:
    """The access token of a config entry, renewed by Home Assistant's OAuth2 helper when it has
    expired or when Dropbox says so.
    """

    def __init__(self, session: OAuth2Session) -> None:
        """Nothing is asked yet."""
        self._session = session

    async def get(self, refused: str | None) -> str:
        """Return an access token other than `refused`. Raises `SignInError` or
        `UnreachableError`.
        """
        if refused is not None and self._token[CONF_ACCESS_TOKEN] == refused:
            self._expire()
        try:
            async with asyncio.timeout(_LONGEST_RENEWAL):
                await self._session.async_ensure_token_valid()
        except OAuth2TokenRequestReauthError as err:
            raise SignInError(Fault.SIGN_IN_ENDED) from err
        except (ClientError, TimeoutError) as err:  # all other token errors are client errors
            raise UnreachableError(Fault.SIGN_IN_NOT_RENEWED) from err
        except _NOT_DROPBOXS as err:
            # Home Assistant's helper reads what came as if it could only be Dropbox's.
            raise UnreachableError(Fault.RENEWAL_ANSWERED_ODDLY) from err
        token = self._token.get(CONF_ACCESS_TOKEN)
        if not isinstance(token, str) or not token or not token.isascii() or _BLANK.search(token):
            self._expire()  # it is asked for again
            raise UnreachableError(Fault.RENEWAL_ANSWERED_ODDLY)
        return token

    @property
    def _token(self) -> dict[str, Any]:  # Any: the token as Dropbox gave it
        return self._session.token

    def _expire(self) -> None:
        """Make the helper renew the token although its time has not come."""
        entry = self._session.config_entry
        self._session.hass.config_entries.async_update_entry(
            entry, data={**entry.data, CONF_TOKEN: {**self._token, "expires_at": 0}}
        )


def fixed_token(access_token: str) -> GetToken:
    """Return a source of just this access token: a new one needs no renewal yet."""

    async def get_token(refused: str | None) -> str:
        if refused is not None:
            raise SignInError(Fault.NEW_TOKEN_REFUSED)
        return access_token

    return get_token
