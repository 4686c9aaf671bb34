"""Reasons as data: a code, and what it is about.

Nothing below the faces builds a sentence for people. What keeps a backup from being uploaded, why
one is deleted, what went wrong: each is a code with parameters, and `texts.py` makes a sentence of
them in the user's language. Imports nothing of the package, so that every layer can use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from typing import override


class Code(StrEnum):
    """Base of all codes: users' automations see their values, and each is the key of a text in
    `common` of the translations.
    """


class Bytes(int):
    """A number of bytes: people read it as MB or GB."""

    __slots__ = ()


class Count(int):
    """A number on which it depends whether a sentence is in the singular or the plural. A reason
    has one of these at most.
    """

    __slots__ = ()


type Value = str | int | datetime | time | Reason | tuple[Value, ...]
"""What a reason may be about. A `str` is shown as it is: a name, or what somebody else has said."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is so. `about`: the placeholders of its text, in order."""

    code: Code
    about: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, code: Code, **about: Value) -> Reason:
        """Return a reason with what it is about."""
        return cls(code, tuple(about.items()))

    def get(self, name: str) -> Value | None:
        """Return one of the things that it is about, None if it says nothing of that."""
        return dict(self.about).get(name)

    @override
    def __str__(self) -> str:
        """Return it as the log has it."""
        words = self.code.replace("_", " ")
        about = ", ".join(f"{name} {_plain(value)}" for name, value in self.about)
        return f"{words} ({about})" if about else words


class CodedError(Exception):
    """An error that says what is the matter as a code."""

    def __init__(self, why: Reason | Code) -> None:
        """Keep why; the text is for the log."""
        self.why = why if isinstance(why, Reason) else Reason(why)
        super().__init__(str(self.why))


def all_codes(kind: type[Code] = Code) -> Iterator[Code]:
    """Yield every code that there is."""
    yield from kind
    for more in kind.__subclasses__():
        yield from all_codes(more)


def _plain(value: Value) -> str:
    match value:
        case tuple():
            return "; ".join(map(_plain, value))
        case int():
            return str(int(value))
        case _:
            return str(value)
