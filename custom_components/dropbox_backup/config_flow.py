"""Setting up a Dropbox account, signing in again, and choosing the backup folder."""

from collections.abc import Mapping
from itertools import count
from typing import Any, override

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigFlowResult,
    OptionsFlow,
)
from homeassistant.const import CONF_ACCESS_TOKEN, CONF_TOKEN
from homeassistant.core import callback
from homeassistant.exceptions import ImplementationUnavailableError, UnknownImplementationError
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.config_entry_oauth2_flow import (
    OAuth2Session,
    async_get_config_entry_implementation,
)

from .auth import EntryToken, fixed_token
from .backup import agent_id_for
from .codes import Reason
from .const import (
    CONF_FOLDER,
    CONF_IMPLEMENTATION,
    DEFAULT_FOLDER,
    DEFAULT_KEEP,
    DOMAIN,
    ROOT_FOLDER,
)
from .coordinator import DropboxBackupConfigEntry
from .dropbox_api.calls import GetToken
from .dropbox_api.client import DropboxClient
from .dropbox_api.errors import Fault
from .dropbox_api.retry import RETRY_FOR, Waiter
from .folder_form import (
    contents_text,
    errors_of,
    folder_form,
    location_text,
    readable_text,
    reason_of,
)
from .options_flow import DropboxBackupOptionsFlow
from .sign_in_flow import SignInFlow
from .sync.remote.account import (
    Obstacle,
    ObstacleError,
    check_sign_in,
    folder_path,
    folders_with_backups,
    missing_permissions,
    prove_writable,
)
from .sync.storage.account_notes import notes_name
from .sync.storage.journal import folder_used_before
from .texts import load_texts

_NAMELESS = "Dropbox"
# Nothing that could be typed into the folder's form helps against these.
_NEEDS_NEW_SIGN_IN = {Obstacle.MISSING_PERMISSIONS, Obstacle.SIGN_IN_REFUSED}


class DropboxBackupConfigFlow(SignInFlow, domain=DOMAIN):
    """Sets up one Dropbox account, signs in again, or changes the folder."""

    VERSION = 1

    def __init__(self) -> None:
        """Nobody has signed in yet."""
        super().__init__()
        self._name = ""
        self._data: dict[str, Any] = {}  # Any: Home Assistant's own type for entry data
        self._with_backups: list[str] | None = None

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: DropboxBackupConfigEntry) -> OptionsFlow:
        """Return the options flow."""
        return DropboxBackupOptionsFlow()

    # After signing in, for whatever reason

    @override
    async def async_oauth_create_entry(self, data: dict[str, Any]) -> ConfigFlowResult:
        """Check the new sign-in, then go on to the folder, or renew the entry."""
        token = data[CONF_TOKEN]
        try:
            account = await check_sign_in(
                self._client(fixed_token(token[CONF_ACCESS_TOKEN])), token
            )
        except ObstacleError as err:
            return await self._give_up(err)
        # A flow that was left open elsewhere must not block this one.
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
        await self._forget_refused_apps()
        return result

    async def _give_up(self, err: ObstacleError) -> ConfigFlowResult:
        if err.permissions:
            return await self._ask_for_permissions(err.permissions)
        return self.async_abort(
            reason=err.obstacle,
            description_placeholders={"reason": reason_of(err, await load_texts(self.hass))},
        )

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
                    return await self._give_up(err)
                errors, reason = errors_of(err), reason_of(err, await load_texts(self.hass))
            else:
                return await self._use(folder)
        form = folder_form(await self._suggested_folder(), await self._folders_with_backups())
        return self.async_show_form(
            step_id="folder",
            data_schema=self.add_suggested_values_to_schema(form, user_input),
            errors=errors,
            description_placeholders={"reason": reason},
        )

    async def _suggested_folder(self) -> str:
        """Return the folder in use, or the one that was before the account was removed."""
        if self.source == SOURCE_RECONFIGURE:
            return self._get_reconfigure_entry().data[CONF_FOLDER] or ROOT_FOLDER
        assert self.unique_id
        return await folder_used_before(self.hass, notes_name(self.unique_id)) or DEFAULT_FOLDER

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
            "found": await contents_text(self.hass, await self._signed_in_client(), folder),
        }
        if self.source == SOURCE_RECONFIGURE:
            return self._change_folder(self._get_reconfigure_entry(), folder, told)
        return self.async_create_entry(
            title=self._title(),
            data={**self._data, CONF_FOLDER: folder},
            description_placeholders={
                **told,
                "readable": await readable_text(self.hass),
                "location": await location_text(self.hass, agent_id_for(self.unique_id)),
                "keep": str(DEFAULT_KEEP),
            },
        )

    def _change_folder(
        self, entry: DropboxBackupConfigEntry, folder: str, told: dict[str, str]
    ) -> ConfigFlowResult:
        before = entry.data[CONF_FOLDER]
        result = self.async_update_and_abort(
            entry,
            data_updates={CONF_FOLDER: folder},
            reason="folder_kept" if folder == before else "folder_changed",
        )
        self.hass.config_entries.async_schedule_reload(entry.entry_id)
        result["description_placeholders"] = {**told, "before": before or ROOT_FOLDER}
        return result

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
        if missing := missing_permissions(entry_data[CONF_TOKEN]):
            return await self._ask_for_permissions(missing)
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Sign in again when the user is ready."""
        if user_input is not None:
            return await self._sign_in_again()
        return self.async_show_form(
            step_id="reauth_confirm",
            description_placeholders={"account": self._get_reauth_entry().title},
        )

    # Reconfiguring

    async def async_step_reconfigure(
        self, _user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose what to change."""
        self._app = self._get_reconfigure_entry().data[CONF_IMPLEMENTATION]
        return self.async_show_menu(step_id="reconfigure", menu_options=["sign_in", "folder"])

    async def async_step_sign_in(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Sign in again, with another app if the user likes."""
        return await self.async_step_user(user_input)

    # Dropbox

    def _client(self, get_token: GetToken) -> DropboxClient:
        return DropboxClient(
            async_get_clientsession(self.hass), get_token, retry_for=RETRY_FOR[Waiter.DIALOG]
        )

    async def _signed_in_client(self) -> DropboxClient:
        """Return a client for the account of this flow. Raises `ObstacleError`."""
        if self.source != SOURCE_RECONFIGURE:
            return self._client(fixed_token(self._data[CONF_TOKEN][CONF_ACCESS_TOKEN]))
        entry = self._get_reconfigure_entry()
        try:
            implementation = await async_get_config_entry_implementation(self.hass, entry)
        except (ImplementationUnavailableError, UnknownImplementationError) as err:
            raise ObstacleError(Obstacle.SIGN_IN_REFUSED, Reason(Fault.APP_GONE)) from err
        return self._client(EntryToken(OAuth2Session(self.hass, entry, implementation)).get)
