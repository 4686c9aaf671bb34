"""What others wrote becomes a value that can be shown, stored and computed with, or is refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
import json

from homeassistant.helpers.json import json_bytes
from hypothesis import example, given, strategies as st
import pytest

from custom_components.dropbox_backup import untrusted

HALVES = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)
NASTY = st.text(st.characters(), max_size=40) | st.builds(
    "{}{}{}".format, st.text(max_size=9), HALVES, st.text(max_size=9)
)
VALUES = (
    NASTY
    | st.integers()
    | st.integers(min_value=10**30)
    | st.floats()
    | st.booleans()
    | st.none()
    | st.lists(st.none())
    | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
    | st.datetimes().map(datetime.isoformat)
    | st.binary(max_size=9)
)


@given(VALUES)
@example("\ud800")
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59-12:00")
@example("2026-01-01T00:00:00\ud800")
@example(10**30)
@example(float("nan"))
@example(True)  # noqa: FBT003  (it is a number to Python)
def test_what_is_read_can_be_shown_stored_and_computed_with(value: object) -> None:
    for reader in (untrusted.text, untrusted.exact, untrusted.whole, untrusted.size):
        if (read := untrusted.or_none(reader, value)) is not None:
            assert json.loads(json_bytes({"x": read})) == {"x": read}
            assert "\0" not in str(read)
            assert not isinstance(read, bool)
    for zone in (None, UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))):
        if (date := untrusted.or_none(partial(untrusted.date, zone=zone), value)) is None:
            continue
        for hours in (-14, 14):
            date.astimezone(timezone(timedelta(hours=hours)))
        century = timedelta(days=36_525)
        assert date - century < date < date + century


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-22T10:00:00.123456+01:00", datetime(2026, 11, 22, 9, 0, 0, 123456, UTC)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22 10:00:00+00:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00", None),
        ("2026-13-22T10:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (5, None),
        ("2026-11-22T10:00:00Z" * 1000, None),
    ],
)
def test_dates_are_moments_of_our_times(value: object, expected: datetime | None) -> None:
    assert untrusted.or_none(untrusted.date, value) == expected


@pytest.mark.parametrize("value", ["a\nb", "\ud800", "", "x" * 256, 5, None])
def test_what_is_good_only_as_it_is_is_never_changed(value: object) -> None:
    assert untrusted.or_none(untrusted.exact, value) is None
    assert untrusted.exact("Надійна 💾") == "Надійна 💾"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": "\\ud800", "b": "\\ud83d\\ude00"}', {"a": "?", "b": "😀"}),
        (b'{"\\ud800": 1}', {"?": 1}),
        (b'{"a": "\xed\xa0\x80"}', {"a": "���"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": [Infinity]}', {"a": None, "b": [None]}),
        (b"[1]", None),
        (b"[" * 100_000, None),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"a": ' + b"1" * 5000 + b"}", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
    ids=repr,
)
def test_json_of_others_holds_whole_characters(data: bytes, expected: object) -> None:
    assert untrusted.or_none(untrusted.json_object, data) == expected


def test_of_a_list_what_can_be_read_is_kept_and_not_too_much() -> None:
    assert untrusted.readable(untrusted.whole, [1, "x", -1, True, 2, 3], 2) == [1, 2]
    assert untrusted.readable(untrusted.whole, "12", 5) == []


@pytest.mark.parametrize(
    ("reader", "good", "bad"),
    [
        (untrusted.text, ["", "x" * 10_000], ["x" * 10_001, 5, None]),
        (untrusted.exact, ["x", "x" * 255], ["x" * 256, 5, None]),
        (untrusted.flag, [True, False], [0, 1, "true", None]),
        (untrusted.whole, [0, 1, 2**63 - 1], [-1, 2**63, True, 1.0, "1", None]),
        (partial(untrusted.whole, least=3, most=5), [3, 5], [2, 6]),
        (untrusted.size, [0, 2**50], [-1, 2**50 + 1]),
        (untrusted.content_hash, ["0f" * 32], ["0F" * 32, "0f" * 31, "0f" * 33, 5, None]),
        (untrusted.optional(untrusted.flag), [None, True], [5]),
    ],
)
def test_each_reader_takes_what_it_says_to_the_last_and_nothing_more(
    reader: Callable[[object], object], good: list[object], bad: list[object]
) -> None:
    assert [reader(value) for value in good] == good
    assert [value for value in bad if untrusted.or_none(reader, value) is not None] == []
    for value in bad:
        with pytest.raises(untrusted.UntrustedError):
            reader(value)


def test_what_can_not_be_shown_is_replaced_character_by_character() -> None:
    assert untrusted.presentable("a\nb\ud800\u2028c\x7f") == "a b? c "


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("1971-01-01T00:00:00Z", True),
        ("1970-12-31T23:59:59Z", False),
        ("8999-12-31T23:59:59Z", True),
        ("9000-01-01T00:00:00Z", False),
        (f"2026-11-22T10:00:00.{'0' * 43}Z", True),
        (f"2026-11-22T10:00:00.{'0' * 44}Z", False),
    ],
)
def test_dates_are_taken_within_a_calendar_with_room_on_both_sides(value: str, taken: bool) -> None:
    assert (untrusted.or_none(untrusted.date, value) is not None) == taken


def test_a_date_without_an_offset_is_in_the_zone_that_is_given_and_no_other_is() -> None:
    east = timezone(timedelta(hours=2))
    for text in ("2026-11-22T10:00:00", "2026-11-22T08:00:00Z"):
        assert untrusted.date(text, east) == datetime(2026, 11, 22, 8, tzinfo=UTC)


def test_any_json_is_a_value_and_what_is_none_is_refused() -> None:
    assert untrusted.json_value(b"[1]") == [1]
    with pytest.raises(untrusted.UntrustedError):
        untrusted.json_value(b"[1")
    with pytest.raises(untrusted.UntrustedError):
        untrusted.json_object(b"[1]")
