"""The one reader of values that others wrote: Dropbox, archives, the catalog, Home Assistant's
storage, and whatever Home Assistant passes on from a file.

Each function returns a value that can be shown, stored and computed with, or raises
`UntrustedError`, a `ValueError`: so all of them are validators of voluptuous as well. Imports
nothing of the package, so that every layer can use it.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
import json
import re
from typing import Any

LONGEST_TEXT = 10_000
LONGEST_ID = 255
# More than any file system of a home holds, and a thousand of them still fit into 64 bits.
LARGEST_SIZE = 1 << 50
# Home Assistant's JSON takes no more.
LARGEST_NUMBER = (1 << 63) - 1
# Room on both sides, so that no time zone and no number of days leads out of Python's calendar.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_LONGEST_DATE = 64
# No JSON can carry lone surrogates, PostgreSQL no NUL; line ends forge entries of a log.
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HASH = re.compile(r"[0-9a-f]{64}")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class UntrustedError(ValueError):
    """The value is not what it should be; the text says what it should be."""


def text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return a text for people, with what can't be shown replaced."""
    if not isinstance(value, str) or len(value) > longest:
        raise UntrustedError(f"expected a text of at most {longest} characters")
    return presentable(value)


def presentable(value: str) -> str:
    """Return the text with what can't be shown replaced: `?` for a lone surrogate, a space for a
    control character.
    """
    if value.isprintable():  # nearly always, and fast
        return value
    return _CONTROLS.sub(" ", _LONE_SURROGATES.sub("?", value))


def exact(value: object, longest: int = LONGEST_ID) -> str:
    """Return a text that is good only as it is: an id, a name of a file, a cursor."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise UntrustedError(f"expected a text of 1 to {longest} characters")
    if presentable(value) != value:
        raise UntrustedError("expected a text without control characters and halves of surrogates")
    return value


def content_hash(value: object) -> str:
    """Return a hash of a file's content, as Dropbox writes it."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise UntrustedError("expected 64 digits of a hash")
    return value


def flag(value: object) -> bool:
    """Return a truth value, and nothing that looks like one."""
    if not isinstance(value, bool):
        raise UntrustedError("expected true or false")
    return value


def whole(value: object, least: int = 0, most: int = LARGEST_NUMBER) -> int:
    """Return a whole number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UntrustedError(f"expected a whole number from {least} to {most}")
    return value


def size(value: object) -> int:
    """Return a number of bytes."""
    return whole(value, most=LARGEST_SIZE)


def date(value: object, zone: tzinfo | None = None) -> datetime:
    """Return a moment from ISO 8601, between `EARLIEST` and `LATEST`.

    A text that names no offset is in `zone`, or refused without one. Home Assistant's
    `dt_util.parse_datetime` must never see such a text: it ends the process at a lone surrogate.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_DATE or not value.isascii():
        raise UntrustedError("expected a date")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as err:
        raise UntrustedError("expected a date") from err
    if moment.tzinfo is None:
        if zone is None:
            raise UntrustedError("expected a date with an offset")
        moment = moment.replace(tzinfo=zone)
    return within_calendar(moment)


def within_calendar(moment: datetime) -> datetime:
    """Return the moment unless computing with it could leave Python's calendar."""
    # The years first: already a comparison across time zones may leave it.
    if not EARLIEST.year < moment.year < LATEST.year:
        raise UntrustedError("expected a date of our times")
    return moment


def optional[T](reader: Callable[[object], T]) -> Callable[[object], T | None]:
    """Return a reader that lets None pass."""
    return lambda value: None if value is None else reader(value)


def readable[T](reader: Callable[[Any], T], values: object, most: int) -> list[T]:
    """Return what of a list can be read, at most so many; nothing of what is no list."""
    read: list[T] = []
    for value in values if isinstance(values, list | tuple) else ():
        if len(read) >= most:
            break
        with suppress(ValueError):
            read.append(reader(value))
    return read


def or_none[T](reader: Callable[[Any], T], value: object) -> T | None:
    """Return what the reader makes of the value, None if it can't be read."""
    try:
        return reader(value)
    except ValueError:
        return None


def json_object(data: bytes) -> dict[str, Any]:  # Any: each value is read on its own
    """Return the object that this JSON is, as `json_value` does."""
    document = json_value(data)
    if not isinstance(document, dict):
        raise UntrustedError("expected a JSON object")
    return document


def json_value(data: bytes) -> object:
    """Return the value that this JSON is. A lone surrogate anywhere in it becomes `?`, a number
    that is none becomes None.

    Raises `UntrustedError` also for nesting that Python can't follow. The caller bounds the size.
    """
    # Python's reader of bytes would let lone surrogates through.
    document = data.decode("utf-8-sig", errors="replace")
    try:
        return _json(whole_characters(document))
    except (ValueError, RecursionError) as err:
        raise UntrustedError("expected JSON") from err


def whole_characters(document: str) -> str:
    """Return the JSON with `?` for each lone surrogate, escaped or not. Raises `ValueError` or
    `RecursionError` for what is no JSON.
    """
    # Rare: only then is it worth looking at every text.
    if _ESCAPED_SURROGATE.search(document):
        document = json.dumps(_json(document), ensure_ascii=False)
    return document.encode(errors="replace").decode()


def _json(document: str) -> object:
    return json.loads(document, parse_constant=lambda _: None)
