"""Repair issues: what needs a person, and what they can do.

That somebody has to sign in again, Home Assistant says itself.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import voluptuous as vol

from .const import CONF_FOLDER, DOMAIN
from .coordinator import DropboxBackupConfigEntry
from .sync.alarm import size_text
from .sync.consent import Answer
from .sync.models import RemoteBackup, date_of
from .sync.reconciler import Reconciler
from .sync.state import ProblemKind, State

_LISTED_NAMES = 10

type Placeholders = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One kind of issue: when it is there, and how it is fixed, if that can be done here: by
    agreeing, or by one of two choices.

    `about` fills in the texts, beside the name of the account and the backup folder.
    """

    kind: str
    severity: ir.IssueSeverity = ir.IssueSeverity.ERROR
    cause: Callable[[State], bool]
    about: Callable[[State], Placeholders] | None = None
    fix: Callable[[Reconciler], None] | None = None
    choice: bool = False

    @property
    def fixable(self) -> bool:
        """Tell whether it can be fixed here."""
        return self.fix is not None or self.choice


def _has(kind: ProblemKind) -> Callable[[State], bool]:
    return lambda state: state.alarm is not None and state.alarm.kind is kind


def _unconfirmed(state: State) -> Placeholders:
    listed = [
        f"- {one.backup.name}, {_day(one)}, {size_text(one.file.size)}"
        for one in state.unconfirmed[:_LISTED_NAMES]
    ]
    if (more := len(state.unconfirmed) - _LISTED_NAMES) > 0:
        listed.append(f"- … (+{more})")
    return {
        "count": str(len(state.unconfirmed)),
        "size": size_text(sum(one.file.size for one in state.unconfirmed)),
        "backups": "\n".join(listed),
    }


def _day(one: RemoteBackup) -> str:
    """Return when a backup was made, as Home Assistant's own page shows it."""
    date = date_of(one.backup)
    with suppress(OverflowError):  # whatever its archive says
        date = dt_util.as_local(date)
    return date.strftime("%Y-%m-%d %H:%M")


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
        choice=True,
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
            is_fixable=issue.fixable,
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
    flow = DeletionsFlow if issue.choice else ConfirmFlow
    return flow(issue, str(data.get("entry_id")))


class _Flow(RepairsFlow):
    """A flow about an issue of an account."""

    def __init__(self, issue: Issue, entry_id: str) -> None:
        """Nothing is asked yet."""
        super().__init__()
        self._issue = issue
        self._entry_id = entry_id

    @property
    def _entry(self) -> DropboxBackupConfigEntry | None:
        """The account, if it is loaded."""
        entry: DropboxBackupConfigEntry | None = self.hass.config_entries.async_get_entry(
            self._entry_id
        )
        return entry if entry and entry.state is ConfigEntryState.LOADED else None


class ConfirmFlow(_Flow):
    """Says what is going to happen, and does it when the user agrees."""

    async def async_step_init(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Begin."""
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Show what is the matter as of now, not as of when the issue was made."""
        if (entry := self._entry) is None:
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


class DeletionsFlow(_Flow):
    """Lists what is to be deleted: delete it, or keep it for good."""

    _shown: Answer

    async def async_step_init(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Show what waits as of now. The answer is about this list, whatever happens meanwhile."""
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        reconciler = entry.runtime_data.reconciler
        if not reconciler.state.unconfirmed:
            return self.async_abort(reason="nothing_waits")
        self._shown = reconciler.keeper.answer_about(reconciler.state.unconfirmed)
        return self.async_show_menu(
            step_id="init",
            menu_options=["delete", "keep"],
            description_placeholders=_placeholders(self._issue, entry, reconciler.state),
        )

    async def async_step_delete(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Delete what was shown."""
        return self._answer(Reconciler.confirm_retention)

    async def async_step_keep(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Keep what was shown."""
        return self._answer(Reconciler.decline_retention)

    def _answer(self, answer: Callable[[Reconciler, Answer], bool]) -> RepairsFlowResult:
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        if not answer(entry.runtime_data.reconciler, self._shown):
            return self.async_abort(reason="changed_meanwhile")
        return self.async_create_entry(data={})
