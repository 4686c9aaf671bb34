"""The alarm comes when it must, goes by itself, and never cries wolf."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.codes import Reason
from custom_components.dropbox_backup.dropbox_api.types import Space
from custom_components.dropbox_backup.sync.archive.metadata import ArchiveFault
from custom_components.dropbox_backup.sync.decide.backup_settings import Encryption
from custom_components.dropbox_backup.sync.decide.models import Missed, RemoteBackup, Trouble
from custom_components.dropbox_backup.sync.decide.plan import Skipped
from custom_components.dropbox_backup.sync.report.alarm import Alarm, AlarmInput, alarm
from custom_components.dropbox_backup.sync.report.state import AWAY, Problem, ProblemKind
from tests.support.alarms import AT_NIGHT, DAY, FINE, NOW, OVERDUE
from tests.support.backups import FIRST_DAY, local, remote
from tests.support.english import told

WHY = Reason(Trouble.UNEXPECTED)


def said(found: Problem | None) -> tuple[ProblemKind, str] | None:
    return (found.kind, told(*found.reasons)) if found else None


def kind(given: AlarmInput) -> ProblemKind | None:
    found = alarm(given)
    return found.kind if found else None


def test_nothing_is_wrong() -> None:
    assert alarm(FINE) is None


@pytest.mark.parametrize(
    "stops",
    [
        ProblemKind.SIGN_IN,
        ProblemKind.FULL,
        ProblemKind.NOT_WRITABLE,
        ProblemKind.UPLOAD_FAILED,
        ProblemKind.VERIFICATION_FAILED,
    ],
)
def test_what_needs_a_person_alarms_at_once(stops: ProblemKind) -> None:
    assert kind(replace(FINE, problem=Problem(stops, WHY), failing_since=NOW)) is stops


@pytest.mark.parametrize(
    ("minutes", "alarmed"), [(0, False), (59, False), (60, True), (9999, True)]
)
def test_a_network_that_is_away_alarms_after_an_hour(minutes: int, alarmed: bool) -> None:
    away = replace(
        FINE,
        problem=Problem(ProblemKind.UNREACHABLE, Reason(Trouble.UNEXPECTED)),
        failing_since=NOW - timedelta(minutes=minutes),
    )
    assert (kind(away) is ProblemKind.UNREACHABLE) == alarmed


def test_a_network_that_has_only_just_gone_is_no_alarm() -> None:
    assert alarm(replace(FINE, problem=Problem(ProblemKind.UNREACHABLE, WHY))) is None


@pytest.mark.parametrize(("newest", "alarmed"), [(29, False), (28, False), (27, True), (1, True)])
def test_backups_that_stopped_arriving_alarm_after_the_chosen_days(
    newest: int, alarmed: bool
) -> None:
    assert (alarm(replace(FINE, ours=[remote(newest)])) is not None) == alarmed


def test_the_alarm_says_whether_no_backup_was_made_or_none_was_uploaded() -> None:
    old = replace(FINE, ours=[remote(20)])
    assert kind(old) is ProblemKind.NO_BACKUP
    assert kind(replace(old, waiting=[local(28)])) is ProblemKind.OVERDUE


@pytest.mark.parametrize(("newest", "days"), [(29, "1 day"), (28, "2 days")])
def test_the_alarm_counts_days_as_people_do(newest: int, days: str) -> None:
    found = alarm(replace(FINE, after=DAY, ours=[remote(newest)]))
    assert said(found) == (ProblemKind.NO_BACKUP, f"No new backup has been made for {days}")


def test_a_date_in_the_future_silences_no_alarm() -> None:
    future = remote(20, day=36500, uploaded=20)
    assert kind(replace(FINE, ours=[future])) is ProblemKind.NO_BACKUP
    assert alarm(replace(FINE, ours=[remote(29, day=36500, uploaded=29)])) is None


def test_a_house_without_any_backup_alarms_too() -> None:
    assert kind(replace(FINE, ours=[])) is ProblemKind.NO_BACKUP
    assert alarm(replace(FINE, ours=[], watching_since=NOW - DAY)) is None


def test_old_backups_do_not_alarm_on_the_day_of_the_installation() -> None:
    assert alarm(replace(FINE, ours=[remote(1)], watching_since=NOW)) is None


@pytest.mark.parametrize(("minutes", "alarmed"), [(1, False), (29, False), (30, True)])
def test_a_slow_upload_is_no_alarm_while_it_moves(minutes: int, alarmed: bool) -> None:
    slow = replace(
        FINE,
        ours=[remote(20)],
        waiting=[local(28)],
        moved=NOW - timedelta(minutes=minutes),
    )
    assert (alarm(slow) is not None) == alarmed


def test_a_pause_does_not_silence_the_alarm_but_is_named_as_the_cause() -> None:
    found = alarm(replace(OVERDUE, paused=True))
    assert said(found) == (
        ProblemKind.PAUSED_TOO_LONG,
        "Nothing has been uploaded for 10 days. 1 backup waits. Uploads are paused",
    )
    assert kind(replace(OVERDUE, paused=True, waiting=[])) is ProblemKind.NO_BACKUP
    assert alarm(replace(FINE, paused=True, waiting=[local(30)])) is None, "a short pause is none"


@pytest.mark.parametrize(
    ("after", "moving_for", "alarmed"),
    [(3, 2.9, False), (3, 3, True), (1, 1, True), (30, 6.9, False), (30, 7, True)],
)
def test_an_upload_that_moves_and_never_ends_alarms(
    after: int, moving_for: float, alarmed: bool
) -> None:
    endless = replace(
        OVERDUE,
        now=NOW + 30 * DAY,
        after=after * DAY,
        moved=NOW + 30 * DAY,
        moving_since=NOW + (30 - moving_for) * DAY,
    )
    found = alarm(endless)
    assert (found is not None) == alarmed
    if found:
        assert found.kind is ProblemKind.OVERDUE
        assert told(*found.reasons).endswith("An upload is under way, but takes too long")


def test_backups_that_nobody_asked_to_upload_are_told_apart_from_none_made() -> None:
    old = replace(FINE, ours=[remote(20)], not_wanted=[local(21), local(28)])
    found = alarm(old)
    assert said(found) == (
        ProblemKind.AUTOMATIC_OFF,
        (
            "Nothing has been uploaded for 10 days. 2 newer backups were made, but nobody asked "
            "to upload them, and Upload every backup is off"
        ),
    )
    for not_newer in (local(19), local(20)):
        assert kind(replace(old, not_wanted=[not_newer])) is ProblemKind.NO_BACKUP
    assert kind(replace(old, ours=[], not_wanted=[local(19)])) is ProblemKind.AUTOMATIC_OFF
    assert kind(replace(old, waiting=[local(29)])) is ProblemKind.OVERDUE


@pytest.mark.parametrize("away", sorted(AWAY))
def test_a_network_share_may_be_away_for_an_hour_like_dropbox_itself(away: ProblemKind) -> None:
    silent = replace(
        FINE,
        problem=Problem(away, WHY),
        failing_since=NOW - timedelta(minutes=59),
    )
    assert alarm(silent) is None
    assert kind(replace(silent, failing_since=NOW - timedelta(minutes=60))) is away


@pytest.mark.parametrize(
    ("hours_ago", "alarmed"), [(0.4, False), (10, False), (20, False), (21, True), (48, True)]
)
def test_an_upload_that_moves_every_night_is_no_alarm(hours_ago: float, alarmed: bool) -> None:
    nightly = replace(OVERDUE, hours=AT_NIGHT, moved=NOW - timedelta(hours=hours_ago))
    assert (alarm(nightly) is not None) == alarmed
    assert kind(replace(nightly, moved=None)) is ProblemKind.OVERDUE
    if hours_ago > 1:
        assert kind(replace(nightly, paused=True)) is ProblemKind.PAUSED_TOO_LONG


def test_the_alarm_names_the_hours_which_may_be_too_few() -> None:
    found = alarm(replace(OVERDUE, hours=AT_NIGHT))
    assert found
    assert told(*found.reasons).endswith("Your options allow uploads from 01:00 to 06:00")


def test_a_backup_that_was_made_for_dropbox_and_is_not_there_alarms_until_a_newer_one_is() -> None:
    missed = Missed("Weekly", FIRST_DAY + 29.5 * DAY, Reason(Trouble.UNEXPECTED))
    assert kind(replace(FINE, missed=missed)) is ProblemKind.UPLOAD_FAILED
    assert alarm(replace(FINE, missed=missed, ours=[remote(30)])) is None
    itself = replace(missed, made=remote(30).date)
    assert alarm(replace(FINE, missed=itself, ours=[remote(30)])) is None


def test_the_alarm_for_days_can_be_switched_off() -> None:
    assert alarm(replace(FINE, ours=[], after=None)) is None


def test_nothing_is_said_of_backups_in_dropbox_before_anybody_could_look() -> None:
    missed = Missed("Weekly", FIRST_DAY, WHY)
    assert alarm(replace(FINE, ours=None, missed=missed)) is None


def test_a_disk_that_can_not_be_written_is_told() -> None:
    assert kind(replace(FINE, writable=False)) is ProblemKind.DISK


@pytest.mark.parametrize(
    ("why", "reason"),
    [(Encryption.NO_KEY, Alarm.NO_KEY), (Encryption.OFF, Alarm.ENCRYPTION_OFF)],
)
def test_backups_that_go_to_dropbox_readable_are_told_with_the_cause(
    why: Encryption, reason: Alarm
) -> None:
    found = alarm(replace(FINE, readable=why))
    assert found == Problem(ProblemKind.NOT_ENCRYPTED, Reason(reason))


def test_backups_that_could_not_be_examined_are_named() -> None:
    found = alarm(replace(FINE, unexamined=[remote(1), remote(2)]))
    assert found is not None
    assert found.kind is ProblemKind.NOT_ENCRYPTED
    assert told(*found.reasons).endswith(": Backup 1, Backup 2")


def test_space_that_nobody_knows_is_no_alarm() -> None:
    assert alarm(replace(FINE, space=None)) is None


def test_a_dropbox_that_will_not_take_the_next_backup_is_told_before() -> None:
    size = remote(29).file.size
    assert alarm(replace(FINE, space=Space(used=0, total=size))) is None
    assert kind(replace(FINE, space=Space(used=1, total=size))) is ProblemKind.ALMOST_FULL


def test_a_bad_backup_is_named_with_its_reason() -> None:
    found = alarm(replace(FINE, refused=[Skipped(local(3), Reason(ArchiveFault.HOLES))]))
    assert said(found) == (ProblemKind.REFUSED, "Backup 3: it holds a file with holes")


def test_deletions_that_wait_for_a_word_are_told() -> None:
    assert kind(replace(FINE, unconfirmed=[remote(1)])) is ProblemKind.CONFIRM_RETENTION


@given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2040, 1, 1)))  # noqa: DTZ001  (a zone is given below)
def test_the_alarm_ages_while_home_assistant_is_down_and_never_goes_without_a_backup(
    later: datetime,
) -> None:
    now = later.replace(tzinfo=NOW.tzinfo)
    given = replace(FINE, now=now, ours=[remote(0)])
    expected = now - FIRST_DAY >= 3 * DAY
    assert (alarm(given) is not None) == expected
    assert alarm(replace(given, ours=[remote(0), _made_at(now)])) is None


def _made_at(date: datetime) -> RemoteBackup:
    made = remote(1)
    return replace(
        made,
        backup=replace(made.backup, date=date.isoformat()),
        file=replace(made.file, uploaded=date),
    )
