"""Consent holds for what was shown, under the rules and in the folder where it was shown."""

import pytest

from custom_components.dropbox_backup.sync.decide.consent import (
    Answer,
    Decision,
    decide,
    revision_of,
)
from custom_components.dropbox_backup.sync.decide.models import RemoteBackup
from tests.support.backups import remote

OLD = [remote(number) for number in range(5)]
FIRST, SECOND, *_ = (frozenset({revision_of(one.file)}) for one in OLD)


def decided(
    to_delete: list[RemoteBackup],
    *,
    newly_verified: int = 0,
    approved: frozenset[tuple[str, str]] = frozenset(),
    once_declined: frozenset[tuple[str, str]] = frozenset(),
) -> Decision:
    return decide(
        to_delete, newly_verified=newly_verified, approved=approved, once_declined=once_declined
    )


@pytest.mark.parametrize("newly_verified", [0, 1])
def test_three_more_than_were_newly_verified_go_and_a_fourth_waits_with_all(
    newly_verified: int,
) -> None:
    free = OLD[: 3 + newly_verified]
    assert decided(free, newly_verified=newly_verified) == Decision(tuple(free), ())
    many = OLD[: 4 + newly_verified]
    assert decided(many, newly_verified=newly_verified) == Decision((), tuple(many))


def test_what_was_approved_goes_and_the_rest_waits_or_goes_by_its_own_number() -> None:
    assert decided(OLD, approved=FIRST) == Decision((OLD[0],), tuple(OLD[1:]))
    assert decided(OLD, approved=FIRST | SECOND) == Decision(tuple(OLD), ())


def test_what_was_to_be_kept_once_never_goes_unasked() -> None:
    assert decided(OLD[:1], once_declined=FIRST) == Decision((), (OLD[0],))
    assert decided(OLD[:1], once_declined=SECOND) == Decision((OLD[0],), ())
    assert decided(OLD[:1], once_declined=FIRST, approved=FIRST) == Decision((OLD[0],), ())


def test_an_answer_is_joined_to_an_earlier_one_under_the_same_rules_in_the_same_folder() -> None:
    answer = Answer(3, "/Backups", FIRST)
    assert answer.joined_to(None) == answer
    earlier = Answer(3, "/Backups", SECOND)
    assert answer.joined_to(earlier) == Answer(3, "/Backups", FIRST | SECOND)


@pytest.mark.parametrize("earlier", [Answer(2, "/Backups", SECOND), Answer(3, "/Other", SECOND)])
def test_consent_under_other_rules_or_in_another_folder_is_not_taken_along(earlier: Answer) -> None:
    answer = Answer(3, "/Backups", FIRST)
    assert answer.joined_to(earlier) == answer
