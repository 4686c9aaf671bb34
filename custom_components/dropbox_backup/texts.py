"""Sentences for people, in Home Assistant's language: the one place where a code and what it is
about become a text, and where sizes, dates and plurals are written.

All words and forms are in `common` of the translations, also how a date or a number is written. A
text that depends on a `Count` is there twice: its key ends with `_one` or `_other`.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, time
from functools import reduce

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import (
    LOCALE_EN,
    async_get_cached_translations,
    async_get_translations,
)
from homeassistant.util import dt as dt_util

from .codes import Bytes, Count, Reason, Value
from .const import DOMAIN

_CATEGORY = "common"
_PREFIX = f"component.{DOMAIN}.{_CATEGORY}."
# Decimal, as Dropbox counts.
_STEP = 1000
_UNITS = ("size_kb", "size_mb", "size_gb", "size_tb")
# In the place of what a text asks for and a reason does not say: another version of us may have
# written it down, which told it in another way.
_NOT_SAID = "…"


class _Written(dict[str, str]):
    """What a reason is about, for the placeholders of its text."""

    def __missing__(self, _name: str) -> str:
        return _NOT_SAID


class Texts:
    """The texts of one language."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """`texts`: those of the translations, by their keys in `common`."""
        self._texts = texts

    def of(self, *reasons: Reason) -> str:
        """Return what the reasons say, as one sentence after the other without the last full
        stop.
        """
        told = (self.fill(reason.code, **dict(reason.about)) for reason in reasons)
        return self._listed("next_sentence", told)

    def fill(self, key: str, /, **about: Value) -> str:
        """Return a text with its placeholders filled in."""
        for value in about.values():
            if isinstance(value, Count):
                key = f"{key}_one" if value == 1 else f"{key}_other"
        written = {name: self.write(value) for name, value in about.items()}
        # Without a text, its key says more than nothing.
        return self._texts.get(key, key).format_map(_Written(written))

    def write(self, value: Value) -> str:
        """Return a value as people read it."""
        match value:
            case Reason():
                return self.of(value)
            case Bytes():
                return self.size(value)
            case datetime():
                return self.date(value)
            case time():
                return self.fill("time", hour=f"{value:%H}", minute=f"{value:%M}")
            case tuple():
                names = all(isinstance(one, str) for one in value)
                return self._listed(
                    "next_name" if names else "next_in_list", map(self.write, value)
                )
            case _:
                return str(value)

    def size(self, size: int) -> str:
        """Return a number of bytes as people read it, in decimal units as Dropbox shows them."""
        if size < _STEP:
            return self.fill("size_bytes", size=Count(size))
        amount, unit = size / _STEP, _UNITS[0]
        for larger in _UNITS[1:]:
            if _rounded(amount) < _STEP:
                break
            amount, unit = amount / _STEP, larger
        return self.fill(unit, amount=self._number(_rounded(amount)))

    def date(self, date: datetime) -> str:
        """Return a date as people read it, in Home Assistant's time zone."""
        local = in_time_zone(date)
        return self.fill(
            "date",
            year=f"{local:%Y}",
            month=f"{local:%m}",
            day=f"{local:%d}",
            hour=f"{local:%H}",
            minute=f"{local:%M}",
        )

    def _listed(self, key: str, texts: Iterable[str]) -> str:
        def joined(before: str, after: str) -> str:
            return self.fill(key, before=before, after=after)

        first, *others = [*texts] or [_NOT_SAID]
        return reduce(joined, others, first)

    def _number(self, amount: float) -> str:
        whole, _, fraction = f"{amount:.15g}".partition(".")
        return self.fill("decimal_number", whole=whole, fraction=fraction) if fraction else whole


def in_time_zone(date: datetime) -> datetime:
    """Return a date in Home Assistant's time zone."""
    with suppress(OverflowError):  # whatever an archive says
        return dt_util.as_local(date)
    return date


async def load_texts(hass: HomeAssistant) -> Texts:
    """Return the texts in Home Assistant's language."""
    texts = await async_get_translations(hass, hass.config.language, _CATEGORY, {DOMAIN})
    return _texts(texts)


@callback
def texts_of(hass: HomeAssistant) -> Texts:
    """Return the same at once. Home Assistant has them ready while we are loaded; right after the
    language was changed, only those in English.
    """
    languages = (hass.config.language, LOCALE_EN)
    found = (async_get_cached_translations(hass, one, _CATEGORY, DOMAIN) for one in languages)
    return _texts(next(filter(None, found), {}))


def _texts(texts: Mapping[str, str]) -> Texts:
    return Texts({key.removeprefix(_PREFIX): text for key, text in texts.items()})


def _rounded(amount: float) -> float:
    return float(f"{amount:.3g}")
