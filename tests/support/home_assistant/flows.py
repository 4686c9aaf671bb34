"""Config flows and options flows, answered as the frontend and a browser answer them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
import ssl
from urllib.parse import urljoin

import aiohttp

from tests.support.home_assistant.client import Client, JsonObject


class OAuthPageError(Exception):
    """The page to sign in at, or where it led to, was not what a user could click through."""


class Flows:
    """Runs flows for one user. `ca_bundle` is what the browser trusts."""

    def __init__(self, client: Client, *, ca_bundle: str | None = None) -> None:
        self._client = client
        self._ca_bundle = ca_bundle

    async def add_credentials(self, domain: str, *, client_id: str, client_secret: str) -> str:
        """Add application credentials as their dialog does, and return their id."""
        item = await self._client.ws(
            "application_credentials/create",
            domain=domain,
            client_id=client_id,
            client_secret=client_secret,
            name="Local Dropbox",
        )
        return str(item["id"])

    async def add(self, domain: str) -> JsonObject:
        """Begin to add an integration, and return the first step."""
        return await self._post("", {"handler": domain, "show_advanced_options": False})

    async def answer(self, step: JsonObject, **answers: object) -> JsonObject:
        """Fill in the form of a step, submit it, and return the next step."""
        return await self._post(f"/{step['flow_id']}", answers)

    async def sign_in(self, step: JsonObject, button: str = "Allow") -> JsonObject:
        """Open the page of an external step, press a button, come back, and return the next step.

        Raises `OAuthPageError`.
        """
        if step["type"] != "external":
            raise OAuthPageError(f"not an external step: {step}")
        await press(step["url"], button, back_at=self._client.url, ca_bundle=self._ca_bundle)
        return await self.current(step)

    async def current(self, step: JsonObject) -> JsonObject:
        """Ask a flow where it stands."""
        path = f"/api/config/config_entries/flow/{step['flow_id']}"
        answer: JsonObject = await self._client.rest("GET", path)
        return answer

    async def in_progress(self, domain: str) -> list[JsonObject]:
        """Return the flows that wait for the user, such as a new sign-in."""
        flows = await self._client.ws("config_entries/flow/progress")
        return [flow for flow in flows if flow["handler"] == domain]

    async def options(self, entry_id: str) -> JsonObject:
        """Open the options of a config entry, and return the first step."""
        return await self._post("", {"handler": entry_id}, kind="options/")

    async def answer_options(self, step: JsonObject, **answers: object) -> JsonObject:
        """As `answer`, for options."""
        return await self._post(f"/{step['flow_id']}", answers, kind="options/")

    async def _post(self, path: str, body: JsonObject, *, kind: str = "") -> JsonObject:
        path = f"/api/config/config_entries/{kind}flow{path}"
        answer: JsonObject = await self._client.rest("POST", path, json=body)
        return answer


async def press(url: str, button: str, *, back_at: str, ca_bundle: str | None = None) -> None:
    """Open a page that asks for consent, press a button of its form, and end at the callback.

    `back_at` is the address that the browser must end up at. Raises `OAuthPageError`.
    """
    trusted = ssl.create_default_context(cafile=ca_bundle)
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(connector=connector) as browser:
        async with browser.get(url) as response:
            page = await response.text()
            if not response.ok:
                raise OAuthPageError(f"{url} answered {response.status}: {page}")
            here = str(response.url)
        form = _form_with(button, page)
        async with browser.request(
            form.method, urljoin(here, form.action), data=form.fields
        ) as response:
            text = await response.text()
            if not response.ok or not str(response.url).startswith(back_at):
                raise OAuthPageError(f"{response.url} answered {response.status}: {text}")
            if "window.close" not in text:
                raise OAuthPageError(f"the callback answered: {text}")


@dataclass
class _Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    # The text of a button, and what pressing it adds to the fields.
    buttons: dict[str, dict[str, str]] = field(default_factory=dict)


def _form_with(button: str, page: str) -> _Form:
    parser = _FormParser()
    parser.feed(page)
    for form in parser.forms:
        if button in form.buttons:
            form.fields |= form.buttons[button]
            return form
    raise OAuthPageError(f"no button {button!r} on the page: {page}")


class _FormParser(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []
        self._button: dict[str, str] | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = given.get("method", "get").upper()
            self.forms.append(_Form(method, given.get("action", "")))
        elif tag == "button":
            self._button = _named_value(given)
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and self.forms and self._select:
            # Nobody chooses, so the first one it is.
            self.forms[-1].fields.setdefault(self._select, given.get("value", ""))
        elif tag == "input" and self.forms:
            if given.get("type") == "submit":
                self.forms[-1].buttons[given.get("value", "")] = _named_value(given)
            else:
                self.forms[-1].fields |= _named_value(given)

    def handle_data(self, data: str) -> None:
        if self._button is not None and self.forms and data.strip():
            self.forms[-1].buttons[data.strip()] = self._button
            self._button = None


def _named_value(attributes: dict[str, str]) -> dict[str, str]:
    return {attributes["name"]: attributes.get("value", "")} if "name" in attributes else {}
