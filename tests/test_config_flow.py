"""The config flow and the options, as a person with a browser goes through them.

Home Assistant answers over HTTP and the local Dropbox over HTTPS; nothing of either is replaced.
"""

from collections.abc import AsyncIterator
from datetime import time
import json
import logging
from pathlib import Path
import ssl
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from homeassistant.components.backup import async_get_manager
from homeassistant.components.backup.config import CreateBackupParametersDict
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_entry_oauth2_flow, instance_id
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components import dropbox_backup
from custom_components.dropbox_backup import sign_in_flow
from custom_components.dropbox_backup.const import (
    CONF_FOLDER,
    DEFAULT_FOLDER,
    DOMAIN,
    SCOPES,
)
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from custom_components.dropbox_backup.sync.decide.upload_window import Hours
from custom_components.dropbox_backup.sync.remote.account import Obstacle
from custom_components.dropbox_backup.sync.remote.catalog import CatalogEntry, write_catalog
from tests.support.backups import backup
from tests.support.before_home_assistant import TLS
from tests.support.dropbox_server import DropboxAccount, DropboxApp, DropboxServer, Fault, FaultKind
from tests.support.home_assistant import Client, Flows, JsonObject
from tests.support.waits import set_waits

TEXTS: Final = json.loads(
    (Path(dropbox_backup.__file__).parent / "translations" / "en.json").read_text(encoding="utf-8")
)
SEARCH: Final = "files/search_v2"
CALLBACK = "/auth/external/callback"


class Person:
    """Somebody who sets things up in Home Assistant's frontend, with one browser for everything.

    Whatever a flow shows, they must be able to read: each step is checked for its texts.
    """

    def __init__(self, client: Client, dropbox: DropboxServer) -> None:
        self._client = client
        self._flows = Flows(client)
        self._dropbox = dropbox

    # Credentials

    async def adds_app(self, app: DropboxApp) -> str:
        """Give Home Assistant an app's key and secret; return what it calls them."""
        item = await self._client.ws(
            "application_credentials/create",
            domain=DOMAIN,
            client_id=app.key,
            client_secret=app.secret,
            name=app.name,
        )
        return str(item["id"])

    async def has_apps(self) -> list[JsonObject]:
        return list(await self._client.ws("application_credentials/list"))

    # Flows

    async def adds_integration(self) -> JsonObject:
        return self.reads(await self._flows.add(DOMAIN))

    async def reconfigures(self, entry: ConfigEntry) -> JsonObject:
        body = {"handler": DOMAIN, "entry_id": entry.entry_id}
        return self.reads(
            await self._client.rest("POST", "/api/config/config_entries/flow", json=body)
        )

    async def has_open(self) -> list[JsonObject]:
        return await self._flows.in_progress(DOMAIN)

    async def is_asked_to_sign_in_again(self) -> JsonObject:
        (flow,) = await self.has_open()
        return await self.looks_at(flow)

    async def looks_at(self, step: JsonObject) -> JsonObject:
        return self.reads(await self._flows.current(step))

    async def answers(self, step: JsonObject, **answers: object) -> JsonObject:
        return self.reads(await self._flows.answer(step, **answers))

    async def chooses(self, menu: JsonObject, option: str) -> JsonObject:
        assert option in menu["menu_options"]
        return await self.answers(menu, next_step_id=option)

    async def opens_options(self, entry: ConfigEntry) -> JsonObject:
        return self.reads(await self._flows.options(entry.entry_id), "options")

    async def sets_options(self, step: JsonObject, **answers: object) -> JsonObject:
        return self.reads(await self._flows.answer_options(step, **answers), "options")

    # Dropbox's page

    async def allows(self, step: JsonObject, who: DropboxAccount | None = None) -> JsonObject:
        chosen = who or self._dropbox.account
        return await self._decides(step, decision="allow", account_id=chosen.account_id)

    async def denies(self, step: JsonObject) -> JsonObject:
        return await self._decides(step, decision="deny")

    async def _decides(self, step: JsonObject, **form: str) -> JsonObject:
        assert step["type"] == "external", step
        trusted = ssl.create_default_context(cafile=TLS / "ca.pem")
        connector = aiohttp.TCPConnector(ssl=trusted)
        async with aiohttp.ClientSession(connector=connector) as browser:
            async with browser.get(step["url"]) as page:
                assert page.ok, await page.text()
            async with browser.post(step["url"], data=form) as back:
                assert back.url.path == CALLBACK
                assert "window.close" in await back.text()
        return await self.looks_at(step)

    # Texts

    def reads(self, step: JsonObject, flow: str = "config") -> JsonObject:
        given = step.get("description_placeholders") or {}
        for text in texts_of(step, TEXTS[flow]):
            text.format(**given)  # a KeyError is a placeholder that nobody filled in
        return step


def _texts_of_field(field: JsonObject, texts: Any) -> list[str]:
    name = field["name"]
    if field.get("type") != "expandable":
        return [texts["data"][name], texts["data_description"][name]]
    inside = texts["sections"][name]
    found = [inside["name"], inside["description"]]
    for one in field["schema"]:
        found += _texts_of_field(one, inside)
    return found


def texts_of(step: JsonObject, texts: Any) -> list[str]:
    """Return the texts of a step; raise KeyError for one that is missing."""
    match step["type"]:
        case "abort" if step.get("translation_domain") == "homeassistant":
            return []
        case "abort":
            return [texts["abort"][step["reason"]]]
        case "create_entry":
            return [texts["create_entry"]["default"]] if "create_entry" in texts else []
    here = texts["step"][step["step_id"]]
    found = [here["title"], here.get("description", "")]
    if step["type"] == "menu":
        found += [here["menu_options"][option] for option in step["menu_options"]]
    if step["type"] == "form":
        for field in step["data_schema"] or []:
            found += _texts_of_field(field, here)
        found += [texts["error"][error] for error in (step["errors"] or {}).values()]
    return found


@pytest.fixture
async def home(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> str:
    """Serve Home Assistant's API; return its address."""
    for component in ("auth", "config", "websocket_api", "application_credentials", "backup"):
        assert await async_setup_component(hass, component, {})
    client = await hass_client()
    return str(client.make_url("")).rstrip("/")


@pytest.fixture
def app(home: str, dropbox_server: DropboxServer) -> DropboxApp:
    """Make a Dropbox app as the instructions say."""
    return dropbox_server.add_app(
        DropboxApp(redirect_uris=(home + CALLBACK,), scopes=SCOPES, app_folder=True)
    )


@pytest.fixture
async def person(
    hass: HomeAssistant, home: str, dropbox_server: DropboxServer, hass_access_token: str
) -> AsyncIterator[Person]:
    """Open a browser; close it at the end, after Home Assistant has come to rest."""
    async with Client(home, hass_access_token) as client:
        yield Person(client, dropbox_server)
        for entry in hass.config_entries.async_entries(DOMAIN):
            await hass.async_block_till_done()
            if entry.state is ConfigEntryState.LOADED:
                await hass.config_entries.async_unload(entry.entry_id)


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.DIALOG, 0.0)


@pytest.fixture
async def before_dropbox(person: Person, app: DropboxApp) -> JsonObject:
    """Begin to set up; return the step that leads to Dropbox's page."""
    await person.adds_app(app)
    return await person.adds_integration()


@pytest.fixture
async def folder_form(person: Person, before_dropbox: JsonObject) -> JsonObject:
    """Sign in; return the form that asks for the folder."""
    return await person.allows(before_dropbox)


@pytest.fixture
async def entry(hass: HomeAssistant, person: Person, folder_form: JsonObject) -> ConfigEntry:
    """Set the integration up, in a folder that is not the default one."""
    done = await person.answers(folder_form, folder="/Mine")
    assert done["type"] == "create_entry"
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.state is ConfigEntryState.LOADED
    return entry


def paths_in(server: DropboxServer, app: DropboxApp) -> set[str]:
    """Return all paths that the app sees in Dropbox."""
    return {found.path for found in server.account.app_files(app).descendants("")}


# Signing in and choosing a folder


async def test_the_default_folder_is_made_and_proven_and_the_entry_is_loaded(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
) -> None:
    (field,) = folder_form["data_schema"]
    assert (field["name"], field["default"]) == (CONF_FOLDER, DEFAULT_FOLDER)
    assert paths_in(dropbox_server, app) == set()

    done = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert done["type"] == "create_entry"
    await hass.async_block_till_done()

    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.title == dropbox_server.account.name
    assert entry.unique_id == dropbox_server.account.account_id
    assert entry.data.keys() == {"auth_implementation", "token", CONF_FOLDER}
    assert entry.data["token"]["refresh_token"]
    assert entry.data[CONF_FOLDER] == DEFAULT_FOLDER
    # The proof was read back, and nothing of it is left.
    assert {"/HomeAssistant", DEFAULT_FOLDER} <= paths_in(dropbox_server, app)
    assert not any("test" in path for path in paths_in(dropbox_server, app))
    assert "files/download" in {record.route for record in dropbox_server.log.records}


async def test_a_full_dropbox_app_writes_to_any_folder(
    hass: HomeAssistant, person: Person, home: str, dropbox_server: DropboxServer
) -> None:
    app = dropbox_server.add_app(DropboxApp(redirect_uris=(home + CALLBACK,), app_folder=False))
    await person.adds_app(app)
    form = await person.allows(await person.adds_integration())
    assert (await person.answers(form, folder="Documents//Backups/ "))["type"] == "create_entry"
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.data[CONF_FOLDER] == "/Documents/Backups"
    assert dropbox_server.account.files.live("/Documents/Backups")


async def test_a_slash_stands_for_the_top_of_dropbox(
    hass: HomeAssistant, person: Person, folder_form: JsonObject
) -> None:
    done = await person.answers(folder_form, folder="/")
    assert done["type"] == "create_entry"
    assert done["description_placeholders"]["folder"] == "/"
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.data[CONF_FOLDER] == ""
    menu = await person.reconfigures(entry)
    form = await person.chooses(menu, "folder")
    assert form["data_schema"][0]["default"] == "/"


async def test_the_authorize_page_asks_for_a_lasting_sign_in_and_for_the_account(
    person: Person, app: DropboxApp, before_dropbox: JsonObject
) -> None:
    query = parse_qs(urlsplit(before_dropbox["url"]).query)
    assert query["token_access_type"] == ["offline"]
    assert query["force_reapprove"] == ["true"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["client_id"] == [app.key]


async def test_with_several_apps_the_user_chooses_one_by_its_name(
    person: Person, app: DropboxApp, home: str, dropbox_server: DropboxServer
) -> None:
    other = dropbox_server.add_app(
        DropboxApp("otherkey", "othersecret", "The other app", (home + CALLBACK,))
    )
    await person.adds_app(app)
    other_id = await person.adds_app(other)
    form = await person.adds_integration()
    assert form["step_id"] == "pick_implementation"
    assert {name for _, name in form["data_schema"][0]["options"]} == {app.name, other.name}
    step = await person.answers(form, implementation=other_id)
    assert other.key in step["url"]
    assert (await person.allows(step))["step_id"] == "folder"


async def test_without_an_app_home_assistant_asks_for_one(person: Person) -> None:
    step = await person.adds_integration()
    assert (step["type"], step["reason"]) == ("abort", "missing_credentials")
    assert step["translation_domain"] == DOMAIN


async def test_a_user_who_denies_is_told_so(person: Person, app: DropboxApp) -> None:
    await person.adds_app(app)
    step = await person.denies(await person.adds_integration())
    assert (step["type"], step["reason"]) == ("abort", "user_rejected_authorize")
    assert step["translation_domain"] == DOMAIN


async def stored_apps(person: Person) -> list[tuple[str, str, str]]:
    """Return name, key and secret of the apps that Home Assistant has."""
    apps = await person.has_apps()
    return [(app["name"], app["client_id"], app["client_secret"]) for app in apps]


@pytest.mark.parametrize("wrong", ["key", "secret"])
async def test_a_wrong_key_or_secret_is_said_before_dropbox_opens_and_asked_for_again(
    hass: HomeAssistant, person: Person, app: DropboxApp, wrong: str
) -> None:
    key, secret = app.key, app.secret
    if wrong == "key":
        key = "not the key"
    else:
        secret = "not the secret"
    await person.adds_app(DropboxApp(key, secret, app.name))
    form = await person.adds_integration()
    assert (form["type"], form["step_id"]) == ("form", "app")
    assert form["description_placeholders"]["app"] == app.name
    shown = {field["name"]: field.get("description") for field in form["data_schema"]}
    assert shown == {"client_id": {"suggested_value": key}, "client_secret": None}

    form = await person.answers(form, client_id=" ", client_secret=app.secret)
    assert form["errors"] == {"client_id": "empty"}
    form = await person.allows(
        await person.answers(form, client_id=f" {app.key} ", client_secret=f"{app.secret}\n")
    )
    assert form["step_id"] == "folder"
    assert await stored_apps(person) == [(app.name, app.key, app.secret)]
    assert (await person.answers(form, folder=DEFAULT_FOLDER))["type"] == "create_entry"
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.state is ConfigEntryState.LOADED


async def test_a_second_wrong_secret_is_asked_for_once_more(
    person: Person, app: DropboxApp
) -> None:
    await person.adds_app(DropboxApp(app.key, "not the secret", app.name))
    form = await person.adds_integration()
    assert not form["errors"]
    form = await person.answers(form, client_id=app.key, client_secret="nor this")
    assert (form["type"], form["step_id"]) == ("form", "app")
    assert form["errors"] == {"base": "still_refused"}, "the same form alone says nothing"
    # Who left here finds the same again, not two apps to choose from.
    again = await person.adds_integration()
    assert again["step_id"] == "app"
    step = await person.answers(again, client_id=app.key, client_secret=app.secret)
    assert (await person.allows(step))["step_id"] == "folder"


def renew_secret(server: DropboxServer, app: DropboxApp) -> DropboxApp:
    """Give an app another secret, as its owner does on Dropbox's page; the old one is refused."""
    renewed = DropboxApp(app.key, "a new one", app.name, app.redirect_uris)
    server.add_app(renewed)
    return renewed


async def test_a_secret_that_dropbox_refuses_only_afterwards_is_asked_for_again(
    person: Person, app: DropboxApp, dropbox_server: DropboxServer, before_dropbox: JsonObject
) -> None:
    renewed = renew_secret(dropbox_server, app)
    form = await person.allows(before_dropbox)
    assert (form["type"], form["step_id"]) == ("form", "app")
    step = await person.answers(form, client_id=app.key, client_secret=renewed.secret)
    assert (await person.allows(step))["step_id"] == "folder"


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (400, '{"error": "invalid_client: Invalid client_id or client_secret"}', True),
        (401, '{"error": "invalid_client"}', True),
        (400, '{"error": "invalid_grant"}', False),
        (503, "<html>busy</html>", False),
        (400, "<html>a proxy</html>", False),
        (400, '["invalid_client"]', False),
        (400, " " * 100_000 + '{"error": "invalid_client"}', False),
    ],
)
async def test_only_dropbox_s_word_makes_an_app_a_refused_one(
    person: Person,
    app: DropboxApp,
    dropbox_server: DropboxServer,
    status: int,
    body: str,
    *,
    refused: bool,
) -> None:
    await person.adds_app(app)
    fault = Fault(
        FaultKind.STATUS,
        "oauth2/token",
        status=status,
        body=body,
        content_type="application/json",
    )
    dropbox_server.faults.add(fault)
    step = await person.adds_integration()
    assert step["type"] == ("form" if refused else "external")
    if refused:  # who enters the same again knows better
        step = await person.answers(step, client_id=app.key, client_secret=app.secret)
    assert (await person.allows(step))["step_id"] == "folder"


async def test_a_secret_that_was_renewed_at_dropbox_is_replaced_when_signing_in_again(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    entry: ConfigEntry,
    dropbox_server: DropboxServer,
) -> None:
    renewed = renew_secret(dropbox_server, app)
    entry.async_start_reauth(hass)
    await hass.async_block_till_done()
    form = await person.answers(await person.is_asked_to_sign_in_again())
    assert form["step_id"] == "app"
    # The first try is wrong as well, the entry's own stays until the new one is good.
    form = await person.answers(form, client_id=app.key, client_secret="nor this")
    assert form["step_id"] == "app"
    assert (app.name, app.key, app.secret) in await stored_apps(person)
    step = await person.answers(form, client_id=app.key, client_secret=renewed.secret)
    step = await person.allows(step)
    assert (step["type"], step["reason"]) == ("abort", "reauth_successful")
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert await stored_apps(person) == [(app.name, app.key, renewed.secret)]


async def test_an_app_that_another_account_signs_in_with_is_never_deleted(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    entry: ConfigEntry,
    dropbox_server: DropboxServer,
) -> None:
    renewed = renew_secret(dropbox_server, app)
    bob = dropbox_server.add_account(DropboxAccount("bob@example.com", "Bob Example"))
    form = await person.adds_integration()
    assert form["step_id"] == "app"
    step = await person.answers(form, client_id=app.key, client_secret=renewed.secret)
    form = await person.allows(step, bob)
    assert (await person.answers(form, folder="/Bob"))["type"] == "create_entry"
    await hass.async_block_till_done()
    assert len(await stored_apps(person)) == 2
    assert {one.state for one in hass.config_entries.async_entries(DOMAIN)} == {
        ConfigEntryState.LOADED
    }


async def test_the_address_for_dropbox_can_be_copied_while_dropbox_s_page_is_open(
    person: Person, home: str, before_dropbox: JsonObject
) -> None:
    assert before_dropbox["description_placeholders"]["redirect_url"] == home + CALLBACK
    assert before_dropbox["description_placeholders"]["redirect_warning"] == ""


@pytest.mark.parametrize("status", [400, 401])
async def test_a_sign_in_that_is_too_old_is_told_in_own_words(
    person: Person, dropbox_server: DropboxServer, status: int, before_dropbox: JsonObject
) -> None:
    body = '{"error": "invalid_grant"}'
    dropbox_server.faults.add(Fault(FaultKind.STATUS, "oauth2/token", status=status, body=body))
    step = await person.allows(before_dropbox)
    assert (step["type"], step["reason"]) == ("abort", "oauth_unauthorized")
    assert step["translation_domain"] == DOMAIN


def test_each_way_in_which_home_assistant_ends_a_sign_in_has_own_words() -> None:
    reasons = config_entry_oauth2_flow._SHARED_ABORT_REASONS
    assert reasons - TEXTS["config"]["abort"].keys() == set()
    assert reasons - sign_in_flow.IN_OUR_WORDS == set()


async def test_no_secret_and_no_address_reaches_the_log(
    hass: HomeAssistant,
    person: Person,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    await person.answers(folder_form, folder=DEFAULT_FOLDER)
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    records = [*caplog.get_records("setup"), *caplog.records]
    told = "\n".join(record.getMessage() for record in records if DOMAIN in record.name)
    assert "authenticated" in told
    account, token = dropbox_server.account, entry.data["token"]
    secrets = (account.email, account.account_id, token["access_token"], token["refresh_token"])
    assert not [secret for secret in (*secrets, dropbox_server.app.secret) if secret in told]


# Permissions


async def test_each_missing_permission_is_named_and_ticking_it_helps(
    person: Person, app: DropboxApp, dropbox_server: DropboxServer
) -> None:
    ticked = tuple(scope for scope in SCOPES if "content" not in scope)
    missing_app = dropbox_server.add_app(
        DropboxApp(redirect_uris=app.redirect_uris, scopes=ticked, app_folder=True)
    )
    await person.adds_app(missing_app)
    form = await person.allows(await person.adds_integration())
    assert form["step_id"] == "permissions"
    named = form["description_placeholders"]["permissions"]
    assert named == "- `files.content.read`\n- `files.content.write`"

    form = await person.looks_at(form)  # the page was reloaded
    assert form["description_placeholders"]["permissions"] == named

    dropbox_server.add_app(app)
    form = await person.allows(await person.answers(form))
    assert form["step_id"] == "folder"


async def test_a_permission_that_was_taken_away_meanwhile_is_named(
    person: Person, folder_form: JsonObject, dropbox_server: DropboxServer
) -> None:
    error = {".tag": "missing_scope", "required_scope": "files.content.write"}
    dropbox_server.faults.add(Fault(FaultKind.STATUS, "files/upload", status=401, error=error))
    form = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert form["step_id"] == "permissions"
    assert form["description_placeholders"]["permissions"] == "- `files.content.write`"
    form = await person.allows(await person.answers(form))
    assert (await person.answers(form, folder=DEFAULT_FOLDER))["type"] == "create_entry"


# What can be wrong with the sign-in


async def test_a_sign_in_that_would_end_is_not_taken(
    person: Person, app: DropboxApp, dropbox_server: DropboxServer, before_dropbox: JsonObject
) -> None:
    tokens = dropbox_server.issue_tokens(app)
    answer = {
        "access_token": tokens.access_token,
        "token_type": "bearer",
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    }
    dropbox_server.faults.add(
        Fault(
            FaultKind.STATUS,
            "oauth2/token",
            status=200,
            body=json.dumps(answer),
            content_type="application/json",
        )
    )
    step = await person.allows(before_dropbox)
    assert (step["type"], step["reason"]) == ("abort", Obstacle.SIGN_IN_ENDS_SOON)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "suspend_user"}, Obstacle.SIGN_IN_REFUSED),
        ({"kind": "expire_token"}, Obstacle.SIGN_IN_REFUSED),
        ({"kind": "reset_before_body"}, Obstacle.CANNOT_CONNECT),
        ({"kind": "status", "status": 503}, Obstacle.CANNOT_CONNECT),
        ({"kind": "garbage"}, Obstacle.CANNOT_CONNECT),
        ({"kind": "status", "status": 429}, Obstacle.RATE_LIMITED),
        ({"kind": "status", "status": 409, "error": {".tag": "new"}}, Obstacle.UNEXPECTED),
    ],
)
async def test_an_account_that_can_not_be_asked_ends_the_flow_with_the_reason(
    person: Person,
    dropbox_server: DropboxServer,
    fault: JsonObject,
    reason: str,
    before_dropbox: JsonObject,
) -> None:
    dropbox_server.faults.add(Fault(route="users/get_current_account", times=None, **fault))
    step = await person.allows(before_dropbox)
    assert (step["type"], step["reason"]) == ("abort", reason)
    assert step["description_placeholders"]["reason"]


async def test_without_a_network_after_the_consent_the_flow_ends(
    person: Person, dropbox_server: DropboxServer, before_dropbox: JsonObject
) -> None:
    dropbox_server.faults.add(Fault(FaultKind.RESET_BEFORE_BODY, "oauth2/token", times=None))
    step = await person.allows(before_dropbox)
    assert (step["type"], step["reason"]) == ("abort", "oauth_failed")


# What can be wrong with the folder


@pytest.mark.parametrize(
    ("name", "rule", "culprit"),
    [
        ("/../x", Obstacle.NAME_ENDS_BADLY, ".."),
        ("/a/..", Obstacle.NAME_ENDS_BADLY, ".."),
        ("/dot.", Obstacle.NAME_ENDS_BADLY, "dot."),
        ("/.", Obstacle.NAME_ENDS_BADLY, "."),
        ("/blank /x", Obstacle.NAME_ENDS_BADLY, "blank "),
        ("back\\slash", Obstacle.NAME_HAS_BACKSLASH, "back\\slash"),
        ("bell\a", Obstacle.NAME_HAS_CONTROL, ""),
        ("line\nbreak", Obstacle.NAME_HAS_CONTROL, ""),
        ("x" * 256, Obstacle.NAME_TOO_LONG, "x" * 256),
    ],
)
async def test_each_rule_for_names_has_its_own_text_at_the_field(
    person: Person,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
    name: str,
    rule: Obstacle,
    culprit: str,
) -> None:
    calls = len(dropbox_server.log.records)
    form = await person.answers(folder_form, folder=name)
    assert form["errors"] == {CONF_FOLDER: rule}
    assert form["description_placeholders"]["reason"] == culprit
    assert form["data_schema"][0]["description"] == {"suggested_value": name}
    assert len(dropbox_server.log.records) == calls
    assert (await person.answers(form, folder=DEFAULT_FOLDER))["type"] == "create_entry"


def test_errors_at_a_field_are_plain_text() -> None:
    for flow in ("config", "options"):
        for text in TEXTS[flow]["error"].values():
            assert not set(text) & set("*`[]"), "the frontend shows no markdown there"


async def test_a_name_that_dropbox_keeps_for_itself_is_an_error_at_the_field(
    person: Person, folder_form: JsonObject
) -> None:
    form = await person.answers(folder_form, folder="/.dropbox.cache")
    assert form["errors"] == {CONF_FOLDER: Obstacle.NAME_REFUSED}


@pytest.mark.parametrize("folder", ["/in the way", "/in the way/below"])
async def test_a_file_in_place_of_the_folder_is_an_error_at_the_field(
    person: Person,
    app: DropboxApp,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
    folder: str,
) -> None:
    dropbox_server.account.app_files(app).put("/in the way", b"a file")
    form = await person.answers(folder_form, folder=folder)
    assert form["errors"] == {CONF_FOLDER: Obstacle.FILE_IN_PLACE}
    assert dropbox_server.account.app_files(app).read("/in the way") == b"a file"


def refused(tag: str) -> dict[str, Any]:
    """Return the error of `create_folder_v2` for a path."""
    return {".tag": "path", "path": {".tag": tag}}


# What goes wrong at which route, and what the form says at which field.
TROUBLES: Final[dict[str, tuple[str, dict[str, Any], str, str]]] = {
    "no write permission": (
        "files/create_folder_v2",
        {"kind": "status", "status": 409, "error": refused("no_write_permission")},
        CONF_FOLDER,
        Obstacle.NOT_WRITABLE,
    ),
    "access is restricted": (
        "files/upload",
        {"kind": "status", "status": 409, "error": refused("access_restricted")},
        CONF_FOLDER,
        Obstacle.NOT_WRITABLE,
    ),
    "team folder": (
        "files/create_folder_v2",
        {"kind": "status", "status": 409, "error": refused("team_folder")},
        CONF_FOLDER,
        Obstacle.NOT_WRITABLE,
    ),
    "unknown refusal": (
        "files/create_folder_v2",
        {"kind": "status", "status": 409, "error": refused("other")},
        "base",
        Obstacle.UNEXPECTED,
    ),
    "no network": (
        "files/create_folder_v2",
        {"kind": "reset_before_body", "times": None},
        "base",
        Obstacle.CANNOT_CONNECT,
    ),
    "rate limit": (
        "files/create_folder_v2",
        {"kind": "status", "status": 429, "times": None},
        "base",
        Obstacle.RATE_LIMITED,
    ),
    "damaged on the way up": (
        "files/upload",
        {"kind": "corrupt_upload", "times": None},
        "base",
        Obstacle.UNEXPECTED,
    ),
    "damaged on the way down": (
        "files/download",
        {"kind": "corrupt_download", "times": None},
        "base",
        Obstacle.UNEXPECTED,
    ),
    "gone before it is read": (
        "files/download",
        {"kind": "status", "status": 409, "error": refused("not_found")},
        "base",
        Obstacle.UNEXPECTED,
    ),
    "not to be deleted": (
        "files/delete_v2",
        {"kind": "status", "status": 403, "error": {".tag": "no"}},
        "base",
        Obstacle.UNEXPECTED,
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_keeps_the_folder_from_working_is_said_and_can_be_tried_again(
    person: Person,
    app: DropboxApp,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
    trouble: str,
) -> None:
    route, fault, field, error = TROUBLES[trouble]
    dropbox_server.faults.add(Fault(route=route, **fault))
    form = await person.answers(folder_form, folder="/Backups")
    assert form["errors"] == {field: error}
    assert form["description_placeholders"]["reason"]
    dropbox_server.faults.clear()
    if trouble != "not to be deleted":
        assert not any("test" in path for path in paths_in(dropbox_server, app))
    assert (await person.answers(form, folder="/Backups"))["type"] == "create_entry"


async def test_a_full_dropbox_is_said(
    person: Person, folder_form: JsonObject, dropbox_server: DropboxServer
) -> None:
    dropbox_server.account.quota = 10
    form = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert form["errors"] == {"base": Obstacle.FULL}


async def test_a_dropbox_that_is_gone_is_said(
    person: Person, folder_form: JsonObject, dropbox_server: DropboxServer
) -> None:
    await dropbox_server.stop()
    form = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert form["errors"] == {"base": Obstacle.CANNOT_CONNECT}


async def test_a_dropbox_that_does_not_answer_is_not_waited_for_for_ever(
    person: Person,
    app: DropboxApp,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_waits(monkeypatch, for_answer=0.5)
    dropbox_server.faults.add(Fault(FaultKind.STALL, "files/download", seconds=1))
    form = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert form["errors"] == {"base": Obstacle.CANNOT_CONNECT}
    assert form["description_placeholders"]["reason"] == "Dropbox did not answer in time"
    assert not any("test" in path for path in paths_in(dropbox_server, app))


async def test_a_lost_answer_to_the_proof_is_no_failure(
    person: Person,
    app: DropboxApp,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RETRY_FOR, Waiter.DIALOG, 10.0)
    for route in ("files/create_folder_v2", "files/upload", "files/delete_v2"):
        dropbox_server.faults.add(Fault(FaultKind.LOST_RESPONSE, route))
    done = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert done["type"] == "create_entry"
    assert not any("test" in path for path in paths_in(dropbox_server, app))


async def test_a_sign_in_that_ended_before_the_folder_was_chosen_must_be_done_anew(
    person: Person, folder_form: JsonObject, dropbox_server: DropboxServer
) -> None:
    dropbox_server.tokens.expire_access_tokens()
    step = await person.answers(folder_form, folder=DEFAULT_FOLDER)
    assert (step["type"], step["reason"]) == ("abort", Obstacle.SIGN_IN_REFUSED)


# Several accounts


async def test_an_account_is_set_up_only_once(person: Person, entry: ConfigEntry) -> None:
    step = await person.allows(await person.adds_integration())
    assert (step["type"], step["reason"]) == ("abort", "already_configured")


async def test_a_flow_left_open_elsewhere_is_not_in_the_way(
    hass: HomeAssistant, person: Person, folder_form: JsonObject
) -> None:
    second = await person.allows(await person.adds_integration())
    assert (await person.answers(second, folder="/Second"))["type"] == "create_entry"
    await hass.async_block_till_done()
    assert [one.data[CONF_FOLDER] for one in hass.config_entries.async_entries(DOMAIN)] == [
        "/Second"
    ]
    assert await person.has_open() == []


async def test_namesakes_get_numbers(
    hass: HomeAssistant, person: Person, entry: ConfigEntry, dropbox_server: DropboxServer
) -> None:
    for number in (2, 3):
        namesake = DropboxAccount(f"ada{number}@example.com", name=entry.title)
        dropbox_server.add_account(namesake)
        form = await person.allows(await person.adds_integration(), namesake)
        assert (await person.answers(form, folder="/Mine"))["type"] == "create_entry"
    await hass.async_block_till_done()
    entries = hass.config_entries.async_entries(DOMAIN)
    assert [one.title for one in entries] == [f"{entry.title}{end}" for end in ("", " 2", " 3")]
    assert len({one.unique_id for one in entries}) == 3


async def test_an_account_without_a_name_is_called_dropbox(
    hass: HomeAssistant, person: Person, app: DropboxApp, dropbox_server: DropboxServer
) -> None:
    nameless = dropbox_server.add_account(DropboxAccount("nobody@example.com", name=" "))
    await person.adds_app(app)
    form = await person.allows(await person.adds_integration(), nameless)
    await person.answers(form, folder="/")
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.title == "Dropbox"


# Signing in again


async def test_signing_in_again_keeps_folder_and_options(
    hass: HomeAssistant,
    person: Person,
    entry: ConfigEntry,
    dropbox_server: DropboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hass.config_entries.async_update_entry(entry, options={"keep": 3})
    dropbox_server.tokens.revoke_all()
    before, worker = entry.data["token"], entry.runtime_data
    entry.async_start_reauth(hass)
    await hass.async_block_till_done()

    form = await person.is_asked_to_sign_in_again()
    assert form["step_id"] == "reauth_confirm"
    assert form["description_placeholders"]["account"] == entry.title
    step = await person.allows(await person.answers(form))
    assert (step["type"], step["reason"]) == ("abort", "reauth_successful")
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["token"]["refresh_token"] != before["refresh_token"]
    assert entry.data[CONF_FOLDER] == "/Mine"
    assert entry.options == {"keep": 3}
    assert entry.runtime_data is not worker
    assert "update listener" not in caplog.text, "Home Assistant warns of what it will refuse"


async def test_signing_in_again_to_another_account_changes_nothing(
    hass: HomeAssistant, person: Person, entry: ConfigEntry, dropbox_server: DropboxServer
) -> None:
    other = dropbox_server.add_account(DropboxAccount("bob@example.com", "Bob Example"))
    before = dict(entry.data)
    entry.async_start_reauth(hass)
    await hass.async_block_till_done()
    form = await person.is_asked_to_sign_in_again()
    step = await person.allows(await person.answers(form), other)
    assert (step["type"], step["reason"]) == ("abort", "wrong_account")
    assert step["description_placeholders"] == {"account": entry.title}
    assert dict(entry.data) == before


async def test_signing_in_again_says_which_permissions_the_old_sign_in_lacks(
    hass: HomeAssistant, person: Person, entry: ConfigEntry
) -> None:
    token = entry.data["token"] | {"scope": "account_info.read files.metadata.read"}
    hass.config_entries.async_update_entry(entry, data={**entry.data, "token": token})
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state.value == "setup_error"

    form = await person.is_asked_to_sign_in_again()
    assert form["step_id"] == "permissions"
    assert "files.content.write" in form["description_placeholders"]["permissions"]
    step = await person.allows(await person.answers(form))
    assert (step["type"], step["reason"]) == ("abort", "reauth_successful")
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED


async def test_signing_in_again_takes_the_same_app_without_asking(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    entry: ConfigEntry,
    dropbox_server: DropboxServer,
) -> None:
    other = DropboxApp("otherkey", "othersecret", "The other app", app.redirect_uris)
    await person.adds_app(dropbox_server.add_app(other))
    entry.async_start_reauth(hass)
    await hass.async_block_till_done()
    step = await person.answers(await person.is_asked_to_sign_in_again())
    assert f"client_id={app.key}" in step["url"]


# Reconfiguring


async def test_the_folder_can_be_changed(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    entry: ConfigEntry,
    dropbox_server: DropboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    form = await person.chooses(await person.reconfigures(entry), "folder")
    assert form["data_schema"][0]["default"] == "/Mine"
    form = await person.answers(form, folder="/nope.")
    assert form["errors"] == {CONF_FOLDER: Obstacle.NAME_ENDS_BADLY}
    token = entry.data["token"]
    step = await person.answers(form, folder="/Elsewhere")
    assert (step["type"], step["reason"]) == ("abort", "folder_changed")
    assert step["description_placeholders"]["before"] == "/Mine"
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data[CONF_FOLDER] == "/Elsewhere"
    assert entry.data["token"] == token
    assert {"/Mine", "/Elsewhere"} <= paths_in(dropbox_server, app)
    assert "update listener" not in caplog.text, "Home Assistant warns of what it will refuse"


async def test_changing_the_folder_renews_an_expired_access_token(
    person: Person, entry: ConfigEntry, dropbox_server: DropboxServer
) -> None:
    form = await person.chooses(await person.reconfigures(entry), "folder")
    dropbox_server.tokens.expire_access_tokens()
    step = await person.answers(form, folder="/Elsewhere")
    assert (step["type"], step["reason"]) == ("abort", "folder_changed")
    assert step["description_placeholders"]["before"] == "/Mine"
    assert entry.data[CONF_FOLDER] == "/Elsewhere"


async def test_changing_the_folder_needs_a_sign_in_that_is_valid(
    person: Person, entry: ConfigEntry, dropbox_server: DropboxServer
) -> None:
    form = await person.chooses(await person.reconfigures(entry), "folder")
    dropbox_server.tokens.revoke_all()
    step = await person.answers(form, folder="/Elsewhere")
    assert (step["type"], step["reason"]) == ("abort", Obstacle.SIGN_IN_REFUSED)
    assert entry.data[CONF_FOLDER] == "/Mine"


async def test_changing_the_folder_without_the_app_s_key_says_so(
    hass: HomeAssistant, person: Person, app: DropboxApp
) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id="dbid:x",
        data={"auth_implementation": "gone", "token": {"scope": " ".join(SCOPES)}, "folder": "/x"},
    )
    entry.add_to_hass(hass)
    form = await person.chooses(await person.reconfigures(entry), "folder")
    step = await person.answers(form, folder="/Elsewhere")
    assert (step["type"], step["reason"]) == ("abort", Obstacle.SIGN_IN_REFUSED)


async def test_reconfiguring_signs_in_with_any_app_and_keeps_the_folder(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    entry: ConfigEntry,
    dropbox_server: DropboxServer,
) -> None:
    other = DropboxApp("otherkey", "othersecret", "The other app", app.redirect_uris)
    other_id = await person.adds_app(dropbox_server.add_app(other))
    form = await person.chooses(await person.reconfigures(entry), "sign_in")
    assert form["step_id"] == "pick_implementation"
    step = await person.allows(await person.answers(form, implementation=other_id))
    assert (step["type"], step["reason"]) == ("abort", "reconfigure_successful")
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["auth_implementation"] == other_id
    assert entry.data[CONF_FOLDER] == "/Mine"


async def test_a_permission_that_is_missing_for_a_new_folder_is_mended_with_the_same_app(
    person: Person, app: DropboxApp, entry: ConfigEntry, dropbox_server: DropboxServer
) -> None:
    other = DropboxApp("otherkey", "othersecret", "The other app", app.redirect_uris)
    await person.adds_app(dropbox_server.add_app(other))
    form = await person.chooses(await person.reconfigures(entry), "folder")
    error = {".tag": "missing_scope", "required_scope": "files.content.write"}
    dropbox_server.faults.add(Fault(FaultKind.STATUS, "files/upload", status=401, error=error))
    form = await person.answers(form, folder="/Elsewhere")
    assert form["step_id"] == "permissions"
    step = await person.answers(form)
    assert f"client_id={app.key}" in step["url"], "nobody is asked which app it is"
    step = await person.allows(step)
    assert (step["type"], step["reason"]) == ("abort", "reconfigure_successful")


async def test_reconfiguring_to_another_account_changes_nothing(
    person: Person, entry: ConfigEntry, dropbox_server: DropboxServer
) -> None:
    other = dropbox_server.add_account(DropboxAccount("bob@example.com", "Bob Example"))
    step = await person.chooses(await person.reconfigures(entry), "sign_in")
    step = await person.allows(step, other)
    assert (step["type"], step["reason"]) == ("abort", "wrong_account")


# What the last page says


def shown(step: JsonObject) -> str:
    text = (
        TEXTS["config"]["create_entry"]["default"]
        if step["type"] == "create_entry"
        else TEXTS["config"]["abort"][step["reason"]]
    )
    return str(text.format(**step["description_placeholders"]))


async def test_the_last_page_says_where_backups_go_and_what_lies_there(
    person: Person, app: DropboxApp, folder_form: JsonObject
) -> None:
    text = shown(await person.answers(folder_form, folder="a//b/"))
    assert " /a/b" in text
    assert "no backups in this folder yet" in text
    assert "*off*" in text


async def test_the_last_page_tells_own_backups_from_those_of_others(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    folder_form: JsonObject,
    dropbox_server: DropboxServer,
) -> None:
    instance = await instance_id.async_get(hass)
    entries = {}
    tree = dropbox_server.account.app_files(app)
    for number, owner in enumerate((instance, instance, "another")):
        file = tree.put(f"/Shared/{number}.tar", bytes([number]) * 1000)
        one = backup(number)
        entries[f"{number}.tar"] = CatalogEntry(file.content_hash, one, owner=owner)
    tree.put("/Shared/mystery.tar", b"?")
    tree.put(f"/Shared/{CATALOG_NAME}", write_catalog(entries))
    text = shown(await person.answers(folder_form, folder="/Shared"))
    assert "of this Home Assistant: 2 (" in text
    assert "of others, which are never deleted: 1 (" in text
    assert "not looked into yet: 1" in text


async def test_what_lies_there_is_only_told_and_keeps_nobody_from_going_on(
    person: Person, folder_form: JsonObject, dropbox_server: DropboxServer
) -> None:
    fault = Fault(FaultKind.STATUS, "files/list_folder", status=500, times=None)
    dropbox_server.faults.add(fault)
    done = await person.answers(folder_form, folder="/Shared")
    dropbox_server.faults.clear()
    assert done["type"] == "create_entry"
    assert done["description_placeholders"]["found"] == ""


async def test_the_last_page_says_that_the_location_is_still_on(
    hass: HomeAssistant, person: Person, entry: ConfigEntry
) -> None:
    manager = async_get_manager(hass)
    [agent_id] = [one for one in manager.backup_agents if one.startswith(DOMAIN)]
    manager.config.update(create_backup=CreateBackupParametersDict(agent_ids=[agent_id]))
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()

    form = await person.allows(await person.adds_integration())
    text = shown(await person.answers(form, folder="/Mine"))
    assert "still switched *on*" in text
    assert "*off*" not in text


@pytest.mark.parametrize("password", [None, "a key"])
async def test_without_an_encryption_key_the_last_page_warns(
    hass: HomeAssistant, person: Person, folder_form: JsonObject, password: str | None
) -> None:
    config = async_get_manager(hass).config
    config.update(create_backup=CreateBackupParametersDict(password=password))
    text = shown(await person.answers(folder_form, folder=DEFAULT_FOLDER))
    assert ("will not be encrypted" in text) is (password is None)


async def test_an_account_that_is_added_again_finds_its_folder_suggested(
    hass: HomeAssistant, person: Person, entry: ConfigEntry
) -> None:
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    form = await person.allows(await person.adds_integration())
    assert form["data_schema"][0]["default"] == "/Mine"


# Folders that have backups


def _put_catalog(server: DropboxServer, app: DropboxApp, folder: str) -> None:
    server.account.app_files(app).put(f"{folder}/{CATALOG_NAME}", write_catalog({}))
    server.clock.advance(60)


def _offered(form: JsonObject) -> list[str] | None:
    """Return what the field for the folder offers; None: it is plain."""
    (field,) = form["data_schema"]
    assert field["name"] == CONF_FOLDER
    if (select := field["selector"].get("select")) is None:
        assert "text" in field["selector"]
        return None
    assert select["custom_value"] is True
    return [str(option) for option in select["options"]]


async def test_folders_that_have_backups_are_offered_and_any_other_can_be_typed(
    hass: HomeAssistant,
    person: Person,
    app: DropboxApp,
    before_dropbox: JsonObject,
    dropbox_server: DropboxServer,
) -> None:
    for folder in ("/Old house/Backups", "", "/Häuser/Neu"):
        _put_catalog(dropbox_server, app, folder)
    form = await person.allows(before_dropbox)
    expected = [DEFAULT_FOLDER, "/Häuser/Neu", "/", "/Old house/Backups"]
    assert _offered(form) == expected
    assert form["data_schema"][0]["default"] == DEFAULT_FOLDER, "offered, not chosen for anybody"

    form = await person.answers(form, folder="typed badly.")
    assert form["errors"] == {CONF_FOLDER: Obstacle.NAME_ENDS_BADLY}
    assert _offered(form) == expected
    assert dropbox_server.log.count(SEARCH) == 1
    done = await person.answers(form, folder=" typed/Well ")
    assert done["type"] == "create_entry"
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.data[CONF_FOLDER] == "/typed/Well"
    await hass.async_block_till_done()

    form = await person.chooses(await person.reconfigures(entry), "folder")
    offered = _offered(form)
    assert offered is not None
    assert offered[0] == form["data_schema"][0]["default"] == "/typed/Well"
    assert set(expected) < set(offered)
    step = await person.answers(form, folder="/Old house/Backups")
    assert (step["type"], step["reason"]) == ("abort", "folder_changed")
    await hass.async_block_till_done()
    assert entry.data[CONF_FOLDER] == "/Old house/Backups"


async def test_only_folders_of_catalogs_are_offered_and_not_too_many(
    person: Person,
    app: DropboxApp,
    before_dropbox: JsonObject,
    dropbox_server: DropboxServer,
) -> None:
    tree = dropbox_server.account.app_files(app)
    for name in ("my dropbox_backup_catalog.json", "dropbox_backup_catalog (1).json"):
        tree.put(f"/Copies/{name}", b"{}")
    tree.create_folder(f"/A folder/{CATALOG_NAME}")
    for number in range(15):
        _put_catalog(dropbox_server, app, f"/Home {number:02}")
    _put_catalog(dropbox_server, app, "/Not for us.")
    form = await person.allows(before_dropbox)
    latest = [f"/Home {number:02}" for number in range(14, 4, -1)]
    assert _offered(form) == [DEFAULT_FOLDER, *latest]


async def test_what_is_only_offered_keeps_nobody_from_going_on(
    person: Person,
    app: DropboxApp,
    before_dropbox: JsonObject,
    dropbox_server: DropboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _put_catalog(dropbox_server, app, "/Mine")
    set_waits(monkeypatch, for_search=0.3)
    dropbox_server.faults.add(
        Fault(FaultKind.STALL, SEARCH, when="before", seconds=60.0, times=None)
    )
    form = await person.allows(before_dropbox)
    assert _offered(form) is None
    done = await person.answers(form, folder="/Mine")
    assert done["type"] == "create_entry"
    dropbox_server.faults.clear()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, SEARCH, status=500, times=None),
        Fault(FaultKind.STATUS, SEARCH, status=429, times=None),
        Fault(FaultKind.GARBAGE, SEARCH, times=None),
        Fault(FaultKind.RESET_BEFORE_BODY, SEARCH, times=None),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
async def test_a_search_that_fails_offers_nothing(
    person: Person,
    app: DropboxApp,
    before_dropbox: JsonObject,
    dropbox_server: DropboxServer,
    fault: Fault,
) -> None:
    _put_catalog(dropbox_server, app, "/Mine")
    dropbox_server.faults.add(fault)
    form = await person.allows(before_dropbox)
    assert _offered(form) is None
    assert dropbox_server.log.count(SEARCH) == 1, "a person waits: once must do"
    dropbox_server.faults.clear()


async def test_nonsense_among_what_is_found_is_left_out(
    person: Person,
    before_dropbox: JsonObject,
    dropbox_server: DropboxServer,
) -> None:
    def match(path: str | None, tag: str = "file") -> JsonObject:
        file = {
            ".tag": tag,
            "name": CATALOG_NAME,
            "id": "id:abcdefghijk",
            "client_modified": "2026-01-02T03:04:05Z",
            "server_modified": "2026-01-02T03:04:05Z",
            "rev": "0123456789abcdef",
            "size": 2,
        }
        if path is not None:
            file |= {"path_display": path, "path_lower": path.lower()}
        return {"metadata": {".tag": "metadata", "metadata": file}}

    matches = [
        match(None),
        match(""),
        match(CATALOG_NAME),
        match(f"relative/{CATALOG_NAME}"),
        match(f"/Elsewhere/{CATALOG_NAME}", "deleted"),
        match("/Elsewhere/another.json"),
        match(f"/Ctrl\u0007/{CATALOG_NAME}"),
        match(f"/Half\ud800/{CATALOG_NAME}"),
        match(f"//twice//{CATALOG_NAME}"),
        match(f"/{'long/' * 900}{CATALOG_NAME}"),
        match(f"/dot./{CATALOG_NAME}"),
        {"metadata": {".tag": "something_new", "something_new": 1}},
        match(f"/Good/{CATALOG_NAME}"),
        match(f"/Good/{CATALOG_NAME}"),
    ]
    body = json.dumps({"matches": matches, "has_more": False})
    dropbox_server.faults.add(Fault(FaultKind.STATUS, SEARCH, status=200, body=body))
    form = await person.allows(before_dropbox)
    assert _offered(form) == [DEFAULT_FOLDER, "/Half?", "/Good"]


# Options


def _plain(form: JsonObject) -> list[JsonObject]:
    return [field for field in form["data_schema"] if field.get("type") != "expandable"]


def _section(form: JsonObject) -> dict[str, JsonObject]:
    (section,) = [field for field in form["data_schema"] if field.get("type") == "expandable"]
    return {field["name"]: field for field in section["schema"]}


PLAIN_OPTIONS = {"upload_automatically": True, "keep": 10, "check_interval": 24, "alarm_after": 3}
MANNERS = {
    "speed_limit": 7.5,
    "hours_from": "23:00:00",
    "hours_to": "06:30:00",
    "chunks_at_once": 3,
}


async def test_speed_and_hours_are_in_force_at_once_and_can_be_taken_back(
    hass: HomeAssistant, person: Person, entry: ConfigEntry
) -> None:
    form = await person.opens_options(entry)
    section = _section(form)
    assert section["speed_limit"]["default"] == 0
    assert section["chunks_at_once"]["default"] == 10
    assert "default" not in section["hours_from"]

    done = await person.sets_options(form, **PLAIN_OPTIONS, speed_and_hours=MANNERS)
    assert done["type"] == "create_entry"
    await hass.async_block_till_done()
    assert entry.options == {**PLAIN_OPTIONS, **MANNERS}
    policy = entry.runtime_data.engine.policy
    assert policy.bytes_per_second == 937_500
    assert policy.hours == Hours(time(23), time(6, 30))
    assert policy.chunks_at_once == 3

    form = await person.opens_options(entry)
    shown = {name: field["description"] for name, field in _section(form).items()}
    assert shown == {name: {"suggested_value": value} for name, value in MANNERS.items()}
    # Emptied fields are not sent.
    manners = {"speed_limit": 0, "chunks_at_once": 10}
    await person.sets_options(form, **PLAIN_OPTIONS, speed_and_hours=manners)
    await hass.async_block_till_done()
    policy = entry.runtime_data.engine.policy
    assert policy.bytes_per_second is None
    assert policy.hours is None
    assert policy.chunks_at_once is None, "the default gives way where memory is short"


async def test_who_does_not_look_into_the_section_changes_nothing_there(
    hass: HomeAssistant, person: Person, entry: ConfigEntry
) -> None:
    form = await person.opens_options(entry)
    await person.sets_options(form, **PLAIN_OPTIONS, speed_and_hours=MANNERS)
    await hass.async_block_till_done()
    form = await person.opens_options(entry)
    await person.sets_options(form, **(PLAIN_OPTIONS | {"keep": 4}))
    await hass.async_block_till_done()
    assert entry.options == {**PLAIN_OPTIONS, **MANNERS, "keep": 4}


@pytest.mark.parametrize(
    ("hours", "error"),
    [
        ({"hours_from": "01:00:00"}, "half_of_the_hours"),
        ({"hours_to": "01:00:00"}, "half_of_the_hours"),
        ({"hours_from": "01:00:00", "hours_to": "01:00:00"}, "no_hours"),
        ({"hours_from": "01:00:10", "hours_to": "01:00:20"}, "no_hours"),
    ],
)
async def test_hours_that_mean_nothing_are_refused_and_what_was_typed_stays(
    person: Person, entry: ConfigEntry, hours: dict[str, str], error: str
) -> None:
    form = await person.opens_options(entry)
    again = await person.sets_options(
        form,
        **(PLAIN_OPTIONS | {"keep": 4}),
        speed_and_hours={"speed_limit": 8, "chunks_at_once": 8} | hours,
    )
    assert again["type"] == "form"
    assert again["errors"] == {"speed_and_hours": error}, "where the frontend shows it"
    (section,) = [field for field in again["data_schema"] if field.get("type") == "expandable"]
    assert section["expanded"], "the trouble is in there"
    shown = {name: field.get("description") for name, field in _section(again).items()}
    assert shown["speed_limit"] == {"suggested_value": 8}
    keep = next(field for field in _plain(again) if field["name"] == "keep")
    assert keep["description"] == {"suggested_value": 4}
    assert entry.options == {}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("speed_limit", -1),
        ("speed_limit", 0.05),
        ("speed_limit", 10_001),
        ("chunks_at_once", 0),
        ("chunks_at_once", 2.5),
        ("chunks_at_once", 17),
    ],
)
async def test_a_number_that_means_nothing_in_the_section_is_told_at_the_section(
    person: Person, entry: ConfigEntry, field: str, wrong: float
) -> None:
    form = await person.opens_options(entry)
    form = await person.sets_options(
        form, **PLAIN_OPTIONS, speed_and_hours=MANNERS | {field: wrong}
    )
    assert form["errors"] == {"speed_and_hours": f"wrong_{field}"}
    (section,) = [one for one in form["data_schema"] if one.get("type") == "expandable"]
    assert section["expanded"]
    name = TEXTS["options"]["step"]["init"]["sections"]["speed_and_hours"]["data"][field]
    assert TEXTS["options"]["error"][f"wrong_{field}"].startswith(name.partition(",")[0])
    assert _section(form)[field]["description"] == {"suggested_value": wrong}
    assert entry.options == {}
    done = await person.sets_options(form, **PLAIN_OPTIONS, speed_and_hours=MANNERS)
    assert done["type"] == "create_entry"


async def test_a_time_that_there_is_not_is_refused(person: Person, entry: ConfigEntry) -> None:
    form = await person.opens_options(entry)
    with pytest.raises(Exception, match="hours_from"):
        await person.sets_options(
            form, **PLAIN_OPTIONS, speed_and_hours=MANNERS | {"hours_from": "25:00"}
        )
    assert entry.options == {}


async def test_the_options_begin_with_what_is_in_force_and_are_in_force_at_once(
    hass: HomeAssistant, person: Person, entry: ConfigEntry
) -> None:
    form = await person.opens_options(entry)
    assert {field["name"]: field["default"] for field in _plain(form)} == {
        "upload_automatically": True,
        "keep": 10,
        "check_interval": 24,
        "alarm_after": 3,
    }
    before = entry.runtime_data
    chosen = {"upload_automatically": False, "keep": 0, "check_interval": 6.0, "alarm_after": 0}
    done = await person.sets_options(form, **chosen)
    assert done["type"] == "create_entry"
    await hass.async_block_till_done()
    assert entry.options == chosen
    assert all(isinstance(value, int) for value in entry.options.values())
    assert entry.runtime_data is before, "nothing is begun anew"

    form = await person.opens_options(entry)
    shown = {field["name"]: field["description"] for field in _plain(form)}
    assert shown["check_interval"] == {"suggested_value": 6}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("keep", -1),
        ("keep", 2.5),
        ("keep", 0.05),
        ("keep", 1001),
        ("check_interval", 0),
        ("check_interval", 1.5),
        ("check_interval", 169),
        ("alarm_after", -1),
        ("alarm_after", 0.5),
        ("alarm_after", 366),
    ],
)
async def test_a_number_that_means_nothing_is_told_at_its_field_and_nothing_is_stored(
    person: Person, entry: ConfigEntry, field: str, wrong: float
) -> None:
    form = await person.opens_options(entry)
    form = await person.sets_options(form, **(PLAIN_OPTIONS | {field: wrong}))
    assert form["errors"] == {field: f"wrong_{field}"}
    shown = {one["name"]: one["description"] for one in _plain(form)}
    assert shown[field] == {"suggested_value": wrong}
    assert entry.options == {}


async def test_all_errors_are_told_at_once(person: Person, entry: ConfigEntry) -> None:
    form = await person.opens_options(entry)
    form = await person.sets_options(
        form,
        **(PLAIN_OPTIONS | {"keep": 2.5, "alarm_after": -1}),
        speed_and_hours=MANNERS | {"speed_limit": 0.05},
    )
    assert form["errors"].keys() == {"keep", "alarm_after", "speed_and_hours"}
