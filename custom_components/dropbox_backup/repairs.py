"""Repair issues: what needs a person, and what they can do.

That somebody has to sign in again, Home Assistant says itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
import re
from typing import Any

from homeassistant.components.backup import AgentBackup
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
import voluptuous as vol

from .codes import Reason
from .const import CONF_FOLDER, DOMAIN, ROOT_FOLDER
from .coordinator import DropboxBackupConfigEntry
from .sync.decide.backup_settings import Encryption
from .sync.decide.consent import Answer
from .sync.decide.models import date_of
from .sync.engine import Engine
from .sync.report.state import ProblemKind, State
from .texts import Texts, texts_of

_LISTED_NAMES = 10

type Placeholders = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One kind of issue: when it is there, and how it is fixed, if that can be done here: by
    agreeing (`fix`), or by one of several `choices`, which are steps of its flow.

    `about` fills in the texts, beside the name of the account and the backup folder. `text` tells
    which texts these are, if not those of its kind.
    """

    kind: str
    severity: ir.IssueSeverity = ir.IssueSeverity.ERROR
    cause: Callable[[State], bool]
    about: Callable[[State, Texts], Placeholders] | None = None
    text: Callable[[State], str] | None = None
    fix: Callable[[Engine], None] | None = None
    choices: Callable[[State], list[str]] | None = None

    @property
    def fixable(self) -> bool:
        """Tell whether it can be fixed here."""
        return self.fix is not None or self.choices is not None


def _has(kind: ProblemKind) -> Callable[[State], bool]:
    return lambda state: state.alarm is not None and state.alarm.kind is kind


def _unconfirmed(state: State, texts: Texts) -> Placeholders:
    return _listed(texts, ((one.backup, one.file.size) for one in state.unconfirmed)) | {
        "size": texts.size(sum(one.file.size for one in state.unconfirmed))
    }


def _waiting(state: State, texts: Texts) -> Placeholders:
    backups = ((one.backup, one.backup.size) for one in state.waiting)
    return _detail(state, texts) | _listed(texts, backups)


def _refused(state: State, texts: Texts) -> Placeholders:
    backups = [(one.local.backup, one.local.backup.size) for one in state.refused]
    return _listed(texts, backups, [one.reason for one in state.refused])


def _listed(
    texts: Texts, backups: Iterable[tuple[AgentBackup, int]], reasons: Sequence[Reason] = ()
) -> Placeholders:
    """Return how many these are, and a list: three equal names alone are none."""
    lines = [
        f"- {in_markdown(backup.name)}, {texts.date(date_of(backup))}, {texts.size(size)}"
        for backup, size in backups
    ]
    for number, reason in enumerate(reasons):
        lines[number] += f": {in_markdown(texts.of(reason))}"
    shown = lines[:_LISTED_NAMES]
    if (more := len(lines) - _LISTED_NAMES) > 0:
        shown.append(f"- … (+{more})")
    return {"count": str(len(lines)), "backups": "\n".join(shown)}


def in_markdown(text: str) -> str:
    """Return a text on one line that means nothing in Markdown: archives name themselves."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _detail(state: State, texts: Texts) -> Placeholders:
    detail = texts.of(*state.alarm.reasons) if state.alarm else ""
    return {"detail": in_markdown(detail).rstrip(".")}


def _space(state: State, texts: Texts) -> Placeholders:
    free = texts.size(state.space.free) if state.space else "?"
    return _detail(state, texts) | {"free": free}


def _alarm(kind: ProblemKind, about: Callable[[State, Texts], Placeholders] = _detail) -> Issue:
    """Return the issue of an alarm that says itself what is the matter."""
    return Issue(kind=kind.value, cause=_has(kind), about=about)


def _has_key(state: State) -> bool:
    return state.settings is not None and state.settings.encryption is not Encryption.NO_KEY


def _encryption_text(state: State) -> str:
    if state.settings is not None and state.settings.encryption is Encryption.ON:
        return "unexamined"
    return "encryption_off" if _has_key(state) else "not_encrypted"


def _encryption_choices(state: State) -> list[str]:
    cures = {"unexamined": [], "encryption_off": ["encrypt"], "not_encrypted": ["check"]}
    return [*cures[_encryption_text(state)], "leave_readable"]


def _unexamined(state: State, texts: Texts) -> Placeholders:
    return _listed(texts, ((one.backup, one.file.size) for one in state.unexamined))


def _limits(state: State, _texts: Texts) -> Placeholders:
    if (settings := state.settings) is None:
        return {}
    return {"copies": str(settings.copies), "days": str(settings.days)}


def _retention_text(state: State) -> str:
    by_age = state.settings is not None and state.settings.by_age
    return "retention_by_age" if by_age else "retention_by_count"


ISSUES = (
    _alarm(ProblemKind.OVERDUE, _waiting),
    _alarm(ProblemKind.NO_BACKUP),
    _alarm(ProblemKind.AUTOMATIC_OFF),
    _alarm(ProblemKind.UNREACHABLE),
    _alarm(ProblemKind.LOCATION_UNREACHABLE),
    _alarm(ProblemKind.UPLOAD_FAILED),
    _alarm(ProblemKind.VERIFICATION_FAILED),
    _alarm(ProblemKind.REFUSED, _refused),
    _alarm(ProblemKind.DISK),
    _alarm(ProblemKind.ALMOST_FULL, _space),
    Issue(
        kind=ProblemKind.PAUSED_TOO_LONG.value,
        cause=_has(ProblemKind.PAUSED_TOO_LONG),
        about=_waiting,
        fix=lambda engine: engine.resume_uploads(),
    ),
    Issue(kind="dropbox_full", cause=_has(ProblemKind.FULL), about=_detail),
    Issue(kind="folder_not_writable", cause=_has(ProblemKind.NOT_WRITABLE)),
    Issue(
        kind="folder_was_missing",
        severity=ir.IssueSeverity.WARNING,
        cause=lambda state: state.folder_was_missing,
        fix=lambda engine: engine.forget_missing_folder(),
    ),
    Issue(
        kind="confirm_retention",
        severity=ir.IssueSeverity.WARNING,
        cause=lambda state: bool(state.unconfirmed),
        about=_unconfirmed,
        choices=lambda _: ["delete", "keep"],
    ),
    Issue(
        kind=ProblemKind.NOT_ENCRYPTED.value,
        severity=ir.IssueSeverity.WARNING,
        cause=_has(ProblemKind.NOT_ENCRYPTED),
        about=_unexamined,
        text=_encryption_text,
        choices=_encryption_choices,
    ),
    Issue(
        kind="home_assistant_retention",
        severity=ir.IssueSeverity.WARNING,
        cause=lambda state: state.beaten,
        about=_limits,
        text=_retention_text,
        choices=lambda _: ["keep_for_ever", "leave_retention"],
    ),
)


@callback
def async_update_issues(hass: HomeAssistant, entry: DropboxBackupConfigEntry, state: State) -> None:
    """Create and delete issues as the state says. Only changes cost much in the registry."""
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
            translation_key=issue.text(state) if issue.text else issue.kind,
            translation_placeholders=_placeholders(issue, entry, state, texts_of(hass)),
        )


@callback
def async_delete_issues(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> None:
    """Take back the issues of an account."""
    for issue in ISSUES:
        ir.async_delete_issue(hass, DOMAIN, _id_of(issue, entry))


def _id_of(issue: Issue, entry: DropboxBackupConfigEntry) -> str:
    return f"{issue.kind}_{entry.entry_id}"


def _placeholders(
    issue: Issue, entry: DropboxBackupConfigEntry, state: State, texts: Texts
) -> Placeholders:
    about = issue.about(state, texts) if issue.about else {}
    folder = entry.data[CONF_FOLDER] or ROOT_FOLDER
    return {"account": entry.title, "folder": folder, **about}


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that fixes an issue."""
    data = data or {}
    issue = next(one for one in ISSUES if one.kind == data.get("kind"))
    entry_id = str(data.get("entry_id"))
    if issue.fix is not None:
        return ConfirmFlow(issue, entry_id)
    flow = DeletionsFlow if issue.kind == "confirm_retention" else SettingsFlow
    return flow(issue, entry_id)


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

    def _placeholders(self, entry: DropboxBackupConfigEntry) -> Placeholders:
        state = entry.runtime_data.engine.state
        return _placeholders(self._issue, entry, state, texts_of(self.hass))

    def _choices(self, state: State) -> list[str]:
        return self._issue.choices(state) if self._issue.choices else []


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
        engine = entry.runtime_data.engine
        if user_input is not None and self._issue.fix is not None:
            self._issue.fix(engine)
            return self.async_create_entry(data={})
        return self.async_show_form(
            step_id="confirm",
            data_schema=vol.Schema({}),
            description_placeholders=self._placeholders(entry),
        )


class DeletionsFlow(_Flow):
    """Lists what is to be deleted: delete it, or keep it for good."""

    _shown: Answer

    async def async_step_init(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Show what waits as of now. The answer is about this list, whatever happens meanwhile."""
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        engine = entry.runtime_data.engine
        if not engine.state.unconfirmed:
            return self.async_abort(reason="nothing_waits")
        self._shown = engine.unconfirmed
        return self.async_show_menu(
            step_id="init",
            menu_options=self._choices(engine.state),
            description_placeholders=self._placeholders(entry),
        )

    async def async_step_delete(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Delete what was shown."""
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        return self._answered(valid=entry.runtime_data.engine.confirm_retention(self._shown))

    async def async_step_keep(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Keep what was shown."""
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        return self._answered(valid=await entry.runtime_data.engine.decline_retention(self._shown))

    def _answered(self, *, valid: bool) -> RepairsFlowResult:
        if not valid:
            return self.async_abort(reason="changed_meanwhile")
        return self.async_create_entry(data={})


class SettingsFlow(_Flow):
    """Says what Home Assistant's own settings do to backups in Dropbox: change them, or not."""

    async def async_step_init(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Show what is the matter as of now."""
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        state = entry.runtime_data.engine.state
        if not self._issue.cause(state):
            return self.async_create_entry(data={})
        return self.async_show_menu(
            step_id="init",
            menu_options=self._choices(state),
            description_placeholders=self._placeholders(entry),
        )

    async def async_step_check(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Look whether Home Assistant has a key by now."""
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        engine = entry.runtime_data.engine
        engine.publish()
        if self._issue.cause(engine.state):
            return self.async_abort(reason="no_key_yet")
        return self.async_create_entry(data={})

    async def async_step_encrypt(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Encrypt what goes to Dropbox from now on."""
        return self._do(Engine.encrypt)

    async def async_step_leave_readable(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Don't ask again."""
        return self._do(Engine.leave_readable)

    async def async_step_keep_for_ever(self, _: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Let our own rules decide alone."""
        return self._do(Engine.keep_for_ever)

    async def async_step_leave_retention(
        self, _: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Don't ask again."""
        return self._do(Engine.leave_retention)

    def _do(self, what: Callable[[Engine], None]) -> RepairsFlowResult:
        if (entry := self._entry) is None:
            return self.async_abort(reason="not_loaded")
        what(entry.runtime_data.engine)
        return self.async_create_entry(data={})
