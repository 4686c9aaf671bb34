"""Uploads keep to the pause and to the hours, by the clock on the wall."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, strategies as st
import pytest

from custom_components.dropbox_backup.sync.decide.upload_window import (
    HoldReason,
    Hours,
    Origin,
    hold_of,
    next_change,
)

MINUTE = timedelta(minutes=1)
# Half an hour of daylight saving, no whole hours, and a change at midnight are among them.
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "America/Asuncion",
    )
]
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Hours(time(1), time(6))
OVER_MIDNIGHT = Hours(time(23), time(6))

walls = st.times().map(lambda wall: wall.replace(second=0, microsecond=0))
hours = (
    st.tuples(walls, walls).filter(lambda both: both[0] != both[1]).map(lambda both: Hours(*both))
)
moments = st.datetimes(
    min_value=datetime(2026, 1, 1),  # noqa: DTZ001  (the zone comes from `timezones`)
    max_value=datetime(2029, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from(ZONES),
).map(lambda moment: moment.astimezone(UTC).astimezone(moment.tzinfo))


@pytest.mark.parametrize(
    ("clock", "open_"),
    [("00:59", False), ("01:00", True), ("05:59", True), ("06:00", False), ("23:59", False)],
)
def test_the_hours_begin_on_time_and_end_before_their_end(clock: str, open_: bool) -> None:
    assert NIGHT.include(time.fromisoformat(clock)) == open_


@pytest.mark.parametrize(
    ("clock", "open_"),
    [
        ("22:59", False),
        ("23:00", True),
        ("23:59", True),
        ("00:00", True),
        ("05:59", True),
        ("06:00", False),
    ],
)
def test_the_hours_may_span_midnight(clock: str, open_: bool) -> None:
    assert OVER_MIDNIGHT.include(time.fromisoformat(clock)) == open_


NOON = datetime(2026, 11, 22, 12, tzinfo=BERLIN)
AT_NIGHT = datetime(2026, 11, 22, 3, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("origin", "paused", "now", "expected"),
    [
        (Origin.WORKER, False, AT_NIGHT, None),
        (Origin.WORKER, False, NOON, HoldReason.OUTSIDE_HOURS),
        (Origin.WORKER, True, AT_NIGHT, HoldReason.PAUSED),
        (Origin.WORKER, True, NOON, HoldReason.PAUSED),
        (Origin.PERSON, False, NOON, None),
        (Origin.PERSON, True, NOON, HoldReason.PAUSED),
        (Origin.HOME_ASSISTANT, False, NOON, None),
        (Origin.HOME_ASSISTANT, True, NOON, None),
    ],
)
def test_who_is_held_back_and_why(
    origin: Origin, paused: bool, now: datetime, expected: HoldReason | None
) -> None:
    assert hold_of(origin, now, NIGHT, paused=paused) is expected


@given(moments)
def test_without_hours_nothing_is_held_back(now: datetime) -> None:
    assert hold_of(Origin.WORKER, now, None, paused=False) is None


@given(moments, hours)
def test_a_moment_belongs_to_the_hours_or_to_those_that_are_left(
    now: datetime, some: Hours
) -> None:
    others = Hours(some.end, some.begin)
    assert some.include(now.time()) != others.include(now.time())


# Clocks are put forward from 02:00 to 03:00, and back from 03:00 to 02:00.
BEFORE_SUMMER = datetime(2026, 3, 28, 23, tzinfo=BERLIN)
BEFORE_WINTER = datetime(2026, 10, 24, 23, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("now", "some", "expected"),
    [
        (NOON, NIGHT, "2026-11-23T01:00:00+01:00"),
        (AT_NIGHT, NIGHT, "2026-11-22T06:00:00+01:00"),
        (BEFORE_SUMMER, NIGHT, "2026-03-29T01:00:00+01:00"),
        (BEFORE_SUMMER, OVER_MIDNIGHT, "2026-03-29T06:00:00+02:00"),
        (BEFORE_WINTER, OVER_MIDNIGHT, "2026-10-25T06:00:00+01:00"),
        # What begins in the hour that is skipped begins when the clock has jumped over it.
        (BEFORE_SUMMER, Hours(time(2, 30), time(5)), "2026-03-29T03:00:00+02:00"),
        (BEFORE_SUMMER, Hours(time(2, 30), time(3, 30)), "2026-03-29T03:00:00+02:00"),
        # What would begin and end in it comes the next day.
        (BEFORE_SUMMER, Hours(time(2, 10), time(2, 50)), "2026-03-30T02:10:00+02:00"),
        # The hour that comes twice: the first of both.
        (BEFORE_WINTER, Hours(time(2, 30), time(5)), "2026-10-25T02:30:00+02:00"),
    ],
)
def test_the_next_change_is_right_also_in_the_nights_when_clocks_change(
    now: datetime, some: Hours, expected: str
) -> None:
    assert next_change(now, some) == datetime.fromisoformat(expected)


@given(moments, hours)
@example(BEFORE_SUMMER, Hours(time(2, 10), time(2, 50)))
@example(BEFORE_WINTER, Hours(time(2, 30), time(2, 40)))
def test_the_next_change_is_one_and_none_comes_before(now: datetime, some: Hours) -> None:
    change = next_change(now, some)
    assert change is not None
    before = some.include(now.time())

    def included(moment: datetime) -> bool:
        return some.include(moment.astimezone(now.tzinfo).time())

    assert included(change) != before
    moment = now.astimezone(UTC)
    while moment < change:
        assert included(moment) == before
        moment += 7 * MINUTE
    assert included(change - timedelta(microseconds=1)) == before


@given(moments, hours)
def test_the_hours_never_stay_away_for_longer_than_the_gap(now: datetime, some: Hours) -> None:
    """But for hours that lie within those that are skipped once a year."""
    if some.include(now.time()):
        return
    change = next_change(now, some)
    assert change is not None
    skipped = timedelta(days=1) if some.longest_gap > timedelta(hours=23) else timedelta()
    assert change - now <= some.longest_gap + skipped


def test_the_gap_is_as_long_as_in_the_night_in_which_clocks_are_put_back() -> None:
    some = Hours(time(5), time(1))
    closed = next_change(BEFORE_WINTER, some)
    assert closed is not None
    assert next_change(closed.astimezone(BERLIN), some) == closed + some.longest_gap


def test_hours_are_written_for_people() -> None:
    assert str(OVER_MIDNIGHT) == "23:00 to 06:00"
