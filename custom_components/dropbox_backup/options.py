"""The options: their fields, what is wrong with what was typed, how they are stored, and the policy
that they make.
"""

from collections.abc import Mapping
from datetime import time, timedelta
from typing import Any, override

from homeassistant.const import UnitOfDataRate, UnitOfTime
from homeassistant.data_entry_flow import section
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    Selector,
    TimeSelector,
)
import voluptuous as vol

from .const import (
    CONF_ALARM_AFTER,
    CONF_CHECK_INTERVAL,
    CONF_CHUNKS_AT_ONCE,
    CONF_HOURS_FROM,
    CONF_HOURS_TO,
    CONF_KEEP,
    CONF_SPEED_LIMIT,
    CONF_UPLOAD_AUTOMATICALLY,
    DEFAULT_ALARM_AFTER,
    DEFAULT_CHECK_INTERVAL,
    DEFAULT_KEEP,
    DEFAULT_UPLOAD_AUTOMATICALLY,
)
from .dropbox_api.upload.pool import MOST_IN_MEMORY
from .sync.decide.models import Policy
from .sync.decide.upload_window import Hours

# Any, here and below: the values of options, of the types that their fields return.
type Options = Mapping[str, Any]

_SPEED_AND_HOURS = "speed_and_hours"
_BYTES_PER_SECOND_IN_A_MBIT = 125_000.0


class _Number(NumberSelector):
    """A number that the frontend asks for with its limits, and that is judged here: for what Home
    Assistant itself refuses there are no texts, and in a section not even a place.

    What is not `whole` may also be 0, for none at all. `error`: that of any other number.
    """

    def __init__(
        self, minimum: float, maximum: float, error: str, unit: str = "", *, whole: bool = True
    ) -> None:
        config = NumberSelectorConfig(
            min=minimum if whole else 0,
            max=maximum,
            step=1 if whole else 0.1,
            mode=NumberSelectorMode.BOX,
        )
        if unit:
            config["unit_of_measurement"] = unit
        super().__init__(config)
        self.error = error
        self.whole = whole
        self._minimum = minimum
        self._maximum = maximum

    @override
    def __call__(self, data: object) -> float:
        """Take any number."""
        return float(vol.Coerce(float)(data))

    def allows(self, value: float) -> bool:
        """Tell whether a value is good."""
        if self.whole and not value.is_integer():
            return False
        return self._minimum <= value <= self._maximum or (value == 0 and not self.whole)


_ON_THE_PAGE: dict[str, Selector[Any]] = {
    CONF_UPLOAD_AUTOMATICALLY: BooleanSelector(),
    CONF_KEEP: _Number(0, 1000, "wrong_keep"),
    CONF_CHECK_INTERVAL: _Number(1, 168, "wrong_check_interval", UnitOfTime.HOURS),
    CONF_ALARM_AFTER: _Number(0, 365, "wrong_alarm_after", UnitOfTime.DAYS),
}
# Rarely needed.
_IN_THE_SECTION: dict[str, Selector[Any]] = {
    # With less, a single part would be on its way for more than six minutes.
    CONF_SPEED_LIMIT: _Number(
        0.1, 10_000, "wrong_speed_limit", UnitOfDataRate.MEGABITS_PER_SECOND, whole=False
    ),
    CONF_HOURS_FROM: TimeSelector(),
    CONF_HOURS_TO: TimeSelector(),
    CONF_CHUNKS_AT_ONCE: _Number(1, 16, "wrong_chunks_at_once"),
}
_NUMBERS = {
    key: field
    for key, field in (_ON_THE_PAGE | _IN_THE_SECTION).items()
    if isinstance(field, _Number)
}
# The hours have none: without them, uploads may go at any time.
_DEFAULTS: Options = {
    CONF_UPLOAD_AUTOMATICALLY: DEFAULT_UPLOAD_AUTOMATICALLY,
    CONF_KEEP: DEFAULT_KEEP,
    CONF_CHECK_INTERVAL: DEFAULT_CHECK_INTERVAL,
    CONF_ALARM_AFTER: DEFAULT_ALARM_AFTER,
    CONF_SPEED_LIMIT: 0,
    CONF_CHUNKS_AT_ONCE: MOST_IN_MEMORY,
}


def policy_of(options: Options) -> Policy:
    """Return what the user chose in the options."""
    chosen = {**_DEFAULTS, **options}
    days, mbits = chosen[CONF_ALARM_AFTER], chosen[CONF_SPEED_LIMIT]
    chunks = chosen[CONF_CHUNKS_AT_ONCE]
    return Policy(
        upload_automatically=chosen[CONF_UPLOAD_AUTOMATICALLY],
        check_interval=timedelta(hours=chosen[CONF_CHECK_INTERVAL]),
        keep=int(chosen[CONF_KEEP]),
        alarm_after=timedelta(days=days) if days else None,
        bytes_per_second=mbits * _BYTES_PER_SECOND_IN_A_MBIT if mbits else None,
        hours=_hours_of(options),
        # The default gives way where memory is short, what somebody chose does not.
        chunks_at_once=None if chunks == MOST_IN_MEMORY else chunks,
    )


def _hours_of(options: Options) -> Hours | None:
    """Return the hours, None for always."""
    begin, end = options.get(CONF_HOURS_FROM), options.get(CONF_HOURS_TO)
    if begin is None or end is None:
        return None
    return Hours(time.fromisoformat(begin), time.fromisoformat(end))


def options_page(errors: Mapping[str, str]) -> vol.Schema:
    """Return all options on one page; its section is open if one of the errors belongs there."""
    in_the_section = vol.Schema(_fields(_IN_THE_SECTION))
    collapsed = _SPEED_AND_HOURS not in errors
    return vol.Schema(
        {
            **_fields(_ON_THE_PAGE),
            vol.Optional(_SPEED_AND_HOURS): section(in_the_section, {"collapsed": collapsed}),
        }
    )


def _fields(selectors: Mapping[str, Selector[Any]]) -> dict[vol.Marker, Selector[Any]]:
    return {
        vol.Required(key, default=_DEFAULTS[key]) if key in _DEFAULTS else vol.Optional(key): field
        for key, field in selectors.items()
    }


def as_on_the_page(options: Options) -> Options:
    """Return stored options as the form has them, with a section."""
    return {**options, _SPEED_AND_HOURS: options}


def as_stored(page: Options, before: Options) -> Options:
    """Return what the form gave, without its section, times of day to the minute, and whole numbers
    as such. `before`: the options that are stored, for when nobody has looked into the section.
    """
    outside = {key: value for key, value in page.items() if key != _SPEED_AND_HOURS}
    inside = page.get(
        _SPEED_AND_HOURS, {key: before[key] for key in _IN_THE_SECTION if key in before}
    )
    options = {**inside, **outside}
    for key in (CONF_HOURS_FROM, CONF_HOURS_TO):
        if key in options:
            options[key] = cv.time(options[key]).replace(second=0).isoformat()
    for key, number in _NUMBERS.items():
        if key in options and number.whole and number.allows(options[key]):
            options[key] = int(options[key])
    return options


def errors_in(options: Options) -> dict[str, str]:
    """Return what is wrong, by field. The frontend has no place for errors inside a section: there
    they belong to the section, and their texts name the field.
    """
    wrong = {
        key: number.error
        for key, number in _NUMBERS.items()
        if key in options and not number.allows(options[key])
    }
    if (error := _error_in_hours(options)) is not None:
        wrong[CONF_HOURS_FROM] = error
    errors: dict[str, str] = {}
    for key, error in wrong.items():
        errors.setdefault(_SPEED_AND_HOURS if key in _IN_THE_SECTION else key, error)
    return errors


def _error_in_hours(options: Options) -> str | None:
    begin, end = options.get(CONF_HOURS_FROM), options.get(CONF_HOURS_TO)
    if (begin is None) != (end is None):
        return "half_of_the_hours"
    if begin is not None and begin == end:
        return "no_hours"
    return None
