"""What a backup counts as: its date, its protection, and what holds if nobody chose otherwise."""

from dataclasses import replace
from datetime import timedelta

import pytest

from custom_components.dropbox_backup import untrusted
from custom_components.dropbox_backup.options import policy_of
from custom_components.dropbox_backup.sync.decide.models import Policy, Protection, date_of
from tests.support.backups import FIRST_DAY, backup, remote


def test_a_date_that_is_none_counts_as_the_oldest() -> None:
    assert date_of(backup(date="last Tuesday")) == untrusted.EARLIEST


@pytest.mark.parametrize(("seconds", "counts"), [(-9.0, -9.0), (0.9, 0.9), (1.0, 1.0), (1.5, 1.0)])
def test_what_dropbox_has_was_made_at_the_latest_in_the_second_of_its_upload(
    seconds: float, counts: float
) -> None:
    uploaded = remote(uploaded=0)
    made = FIRST_DAY + timedelta(seconds=seconds)
    dated = replace(uploaded, backup=backup(date=made.isoformat()))
    assert dated.date == FIRST_DAY + timedelta(seconds=counts)


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize(
    ("protection", "protected"),
    [
        (Protection.ENCRYPTED, True),
        (Protection.PARTLY, True),
        (Protection.NOT_ENCRYPTED, False),
        (Protection.UNKNOWN, None),
    ],
)
def test_the_bytes_say_what_is_protected_and_the_flag_only_where_they_do_not(
    protection: Protection, protected: bool | None, said: bool
) -> None:
    noted = protection.noted_in(backup(protected=said))
    assert noted.protected is (said if protected is None else protected)


def test_who_chose_nothing_has_the_policy_of_the_manual() -> None:
    assert policy_of({}) == Policy()
