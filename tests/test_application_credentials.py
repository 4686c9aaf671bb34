"""The dialog that asks for a Dropbox app's key and secret."""

import json
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.components.application_credentials import ClientCredential
from homeassistant.core import HomeAssistant
from homeassistant.helpers.config_entry_oauth2_flow import MY_AUTH_CALLBACK_PATH
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components import dropbox_backup
from custom_components.dropbox_backup.application_credentials import (
    async_get_auth_implementation,
    async_get_description_placeholders,
)
from custom_components.dropbox_backup.const import DOMAIN, SCOPES
from custom_components.dropbox_backup.dropbox_api.sdk import session as sdk_session

CALLBACK: Final = "/auth/external/callback"
DESCRIPTION: Final[str] = json.loads(
    (Path(dropbox_backup.__file__).parent / "translations" / "en.json").read_text(encoding="utf-8")
)["application_credentials"]["description"]


async def dialog(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, token: str, origin: str | None
) -> Any:
    """Open the dialog in a browser at `origin`; return what its text is filled with."""
    for component in ("websocket_api", "application_credentials"):
        assert await async_setup_component(hass, component, {})
    client = await hass_client()
    async with client.ws_connect("/api/websocket", origin=origin) as socket:
        await socket.receive_json()
        await socket.send_json({"type": "auth", "access_token": token})
        await socket.receive_json()
        await socket.send_json({"id": 1, "type": "application_credentials/config"})
        answer = await socket.receive_json()
    assert DOMAIN in answer["result"]["domains"]
    return answer["result"]["integrations"][DOMAIN]["description_placeholders"]


@pytest.mark.parametrize("origin", ["https://home.example.com", "http://192.168.1.2:8123"])
async def test_the_redirect_uri_is_where_the_browser_is(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, hass_access_token: str, origin: str
) -> None:
    shown = await dialog(hass, hass_client, hass_access_token, origin)
    assert shown["redirect_url"] == origin + CALLBACK


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("https://home.example.com", False),
        ("http://localhost:8123", False),
        ("http://127.0.0.1:8123", False),
        ("http://homeassistant.local:8123", True),
        ("http://192.168.1.2:8123", True),
        ("http://localhost.example.com:8123", True),
    ],
)
async def test_an_address_that_dropbox_will_refuse_is_said_to_be_one_and_only_such_a_one(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    hass_access_token: str,
    origin: str,
    *,
    refused: bool,
) -> None:
    shown = await dialog(hass, hass_client, hass_access_token, origin)
    text = DESCRIPTION.format(**shown)
    assert ("will be refused" in text) is refused
    assert ("`my:`" in text) is refused, "what to do"
    assert f"\n   `{shown['redirect_url']}`\n" in text, "on a line of its own"
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert numbers == list(range(1, 7)), "the warning does not end the list"


async def test_the_redirect_uri_is_home_assistant_s_own_if_the_browser_does_not_tell(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, hass_access_token: str
) -> None:
    await hass.config.async_update(internal_url="http://homeassistant.local:8123")
    shown = await dialog(hass, hass_client, hass_access_token, None)
    assert shown["redirect_url"] == f"http://homeassistant.local:8123{CALLBACK}"


async def test_the_redirect_uri_is_a_hint_while_home_assistant_has_no_address(
    hass: HomeAssistant,
) -> None:
    shown = await async_get_description_placeholders(hass)
    assert shown["redirect_url"] == f"https://YOUR_HOME_ASSISTANT{CALLBACK}"


async def test_the_redirect_uri_is_the_one_of_my_home_assistant_if_that_is_used(
    hass: HomeAssistant,
) -> None:
    hass.config.components.add("my")
    shown = await async_get_description_placeholders(hass)
    assert shown["redirect_url"] == MY_AUTH_CALLBACK_PATH


async def test_the_instructions_are_complete_and_name_every_permission(
    hass: HomeAssistant,
) -> None:
    shown = await async_get_description_placeholders(hass)
    text = DESCRIPTION.format(**shown)
    assert set(re.findall(r"`([a-z_]+\.[a-z.]+)`", text)) == set(SCOPES)
    assert f"(https://{sdk_session.WEB_HOST}/developers/apps)" in text
    assert f"`{shown['redirect_url']}`" in text
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert numbers == list(range(1, 7))


async def test_sign_in_goes_to_the_sdk_s_hosts_as_they_are_now(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk_session, "WEB_HOST", "web.example.com")
    monkeypatch.setattr(sdk_session, "API_HOST", "api.example.com")
    implementation: Any = await async_get_auth_implementation(
        hass, DOMAIN, ClientCredential("the key", "the secret", "The name")
    )
    assert implementation.authorize_url == "https://web.example.com/oauth2/authorize"
    assert implementation.token_url == "https://api.example.com/oauth2/token"
    assert implementation.domain == DOMAIN


@pytest.mark.parametrize(("given", "shown"), [("The name", "The name"), (None, "the key")])
async def test_an_app_is_told_by_its_name_or_its_key(
    hass: HomeAssistant, given: str | None, shown: str
) -> None:
    implementation = await async_get_auth_implementation(
        hass, DOMAIN, ClientCredential("the key", "the secret", given)
    )
    assert implementation.name == shown
