"""Nothing is forgotten of an option: it has a default, does something, and its error has a text."""

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import NumberSelector
import pytest

from custom_components.dropbox_backup import options
from custom_components.dropbox_backup.options import errors_in, options_page, policy_of
from custom_components.dropbox_backup.sync.decide.models import Policy

TEXTS = Path(options.__file__).parent / "translations" / "en.json"
HOURS = {"hours_from": "01:00:00", "hours_to": "02:00:00"}


def fields() -> Iterator[tuple[Any, Any]]:
    """Yield every field of the options, with its marker."""
    for marker, field in options_page({}).schema.items():
        yield from field.schema.schema.items() if isinstance(field, section) else [(marker, field)]


DEFAULTS = {marker.schema: marker.default() for marker, _ in fields() if marker.schema not in HOURS}
NUMBERS = [marker.schema for marker, field in fields() if isinstance(field, NumberSelector)]


def test_the_defaults_of_the_page_are_those_of_the_policy() -> None:
    assert policy_of({}) == policy_of(DEFAULTS) == Policy()


@pytest.mark.parametrize("key", [*DEFAULTS, *HOURS])
def test_every_option_makes_a_difference(key: str) -> None:
    chosen = DEFAULTS | HOURS
    match chosen[key]:
        case bool(value):
            other: object = not value
        case str():
            other = "03:00:00"
        case number:
            other = number + 1
    assert policy_of(chosen | {key: other}) != policy_of(chosen)


@pytest.mark.parametrize("key", NUMBERS)
def test_every_wrong_number_has_a_text(key: str) -> None:
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))["options"]["error"]
    (error,) = errors_in({key: -1}).values()
    assert error in texts
