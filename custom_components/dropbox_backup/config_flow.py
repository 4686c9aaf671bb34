"""Signing in to Dropbox, and choosing the backup folder."""

from collections.abc import Mapping
from itertools import count
import logging
from typing import Any, override

from homeassistant.components.backup import async_get_manager
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigFlowResult,
    FlowType,
    OptionsFlow,
)
from homeassistant.const import (
    CONF_ACCESS_TOKEN,
    CONF_CLIENT_ID,
    CONF_CLIENT_SECRET,
    CONF_TOKEN,
)
from homeassistant.core import callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import (
    HomeAssistantError,
    ImplementationUnavailableError,
    UnknownImplementationError,
)
from homeassistant.helpers import instance_id
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.config_entry_oauth2_flow import (
    AbstractOAuth2FlowHandler,
    OAuth2Session,
    async_get_config_entry_implementation,
)
from homeassistant.helpers.selector import (
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import voluptuous as vol

from .application_credentials import (
    AppRefusedError,
    DropboxImplementation,
    console_url,
    forget_unused_app,
    redirect_placeholders,
    replace_app,
)
from .auth import EntryToken
from .const import (
    CONF_FOLDER,
    DEFAULT_FOLDER,
    DEFAULT_KEEP,
    DOMAIN,
    ROOT_FOLDER,
)
from .coordinator import DropboxBackupConfigEntry
from .dropbox_api.calls import GetToken
from .dropbox_api.client import DropboxClient
from .dropbox_api.errors import SignInError
from .options_flow import DropboxBackupOptionsFlow
from .sync.account import (
    Obstacle,
    ObstacleError,
    check_sign_in,
    folder_path,
    folders_with_backups,
    look_into,
    missing_permissions,
    prove_writable,
)
from .sync.account_notes import notes_name
from .sync.alarm import size_text
from .sync.journal import folder_used_before
from .texts import common_texts

_LOGGER = logging.getLogger(__name__)

CONF_IMPLEMENTATION = "auth_implementation"

# A person waits for the answer, and can try again.
_PATIENCE = 10.0
_NAMELESS = "Dropbox"

# Nothing that could be typed into the folder's form helps against these.
_NEEDS_NEW_SIGN_IN = {Obstacle.MISSING_PERMISSIONS, Obstacle.SIGN_IN_REFUSED}
# What Home Assistant's part of the flow ends with: in our words, with what to do about it.
_IN_OUR_WORDS = {
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
_ABOUT_THE_FOLDER = {
    Obstacle.NAME_TOO_LONG,
    Obstacle.NAME_ENDS_BADLY,
    Obstacle.NAME_HAS_BACKSLASH,
    Obstacle.NAME_HAS_CONTROL,
    Obstacle.NAME_REFUSED,
    Obstacle.FILE_IN_PLACE,
    Obstacle.NOT_WRITABLE,
}


_APP = vol.Schema(
    {
        vol.Required(CONF_CLIENT_ID): TextSelector(),
        vol.Required(CONF_CLIENT_SECRET): TextSelector(
            TextSelectorConfig(type=TextSelectorType.PASSWORD)
        ),
    }
)


class DropboxBackupConfigFlow(AbstractOAuth2FlowHandler, domain=DOMAIN):
    """Sets up one Dropbox account, signs in again, or changes the folder."""

    DOMAIN = DOMAIN
    VERSION = 1

    def __init__(self) -> None:
        """Nobody has signed in yet."""
        super().__init__()
        self._app = ""
        self._app_asked_about = ("", "")
        self._refused_apps: set[str] = set()
        self._name = ""
        self._data: dict[str, Any] = {}  # Any: Home Assistant's own type for entry data
        self._missing: tuple[str, ...] = ()
        self._with_backups: list[str] | None = None

    @property
    @override
    def logger(self) -> logging.Logger:
        """The logger that Home Assistant's part of the flow uses."""
        return _LOGGER

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: DropboxBackupConfigEntry) -> OptionsFlow:
        """Return the options flow."""
        return DropboxBackupOptionsFlow()

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
        if reason in _IN_OUR_WORDS:
            translation_domain = DOMAIN
        return super().async_abort(
            reason=reason,
            description_placeholders=description_placeholders,
            translation_domain=translation_domain,
            next_flow=next_flow,
        )

    # Signing in with the user's app

    @override
    async def async_step_auth(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Go to Dropbox's page, but with an app that Dropbox knows: for others it has a page from
        where nobody comes back.
        """
        if user_input is None and await self._app_is_refused():
            return await self.async_step_app()
        result = await super().async_step_auth(user_input)
        if result["type"] is FlowResultType.EXTERNAL_STEP:
            result["description_placeholders"] = await redirect_placeholders(self.hass)
        return result

    async def _app_is_refused(self) -> bool:
        """Ask Dropbox once for each key and secret: who enters the same again knows better."""
        app = self.flow_impl
        assert isinstance(app, DropboxImplementation)  # our domain has no others
        key_and_secret = (app.client_id, app.client_secret)
        if key_and_secret == self._app_asked_about:
            return False
        self._app_asked_about = key_and_secret
        return await app.is_refused()

    @override
    async def async_step_creation(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take what came back from Dropbox's page."""
        try:
            return await super().async_step_creation(user_input)
        except AppRefusedError:
            return await self.async_step_app()

    async def async_step_app(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for key and secret again, and store them instead of those that Dropbox refused."""
        app = self.flow_impl
        assert isinstance(app, DropboxImplementation)
        # Without a word, the same form again would look as if nothing had happened.
        errors = {"base": "still_refused"} if self._refused_apps else {}
        if user_input is not None:
            given = {field: text.strip() for field, text in user_input.items()}
            errors = {field: "empty" for field, text in given.items() if not text}
            if not errors:
                self._refused_apps.add(app.domain)
                self._app = await replace_app(
                    self.hass, app.domain, given[CONF_CLIENT_ID], given[CONF_CLIENT_SECRET]
                )
                return await self._sign_in_with_the_same_app()
        return self.async_show_form(
            step_id="app",
            data_schema=self.add_suggested_values_to_schema(
                _APP, user_input or {CONF_CLIENT_ID: app.client_id}
            ),
            errors=errors,
            description_placeholders={"console_url": console_url(), "app": app.name},
        )

    # After signing in, for whatever reason

    @override
    async def async_oauth_create_entry(self, data: dict[str, Any]) -> ConfigFlowResult:
        """Check the new sign-in, then go on to the folder, or renew the entry."""
        self._app = data[CONF_IMPLEMENTATION]
        token = data[CONF_TOKEN]
        try:
            account = await check_sign_in(self._client(_only(token[CONF_ACCESS_TOKEN])), token)
        except ObstacleError as err:
            return self._give_up(err)
        # A flow that was left open somewhere must not be in the way.
        await self.async_set_unique_id(account.account_id, raise_on_progress=False)
        if self.source == SOURCE_REAUTH:
            return await self._renew(self._get_reauth_entry(), data)
        if self.source == SOURCE_RECONFIGURE:
            return await self._renew(self._get_reconfigure_entry(), data)
        self._abort_if_unique_id_configured()
        self._data = data
        self._name = account.name or _NAMELESS
        return await self.async_step_folder()

    async def _renew(
        self, entry: DropboxBackupConfigEntry, data: dict[str, Any]
    ) -> ConfigFlowResult:
        self._abort_if_unique_id_mismatch(
            reason="wrong_account", description_placeholders={"account": entry.title}
        )
        result = self.async_update_and_abort(entry, data_updates=data)
        self.hass.config_entries.async_schedule_reload(entry.entry_id)
        for app in self._refused_apps:
            await forget_unused_app(self.hass, app)
        return result

    def _give_up(self, err: ObstacleError) -> ConfigFlowResult:
        if err.permissions:
            self._missing = err.permissions
            return self._ask_for_permissions()
        return self.async_abort(
            reason=err.obstacle, description_placeholders={"reason": err.reason}
        )

    async def async_step_permissions(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Sign in again, after the user has ticked what was missing."""
        if user_input is None:
            return self._ask_for_permissions()
        return await self._sign_in_with_the_same_app()

    def _ask_for_permissions(self) -> ConfigFlowResult:
        return self.async_show_form(
            step_id="permissions",
            description_placeholders={
                "console_url": console_url(),
                "permissions": "\n".join(f"- `{scope}`" for scope in self._missing),
            },
        )

    async def _sign_in_with_the_same_app(self) -> ConfigFlowResult:
        """Go to Dropbox. Another app could have another folder; it is only asked for if that one
        is gone.
        """
        return await self.async_step_pick_implementation({"implementation": self._app})

    # The folder

    async def async_step_folder(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the folder, and prove that backups can be kept there."""
        errors: dict[str, str] = {}
        reason = ""
        if user_input is not None:
            try:
                folder = folder_path(user_input[CONF_FOLDER])
                await prove_writable(await self._signed_in_client(), folder)
            except ObstacleError as err:
                if err.obstacle in _NEEDS_NEW_SIGN_IN:
                    return self._give_up(err)
                field = CONF_FOLDER if err.obstacle in _ABOUT_THE_FOLDER else "base"
                errors[field] = err.obstacle
                # An invisible character would break the sentence.
                reason = err.reason if err.obstacle is not Obstacle.NAME_HAS_CONTROL else ""
            else:
                return await self._use(folder)
        schema = await self._folder_schema()
        return self.async_show_form(
            step_id="folder",
            data_schema=self.add_suggested_values_to_schema(schema, user_input),
            errors=errors,
            description_placeholders={"reason": reason},
        )

    async def _folder_schema(self) -> vol.Schema:
        """Suggest the folder in use, or the one that was before the account was removed, and offer
        others that have backups.
        """
        if self.source == SOURCE_RECONFIGURE:
            now = self._get_reconfigure_entry().data[CONF_FOLDER] or ROOT_FOLDER
        else:
            assert self.unique_id
            before = await folder_used_before(self.hass, notes_name(self.unique_id))
            now = before or DEFAULT_FOLDER
        offered = list(dict.fromkeys([now, *await self._folders_with_backups(), DEFAULT_FOLDER]))
        if self._with_backups in ([], [now]):  # a list would only be in the way
            return vol.Schema({vol.Required(CONF_FOLDER, default=now): TextSelector()})
        config = SelectSelectorConfig(
            options=offered, custom_value=True, mode=SelectSelectorMode.DROPDOWN
        )
        return vol.Schema({vol.Required(CONF_FOLDER, default=now): SelectSelector(config)})

    async def _folders_with_backups(self) -> list[str]:
        """Ask Dropbox once, also if the form is shown again."""
        if self._with_backups is None:
            try:
                found = await folders_with_backups(await self._signed_in_client())
            except ObstacleError:  # told when a folder is chosen
                found = []
            self._with_backups = [folder or ROOT_FOLDER for folder in found]
        return self._with_backups

    async def _use(self, folder: str) -> ConfigFlowResult:
        told = {
            "folder": folder or ROOT_FOLDER,
            "found": await self._found_in(folder),
        }
        if self.source == SOURCE_RECONFIGURE:
            entry = self._get_reconfigure_entry()
            before = entry.data[CONF_FOLDER]
            result = self.async_update_and_abort(
                entry,
                data_updates={CONF_FOLDER: folder},
                reason="folder_kept" if folder == before else "folder_changed",
            )
            self.hass.config_entries.async_schedule_reload(entry.entry_id)
            result["description_placeholders"] = {**told, "before": before or ROOT_FOLDER}
            return result
        return self.async_create_entry(
            title=self._title(),
            data={**self._data, CONF_FOLDER: folder},
            description_placeholders={
                **told,
                "readable": await self._readable(),
                "keep": str(DEFAULT_KEEP),
            },
        )

    async def _found_in(self, folder: str) -> str:
        """Say what lies in a folder already."""
        client = await self._signed_in_client()
        contents = await look_into(client, folder, await instance_id.async_get(self.hass))
        texts = await common_texts(self.hass)
        if contents is None:
            return ""
        parts = []
        if contents.own:
            size = size_text(contents.own_size)
            parts.append(texts["found_own"].format(count=contents.own, size=size))
        if contents.others:
            size = size_text(contents.others_size)
            parts.append(texts["found_others"].format(count=contents.others, size=size))
        if contents.unknown:
            parts.append(texts["found_unknown"].format(count=contents.unknown))
        listed = "\n".join(f"- {part}" for part in parts)
        return f"\n\n{texts['found']}\n\n{listed}" if parts else f" {texts['found_nothing']}"

    async def _readable(self) -> str:
        """Warn that backups go up readable, if Home Assistant has no key to encrypt them."""
        try:
            password = async_get_manager(self.hass).config.data.create_backup.password
        except HomeAssistantError:  # not set up
            return ""
        if password:
            return ""
        return f"\n\n{(await common_texts(self.hass))['no_encryption_key']}"

    def _title(self) -> str:
        """Return the account's name, with a number if another account has the same.

        Not its e-mail address: the title gets into names of entities, and from there into logs.
        """
        taken = {entry.title for entry in self._async_current_entries()}
        if self._name not in taken:
            return self._name
        titles = (f"{self._name} {number}" for number in count(2))
        return next(title for title in titles if title not in taken)

    # Signing in again

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Tell why to sign in again."""
        self._app = entry_data[CONF_IMPLEMENTATION]
        self._missing = missing_permissions(entry_data[CONF_TOKEN])
        if self._missing:
            return self._ask_for_permissions()
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Sign in again when the user is ready."""
        if user_input is not None:
            return await self._sign_in_with_the_same_app()
        return self.async_show_form(
            step_id="reauth_confirm",
            description_placeholders={"account": self._get_reauth_entry().title},
        )

    # Reconfiguring

    async def async_step_reconfigure(
        self, _user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose what to change."""
        return self.async_show_menu(step_id="reconfigure", menu_options=["sign_in", "folder"])

    async def async_step_sign_in(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Sign in again, with another app if the user likes."""
        return await self.async_step_user(user_input)

    # Dropbox

    def _client(self, get_token: GetToken) -> DropboxClient:
        return DropboxClient(async_get_clientsession(self.hass), get_token, patience=_PATIENCE)

    async def _signed_in_client(self) -> DropboxClient:
        """Return a client for the account of this flow. Raises `ObstacleError`."""
        if self.source != SOURCE_RECONFIGURE:
            return self._client(_only(self._data[CONF_TOKEN][CONF_ACCESS_TOKEN]))
        entry = self._get_reconfigure_entry()
        try:
            implementation = await async_get_config_entry_implementation(self.hass, entry)
        except (ImplementationUnavailableError, UnknownImplementationError) as err:
            reason = "the key and the secret of the Dropbox app are gone from Home Assistant"
            raise ObstacleError(Obstacle.SIGN_IN_REFUSED, reason) from err
        return self._client(EntryToken(OAuth2Session(self.hass, entry, implementation)).get)


def _only(access_token: str) -> GetToken:
    """Return a source of just this access token: a new one needs no renewal yet."""

    async def get_token(refused: str | None) -> str:
        if refused is not None:
            raise SignInError("the new access token was not accepted")
        return access_token

    return get_token
