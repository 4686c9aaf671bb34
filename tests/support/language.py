"""A made-up language: English in wide letters, so that each text which is not in the translations
stands out.
"""

from collections.abc import Iterable, Mapping
import json
from pathlib import Path
import re
from string import Formatter, ascii_letters
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir, translation
import pytest

from custom_components import dropbox_backup
from custom_components.dropbox_backup.const import DOMAIN

LANGUAGE: Final = "qm"
_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in ascii_letters}
# The name of the account and of its folder, and of its app.
DATA: Final = ("Dropbox Ada Example", "Ada Example", "/HomeAssistant/Backups", "/Mine", "/Backups")

# What is no text at all: names, ids, moments, and what Home Assistant itself makes of an entity.
_DATA_FIELDS = frozenset(
    {
        *("account", "addons", "backup_id", "content_hash", "date", "device_id", "entity_id"),
        *("file", "folders", "homeassistant_version", "name", "path", "uploaded", "uploading"),
        *("verified_at", "waiting"),
        *("device_class", "icon", "options", "event_types", "state_class", "unit_of_measurement"),
    }
)
# Words for automations.
_CODE_FIELDS = frozenset(
    {
        *("detail_code", "encrypted", "encryption", "error_code", "event_type", "kind"),
        *("reason_code", "why"),
    }
)
_CODE = re.compile(r"[a-z_]+")
_WORD = re.compile(r"[A-Za-z]{2,}")
# Addresses, scopes, dates, ids, and what Dropbox, Python and the disk call their own errors.
_NO_WORDS = re.compile(
    r"https?://\S+|`[^`]*`|\d{4}-\d\d-\d\dT\S+|\b[a-z_]+(?:/[a-z_]+)+|\b\w+Error\b|\bE[A-Z]+\b"
    r"|\b[0-9a-f]{8,}\b|\b[a-z]+_?[a-z]+\.[a-z]+(?:\.[a-z]+)?\b"
)


def marked(text: str) -> str:
    """Return a text in the made-up language, with the same placeholders."""
    return "".join(
        literal.translate(_WIDE) + ("" if name is None else f"{{{name}}}")
        for literal, name, _, _ in Formatter().parse(text)
    )


def _tree(part: Any) -> Any:  # Any: JSON
    if isinstance(part, str):
        return marked(part)
    return {key: _tree(one) for key, one in part.items()}


_ENGLISH = Path(dropbox_backup.__file__).parent / "translations" / "en.json"
MARKED: Final[dict[str, Any]] = _tree(json.loads(_ENGLISH.read_text(encoding="utf-8")))


def speak(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Home Assistant use the language, as if a file for it lay among our translations."""
    load = translation._load_translations_files_by_language

    def load_marked(files: dict[str, dict[str, Path]]) -> dict[str, dict[str, Any]]:
        loaded = load(files)
        if LANGUAGE in loaded:
            loaded[LANGUAGE][DOMAIN] = MARKED
        return loaded

    monkeypatch.setattr(translation, "_load_translations_files_by_language", load_marked)
    hass.config.language = LANGUAGE


class Reader:
    """Somebody who reads only this language."""

    def __init__(self, *names: str) -> None:
        """`names`: what may be shown as it is, such as the names of backups."""
        self._names = sorted((*DATA, *names), key=len, reverse=True)

    def reads(self, shown: object, where: str = "") -> None:
        """Fail at the first word of another language."""
        match shown:
            case str():
                assert not (words := self._foreign(shown)), f"{where}: {words} in {shown!r}"
            case Mapping():
                for key, value in shown.items():
                    self._reads_field(str(key), value, f"{where} {key}")
            case Iterable():
                for value in shown:
                    self.reads(value, where)

    def reads_issue(self, issue: ir.IssueEntry) -> None:
        """Read what a repair says, and each page of what it leads to."""
        texts = MARKED["issues"][issue.translation_key]
        self.reads_texts(texts, issue.translation_placeholders, f"issue {issue.issue_id}")

    def reads_error(self, err: HomeAssistantError) -> None:
        """Read what an action answers."""
        assert err.translation_key, f"nobody could translate {err!r}"
        text = MARKED["exceptions"][err.translation_key]["message"]
        self.reads_texts(text, err.translation_placeholders, err.translation_key)

    def reads_texts(
        self, texts: object, placeholders: Mapping[str, str] | None, where: str
    ) -> None:
        """Read texts with their placeholders filled in."""
        if isinstance(texts, Mapping):
            for key, text in texts.items():
                self.reads_texts(text, placeholders, f"{where} {key}")
        else:
            self.reads(str(texts).format(**(placeholders or {})), where)

    def _reads_field(self, key: str, value: object, where: str) -> None:
        if key in _CODE_FIELDS:
            assert value is None or _CODE.fullmatch(str(value)), f"{where}: {value!r} is no code"
        elif key not in _DATA_FIELDS:
            self.reads(value, where)

    def _foreign(self, text: str) -> list[str]:
        for name in self._names:
            text = text.replace(name, "")
        return _WORD.findall(_NO_WORDS.sub("", text))
