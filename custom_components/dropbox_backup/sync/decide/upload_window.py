"""Whether backups may use the line now: the pause, and the hours that the user allows. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import Enum, StrEnum, auto

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
# When clocks are put back, a day has an hour more.
_LONGEST_DAY = timedelta(hours=25)
# Hours that fall into the one that is skipped when clocks are put forward don't come that day.
_TWO_DAYS_IN_MINUTES = 2 * _LONGEST_DAY // _MINUTE


class Origin(Enum):
    """Who wants a backup uploaded."""

    WORKER = auto()
    PERSON = auto()
    HOME_ASSISTANT = auto()


class HoldReason(StrEnum):
    """Why an upload is held back."""

    PAUSED = "paused"
    OUTSIDE_HOURS = "outside_hours"


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of each day by the clock on the wall, in whole minutes: from `begin` until right
    before `end`, which may be on the next day. The two differ.
    """

    begin: time
    end: time

    def include(self, wall: time) -> bool:
        """Tell whether the clock on the wall shows one of these hours."""
        if self.begin < self.end:
            return self.begin <= wall < self.end
        return wall >= self.begin or wall < self.end

    @property
    def longest_gap(self) -> timedelta:
        """The longest time between two of these windows: an upload can't move meanwhile."""
        return _LONGEST_DAY - (_since_midnight(self.end) - _since_midnight(self.begin)) % _DAY

    def __str__(self) -> str:
        return f"{self.begin:%H:%M} to {self.end:%H:%M}"


def hold_of(
    origin: Origin, now: datetime, hours: Hours | None, *, paused: bool
) -> HoldReason | None:
    """Return why an upload is held back, None if it may go. `now` is in the user's time zone.

    A person who asks for an upload may do so at any hour. Home Assistant's own uploads always go:
    it may delete the only copy of a backup that did not get to Dropbox.
    """
    if origin is Origin.HOME_ASSISTANT:
        return None
    if paused:
        return HoldReason.PAUSED
    if origin is Origin.PERSON or hours is None or hours.include(now.time()):
        return None
    return HoldReason.OUTSIDE_HOURS


def next_change(now: datetime, hours: Hours) -> datetime | None:
    """Return when the hours begin or end next, whatever clocks are put forward or back until then.

    None if that does not happen within two days. `now` is in the user's time zone, the result in
    UTC.
    """
    before = hours.include(now.time())
    moment = now.astimezone(UTC).replace(second=0, microsecond=0)
    for _ in range(_TWO_DAYS_IN_MINUTES):
        moment += _MINUTE
        if hours.include(moment.astimezone(now.tzinfo).time()) != before:
            return moment
    return None


def _since_midnight(wall: time) -> timedelta:
    return timedelta(hours=wall.hour, minutes=wall.minute)
