"""Repair issues: what needs a person, and what they can do.

That somebody has to sign in again, Home Assistant says itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
import voluptuous as vol

from .const import CONF_FOLDER, DOMAIN
from .coordinator import DropboxBackupConfigEntry
from .sync.reconciler import Reconciler
from .sync.state import ProblemKind, State

_LISTED_NAMES = 10

type Placeholders = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One kind of issue: when it is there, and how it is fixed, if that can be done here.

    `about` fills in the texts, beside the name of the account and the backup folder.
    """

    kind: str
    severity: ir.IssueSeverity = ir.IssueSeverity.ERROR
    cause: Callable[[State], bool]
    about: Callable[[State], Placeholders] | None = None
    fix: Callable[[Reconciler], None] | None = None


def _has(kind: ProblemKind) -> Callable[[State], bool]:
    return lambda state: state.alarm is not None and state.alarm.kind is kind


def _unconfirmed(state: State) -> Placeholders:
    names = [f"- {one.backup.name}" for one in state.unconfirmed[:_LISTED_NAMES]]
    if (more := len(state.unconfirmed) - _LISTED_NAMES) > 0:
        names.append(f"- … (+{more})")
    return {"count": str(len(state.unconfirmed)), "backups": "\n".join(names)}


def _detail(state: State) -> Placeholders:
    return {"detail": state.alarm.detail if state.alarm else ""}


def _alarm(kind: ProblemKind) -> Issue:
    """Return the issue of an alarm that says itself what is the matter."""
    return Issue(kind=kind.value, cause=_has(kind), about=_detail)


ISSUES = (
    _alarm(ProblemKind.OVERDUE),
    _alarm(ProblemKind.NO_BACKUP),
    _alarm(ProblemKind.AUTOMATIC_OFF),
    _alarm(ProblemKind.UNREACHABLE),
    _alarm(ProblemKind.LOCATION_UNREACHABLE),
    _alarm(ProblemKind.UPLOAD_FAILED),
    _alarm(ProblemKind.VERIFICATION_FAILED),
    _alarm(ProblemKind.REFUSED),
    _alarm(ProblemKind.DISK),
    _alarm(ProblemKind.ALMOST_FULL),
    Issue(
        kind=ProblemKind.PAUSED_TOO_LONG.value,
        cause=_has(ProblemKind.PAUSED_TOO_LONG),
        about=_detail,
        fix=lambda reconciler: reconciler.resume_uploads(),
    ),
    Issue(kind="dropbox_full", cause=_has(ProblemKind.FULL), about=_detail),
    Issue(kind="folder_not_writable", cause=_has(ProblemKind.NOT_WRITABLE)),
    Issue(
        kind="folder_was_missing",
        severity=ir.IssueSeverity.WARNING,
        cause=lambda state: state.folder_was_missing,
        fix=lambda reconciler: reconciler.forget_missing_folder(),
    ),
    Issue(
        kind="confirm_retention",
        severity=ir.IssueSeverity.WARNING,
        cause=lambda state: bool(state.unconfirmed),
        about=_unconfirmed,
        fix=lambda reconciler: reconciler.confirm_retention(),
    ),
)


@callback
def async_update_issues(hass: HomeAssistant, entry: DropboxBackupConfigEntry, state: State) -> None:
    """Make the issues those of the state. The registry sees to it that only changes cost much."""
    for issue in ISSUES:
        if not issue.cause(state):
            ir.async_delete_issue(hass, DOMAIN, _id_of(issue, entry))
            continue
        ir.async_create_issue(
            hass,
            DOMAIN,
            _id_of(issue, entry),
            data={"entry_id": entry.entry_id, "kind": issue.kind},
            is_fixable=issue.fix is not None,
            severity=issue.severity,
            translation_key=issue.kind,
            translation_placeholders=_placeholders(issue, entry, state),
        )


@callback
def async_delete_issues(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Take back the issues of an account."""
    for issue in ISSUES:
        ir.async_delete_issue(hass, DOMAIN, _id_of(issue, entry))


def _id_of(issue: Issue, entry: DropboxBackupConfigEntry) -> str:
    return f"{issue.kind}_{entry.entry_id}"


def _placeholders(issue: Issue, entry: DropboxBackupConfigEntry, state: State) -> Placeholders:
    about = issue.about(state) if issue.about else {}
    folder = entry.data[CONF_FOLDER] or "/"
    return {"account": entry.title, "folder": folder, **about}


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that fixes an issue."""
    data = data or {}
    issue = next(one for one in ISSUES if one.kind == data.get("kind"))
    return ConfirmFlow(issue, str(data.get("entry_id")))


class ConfirmFlow(RepairsFlow):
    """Says what is going to happen, and does it when the user agrees."""

    def __init__(self, issue: Issue, entry_id: str) -> None:
        """Nothing is asked yet."""
        super().__init__()
        self._issue = issue
        self._entry_id = entry_id

    async def async_step_init(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Begin."""
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Show what is the matter as of now, not as of when the issue was made."""
        entry: DropboxBackupConfigEntry | None = self.hass.config_entries.async_get_entry(
            self._entry_id
        )
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        reconciler = entry.runtime_data.reconciler
        if user_input is not None and self._issue.fix is not None:
            self._issue.fix(reconciler)
            return self.async_create_entry(data={})
        return self.async_show_form(
            step_id="confirm",
            data_schema=vol.Schema({}),
            description_placeholders=_placeholders(self._issue, entry, reconciler.state),
        )
