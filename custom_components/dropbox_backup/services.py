"""The actions: what a person or an automation may ask the worker to do."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Never

from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv, service
from homeassistant.util.json import JsonObjectType
import voluptuous as vol

from . import responses
from .codes import Reason
from .const import DOMAIN
from .coordinator import DropboxBackupConfigEntry
from .dropbox_api.errors import (
    DropboxError,
    NotFoundError,
    SignInError,
)
from .sync.decide.lookup import Meant
from .sync.decide.models import BackupId, date_of
from .sync.engine import Engine
from .sync.pruner import Asked
from .sync.report.alarm import Alarm
from .sync.report.problems import problem_of
from .sync.report.state import Problem, ProblemKind
from .sync.requests import Outcome, Outcomes, Selection
from .texts import Texts, texts_of

CONF_CONFIG_ENTRY_ID: Final = "config_entry_id"
CONF_BACKUP_IDS: Final = "backup_ids"
CONF_LATEST: Final = "latest"
CONF_WAIT: Final = "wait"
CONF_DRY_RUN: Final = "dry_run"
CONF_CONFIRM: Final = "confirm"

_ENTRY = {vol.Optional(CONF_CONFIG_ENTRY_ID): cv.string}
_BACKUP_IDS = vol.All(cv.ensure_list, [vol.All(cv.string, vol.Length(min=1))], vol.Length(min=1))

type Handler = Callable[[Engine, ServiceCall], Coroutine[Any, Any, ServiceResponse]]


async def _upload(engine: Engine, call: ServiceCall) -> ServiceResponse:
    given = call.data.get(CONF_BACKUP_IDS, [])
    if given and call.data[CONF_LATEST]:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="backup_ids_or_latest"
        )
    refuse_while_paused(engine)
    ids = _ids_of(await engine.look_up(given), texts_of(call.hass))
    selection = Selection(frozenset(ids), latest=call.data[CONF_LATEST])
    uploading = engine.request("an action asked for it", selection)
    if not call.data[CONF_WAIT]:
        return {"backups": []} if call.return_response else None
    # Should the caller stop waiting, the upload goes on.
    await asyncio.wait([uploading])
    if uploading.cancelled():
        raise HomeAssistantError(translation_domain=DOMAIN, translation_key="upload_interrupted")
    return _uploaded(uploading.result(), engine, call)


def _uploaded(outcomes: Outcomes, engine: Engine, call: ServiceCall) -> ServiceResponse:
    texts = texts_of(call.hass)
    if not outcomes and (problem := engine.problem) is not None:
        raise error_of(call.hass, problem)
    if not outcomes and call.data[CONF_LATEST]:
        raise HomeAssistantError(translation_domain=DOMAIN, translation_key="no_local_backup")
    failed = [one for one in outcomes.values() if one.error is not None]
    if failed and not call.return_response:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="upload_failed",
            translation_placeholders={
                "backups": texts.write(
                    tuple(
                        Reason.of(Alarm.OF_BACKUP, name=one.name, reason=one.error)
                        for one in sorted(failed, key=lambda one: one.name)
                        if one.error is not None
                    )
                )
            },
        )
    return {
        "backups": [
            _outcome(backup_id, one, engine, texts)
            for backup_id, one in sorted(outcomes.items(), key=lambda item: item[1].name)
        ],
        # An empty list needs an explanation.
        "in_dropbox": engine.state.good,
    }


def _outcome(backup_id: BackupId, one: Outcome, engine: Engine, texts: Texts) -> JsonObjectType:
    if one.remote is not None:
        return responses.remote_backup(one.remote, engine, texts)
    about: JsonObjectType = {"backup_id": backup_id, "name": one.name}
    return about | responses.because(one.error, texts, "error") if one.error else about


async def _list_backups(engine: Engine, call: ServiceCall) -> ServiceResponse:
    texts = texts_of(call.hass)
    return {
        "backups": [
            {
                **responses.remote_backup(one.backup, engine, texts),
                "keep": one.keep,
                **responses.because(one.reason, texts),
            }
            for one in await engine.judge()
        ]
    }


async def _delete(engine: Engine, call: ServiceCall) -> ServiceResponse:
    texts = texts_of(call.hass)
    ids = _ids_of(engine.look_up_in_dropbox(call.data[CONF_BACKUP_IDS]), texts)
    there = map(engine.get, ids)
    if pinned := [one.backup.name for one in there if one is not None and one.pinned]:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="backups_pinned",
            translation_placeholders={"backups": ", ".join(sorted(pinned))},
        )
    try:
        deleted = await engine.delete(ids, Reason(Asked.BY_ACTION))
    except NotFoundError:  # somebody else deleted it first
        _raise_unknown(ids)
    return {"deleted": [responses.remote_backup(one, engine, texts) for one in deleted]}


async def _apply_retention(engine: Engine, call: ServiceCall) -> ServiceResponse:
    texts = texts_of(call.hass)
    if call.data[CONF_DRY_RUN]:
        plan = await engine.preview()
        to_delete = [one.backup for one in plan.verdicts if not one.keep]
        return {
            **responses.retention(plan.verdicts, to_delete, texts),
            **responses.uploads(plan, texts),
        }
    pruning = await engine.apply_retention(consent=call.data[CONF_CONFIRM])
    if pruning.unconfirmed and not call.return_response:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="deletions_unconfirmed",
            translation_placeholders={"count": str(len(pruning.unconfirmed))},
        )
    return {
        **responses.retention(pruning.verdicts, pruning.deleted, texts),
        "unconfirmed": responses.retention(pruning.verdicts, pruning.unconfirmed, texts)["delete"],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action; its texts are in the translations and its form in services.yaml."""

    name: str
    handler: Handler
    response: SupportsResponse
    fields: dict[vol.Marker, Any]  # what voluptuous takes as a validator


ACTIONS = (
    Action(
        name="upload",
        handler=_upload,
        response=SupportsResponse.OPTIONAL,
        fields={
            vol.Optional(CONF_BACKUP_IDS): _BACKUP_IDS,
            vol.Optional(CONF_LATEST, default=False): cv.boolean,
            vol.Optional(CONF_WAIT, default=True): cv.boolean,
        },
    ),
    Action(name="list_backups", handler=_list_backups, response=SupportsResponse.ONLY, fields={}),
    Action(
        name="delete",
        handler=_delete,
        response=SupportsResponse.OPTIONAL,
        fields={vol.Required(CONF_BACKUP_IDS): _BACKUP_IDS},
    ),
    Action(
        name="apply_retention",
        handler=_apply_retention,
        response=SupportsResponse.OPTIONAL,
        fields={
            vol.Optional(CONF_DRY_RUN, default=False): cv.boolean,
            vol.Optional(CONF_CONFIRM, default=False): cv.boolean,
        },
    ),
)


@callback
def async_register_services(hass: HomeAssistant) -> None:
    """Register the actions, for administrators only: they delete backups."""
    for action in ACTIONS:
        service.async_register_admin_service(
            hass,
            DOMAIN,
            action.name,
            partial(_run, action.handler),
            vol.Schema({**_ENTRY, **action.fields}),
            action.response,
        )


async def _run(handler: Handler, call: ServiceCall) -> ServiceResponse:
    """Find the account, and turn our errors into those that Home Assistant shows."""
    entry: DropboxBackupConfigEntry = service.async_get_config_entry(
        call.hass, DOMAIN, call.data.get(CONF_CONFIG_ENTRY_ID)
    )
    try:
        return await handler(entry.runtime_data.engine, call)
    except DropboxError as err:
        if isinstance(err, SignInError):
            entry.async_start_reauth(call.hass)
        key = _KEYS_OF_PROBLEMS.get(problem_of(err).kind, "dropbox_error")
        raise _error(call.hass, key, err.why) from err


def refuse_while_paused(engine: Engine) -> None:
    """Tell somebody who asks for an upload that there is none now, instead of keeping it for later.

    Raises `ServiceValidationError`.
    """
    if engine.paused:
        raise ServiceValidationError(translation_domain=DOMAIN, translation_key="uploads_paused")


def _ids_of(meant: Meant, texts: Texts) -> tuple[BackupId, ...]:
    """Return the ids of what was found. Raises `ServiceValidationError` if anything was not, or if
    it could be several.
    """
    if meant.unknown:
        _raise_unknown(meant.unknown)
    for name, backups in meant.ambiguous:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="ambiguous_backup",
            translation_placeholders={
                "name": name,
                "backups": ", ".join(
                    f"{one.backup_id} ({texts.date(date_of(one))})"
                    for one in sorted(backups, key=date_of, reverse=True)
                ),
            },
        )
    return meant.ids


def _raise_unknown(backup_ids: Iterable[str]) -> Never:
    raise ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="unknown_backup",
        translation_placeholders={"backup_ids": ", ".join(sorted(backup_ids))},
    )


_KEYS_OF_PROBLEMS = {
    ProblemKind.SIGN_IN: "sign_in_needed",
    ProblemKind.FULL: "dropbox_full",
    ProblemKind.UNREACHABLE: "cannot_connect",
    ProblemKind.LOCATION_UNREACHABLE: "location_unreachable",
}


def error_of(hass: HomeAssistant, problem: Problem) -> HomeAssistantError:
    """Return what to tell who asked for what this problem stops."""
    key = _KEYS_OF_PROBLEMS.get(problem.kind, "dropbox_error")
    cause = problem.reason.get("reason")
    # Most of these texts say already what the problem says.
    told = cause if key != "dropbox_error" and isinstance(cause, Reason) else problem.reason
    return _error(hass, key, told)


def _error(hass: HomeAssistant, key: str, reason: Reason) -> HomeAssistantError:
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=key,
        translation_placeholders={"reason": texts_of(hass).of(reason)},
    )
