"""Reasons as JSON, for what has to outlive a restart."""

from collections.abc import Iterator
from datetime import datetime, time
from functools import cache
from typing import Any

from ... import untrusted
from ...codes import Bytes, Code, Count, Reason, Value, all_codes
from ..decide.models import Trouble

# A reason has a reason, which has one, which has a list.
_DEEPEST = 5
_MOST = 100
_NUMBERS: dict[str, type[int]] = {"bytes": Bytes, "count": Count, "number": int}


def write_reason(reason: Reason) -> dict[str, Any]:  # Any: JSON
    """Return the reason as JSON."""
    return {"code": reason.code.value, "about": {name: _write(one) for name, one in reason.about}}


def read_reason(value: object) -> Reason:
    """Return the reason again. One that this version does not know, or that an earlier one wrote as
    a sentence, is kept as what somebody said. Raises `UntrustedError`.
    """
    return _read_reason(value, _DEEPEST)


def _write(value: Value) -> object:
    match value:
        case Reason():
            return {"reason": write_reason(value)}
        case Bytes():
            return {"bytes": int(value)}
        case Count():
            return {"count": int(value)}
        case int():
            return {"number": value}
        case datetime():
            return {"date": value.isoformat()}
        case time():
            return {"time": value.isoformat()}
        case tuple():
            return {"list": [_write(one) for one in value]}
        case _:
            return value


def _read_reason(value: object, deep: int) -> Reason:
    if isinstance(value, str):
        return Reason.of(Trouble.SAID, text=untrusted.text(value))
    if not isinstance(value, dict) or not deep:
        raise untrusted.UntrustedError("expected a reason")
    name, about = untrusted.exact(value.get("code")), value.get("about")
    if (code := _codes().get(name)) is None:
        return Reason.of(Trouble.SAID, text=name)
    return Reason(code, tuple(_read_all(about if isinstance(about, dict) else {}, deep)))


def _read_all(about: dict[object, object], deep: int) -> Iterator[tuple[str, Value]]:
    for name, value in tuple(about.items())[:_MOST]:
        yield untrusted.exact(name), _read(value, deep)


def _read(value: object, deep: int) -> Value:
    if not isinstance(value, dict):
        return untrusted.text(value)
    [(kind, written)] = value.items() if len(value) == 1 else [(None, None)]
    match kind, written:
        case "reason", _:
            return _read_reason(written, deep - 1)
        case "date", _:
            return untrusted.date(written)
        case "time", str():
            return time.fromisoformat(written)
        case "list", list() if deep:
            return tuple(_read(one, deep - 1) for one in written[:_MOST])
        case str(), _ if kind in _NUMBERS:
            return _NUMBERS[kind](untrusted.whole(written))
    raise untrusted.UntrustedError("expected what we wrote")


@cache
def _codes() -> dict[str, Code]:
    return {code.value: code for code in all_codes()}
