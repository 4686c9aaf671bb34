"""The notes as JSON: how each of them is written and read. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any

import voluptuous as vol

from ... import untrusted
from ...codes import Reason
from ...dropbox_api.upload.upload import UploadSession
from ...untrusted import UntrustedError
from ..archive.encryption import Root
from ..decide.consent import Answer, Revision
from ..decide.models import BackupId, Missed
from .notes import Commit, Notes, Results
from .reason_format import read_reason, write_reason

# More backups than anybody has.
_MOST = 100_000
# Of one upload: Dropbox takes no larger file than that.
_MOST_CHUNKS = 1_000_000
_LONGEST_PATH = 4096


def parse_notes(data: object) -> Notes:
    """Return the notes, leaving out what can't be read. They only save work: Dropbox's listing is
    the truth.
    """
    written = data if isinstance(data, dict) else {}
    return Notes(results=Results(**_read(_RESULTS, written)), **_read(_NOTES, written))


def write_notes(notes: Notes) -> dict[str, Any]:
    """Return the notes as JSON data."""
    return {**_write(_RESULTS, notes.results), **_write(_NOTES, notes)}


@dataclass(frozen=True, slots=True)
class _Form:
    """How one value stands in the file: `read` takes it from there, and raises `ValueError` for
    what we did not write; `write` returns JSON data. Of many values, only those that can't be read
    are left out.
    """

    read: Callable[[object], Any]
    write: Callable[[Any], Any] = lambda value: value


def _read(forms: Mapping[str, _Form], written: Mapping[str, object]) -> dict[str, Any]:
    """Return what can be read. Each is read on its own: one that can't be takes no other with it,
    and has its default.
    """
    values = {name: untrusted.or_none(form.read, written.get(name)) for name, form in forms.items()}
    return {name: value for name, value in values.items() if value is not None}


def _write(forms: Mapping[str, _Form], notes: Notes | Results) -> dict[str, Any]:
    values = {name: getattr(notes, name) for name in forms}
    return {
        name: None if value is None else forms[name].write(value) for name, value in values.items()
    }


def _set_of(read: Callable[[object], str]) -> _Form:
    """Return how a set is written: as a list."""
    return _Form(lambda value: set(untrusted.readable(read, value, _MOST)), sorted)


def _pairs(form: _Form) -> _Form:
    """Return how something about each backup is written: in pairs with the backup's id."""

    def read_pair(value: object) -> tuple[BackupId, Any]:
        backup_id, about = value if isinstance(value, list) else (None, None)
        return BackupId(untrusted.exact(backup_id)), form.read(about)

    return _Form(
        lambda value: dict(untrusted.readable(read_pair, value, _MOST)),
        lambda about: [[backup_id, form.write(one)] for backup_id, one in sorted(about.items())],
    )


def _records(form: _Form) -> _Form:
    """Return how a record about each backup is written: with the backup's id in it."""

    def read_record(value: object) -> tuple[BackupId, Any]:
        record = form.read(value)
        assert isinstance(value, dict)  # or it would have been refused
        return BackupId(untrusted.exact(value.get("backup_id"))), record

    return _Form(
        lambda value: dict(untrusted.readable(read_record, value, _MOST)),
        lambda about: [{"backup_id": key, **form.write(one)} for key, one in about.items()],
    )


def _record(kind: Callable[..., object], values: Mapping[str, Any]) -> _Form:
    """Return how a dataclass is written: as an object. `values`: what reads each of its fields."""
    read = _by(
        vol.Schema({vol.Required(name): values[name] for name in values}, extra=vol.REMOVE_EXTRA)
    )
    return _Form(lambda value: kind(**read(value)), _as_json)


def _by(schema: vol.Schema) -> Callable[[object], Any]:
    """Return a reader that takes what the schema takes."""

    def read(value: object) -> Any:
        try:
            return schema(value)
        except (vol.Invalid, RecursionError) as err:
            raise UntrustedError("expected what we wrote") from err

    return read


def _as_json(record: Any) -> dict[str, Any]:  # Any: a dataclass
    return {item.name: _plain(getattr(record, item.name)) for item in fields(record)}


def _plain(value: object) -> object:
    match value:
        case Reason():
            return write_reason(value)
        case datetime():
            return value.isoformat()
        case dict():  # JSON takes only texts as keys
            return [list(item) for item in sorted(value.items())]
        case _:
            return value


def _read_answer(value: object) -> Answer:
    """Return what was decided, as far as it can be read."""
    written = value if isinstance(value, dict) else {}
    return Answer(
        untrusted.whole(written.get("keep")),
        untrusted.text(written.get("folder")),
        frozenset(untrusted.readable(_read_revision, written.get("revisions"), _MOST)),
    )


def _read_revision(value: object) -> Revision:
    name, rev = value if isinstance(value, list) else (None, None)
    return untrusted.exact(name), untrusted.exact(rev)


def _write_answer(answer: Answer) -> dict[str, Any]:
    revisions = [list(one) for one in sorted(answer.revisions)]
    return {"keep": answer.keep, "folder": answer.folder, "revisions": revisions}


_FLAG = _Form(untrusted.flag)
_DATE = _Form(untrusted.date, datetime.isoformat)
_ID = _Form(untrusted.exact)
_IDS = _set_of(untrusted.exact)
_ANSWER = _Form(_read_answer, _write_answer)
_salts = _by(vol.Schema(vol.Match(r"^[0-9a-f]*\Z")))
_chunk_number = partial(untrusted.whole, most=_MOST_CHUNKS)
_SESSION = _record(
    UploadSession,
    {
        "session_id": partial(untrusted.exact, longest=untrusted.LONGEST_TEXT),
        "size": untrusted.size,
        "chunk_size": partial(untrusted.whole, least=1),
        "arrived": _chunk_number,
        "hash_state": untrusted.text,
        "ahead": vol.All(
            [vol.ExactSequence([_chunk_number, untrusted.text])],
            vol.Coerce(dict),
        ),
        "etag": partial(untrusted.or_none, untrusted.exact),
    },
)
_COMMIT = _record(
    Commit,
    {
        "name": untrusted.exact,
        "content_hash": untrusted.exact,
        "size": untrusted.size,
        "modified": untrusted.date,
        "noted": untrusted.date,
        "unwanted": untrusted.flag,
    },
)
_MISSED = _record(Missed, {"name": untrusted.text, "made": untrusted.date, "reason": read_reason})

# The fields of `Results` stand beside those of `Notes`.
_RESULTS = {item.name: _DATE for item in fields(Results)}
_NOTES = {
    "uploaded": _pairs(_ID),
    "dismissed": _IDS,
    "sessions": _records(_SESSION),
    "key_root": _Form(lambda value: Root(_salts(value)), lambda root: root.salts),
    "newly_verified": _IDS,
    "approved": _ANSWER,
    "declined": _ANSWER,
    "commits": _records(_COMMIT),
    "missed": _MISSED,
    "handed_out": _pairs(_MISSED),
    "folder_seen": _FLAG,
    "folder_was_missing": _FLAG,
    "paused": _FLAG,
    "first_seen": _pairs(_DATE),
    "wanted": _IDS,
    "everything_wanted": _FLAG,
    "wanted_since": _DATE,
    "acknowledged": _IDS,
    "unexamined": _IDS,
    "folder": _Form(partial(untrusted.exact, longest=_LONGEST_PATH)),
}
