"""Retention keeps what must be kept, and says why."""

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.sync.decide.consent import revision_of
from custom_components.dropbox_backup.sync.decide.file_names import is_our_name
from custom_components.dropbox_backup.sync.decide.models import RemoteBackup, age
from custom_components.dropbox_backup.sync.decide.retention import judge
from tests.support.backups import THEM, US, folders, remote
from tests.support.english import told


@pytest.mark.parametrize(
    ("case", "keep", "expected"),
    [
        ([], 2, {}),
        ([remote(1)], 1, {1: "one of the newest 1"}),
        (
            [remote(1), remote(2), remote(3)],
            2,
            {1: "older than the newest 2", 2: "one of the newest 2", 3: "one of the newest 2"},
        ),
        ([remote(1), remote(2)], 0, {1: "all backups are kept", 2: "all backups are kept"}),
        (
            [remote(1, pinned=True), remote(2), remote(3)],
            1,
            {1: "pinned", 2: "older than the newest 1", 3: "one of the newest 1"},
        ),
        (
            [remote(1, owner=THEM), remote(2, owner=None), remote(3)],
            1,
            {
                1: "belongs to another Home Assistant",
                2: "not known to be made by this Home Assistant",
                3: "one of the newest 1",
            },
        ),
        (
            [remote(1), remote(2, verified=False)],
            1,
            {1: "one of the newest 1", 2: "not verified, and no newer ones take its place"},
        ),
        (
            [remote(1, verified=False), remote(2)],
            1,
            {1: "older than the newest 1", 2: "one of the newest 1"},
        ),
        (
            [remote(1, called="KEEP ME.tar"), remote(2), remote(3, called="KEEP ME TOO.tar")],
            1,
            {
                1: "somebody's own copy, by its name",
                2: "one of the newest 1",
                3: "somebody's own copy, by its name",
            },
        ),
        # Made by a clock that was wrong: it counts as of its upload.
        (
            [remote(1, day=36500, uploaded=1), remote(2), remote(3)],
            2,
            {1: "older than the newest 2", 2: "one of the newest 2", 3: "one of the newest 2"},
        ),
        # The number is not the order: what counts is when a backup was made.
        (
            [remote(1, day=9), remote(2, day=1)],
            1,
            {1: "one of the newest 1", 2: "older than the newest 1"},
        ),
    ],
)
def test_cases(case: list[RemoteBackup], keep: int, expected: dict[int, str]) -> None:
    verdicts = judge(case, keep, US)
    assert {int(one.backup.backup.backup_id, 16): told(one.reason) for one in verdicts} == expected


def test_what_a_person_chose_to_keep_stays_and_its_reason_is_told_only_where_it_counts() -> None:
    declined = frozenset(revision_of(remote(number).file) for number in (1, 3))
    verdicts = judge([remote(1), remote(2), remote(3)], 1, US, declined)
    assert [(one.keep, told(one.reason)) for one in verdicts] == [
        (True, "one of the newest 1"),
        (False, "older than the newest 1"),
        (True, "you chose to keep it"),
    ]


@given(folders, st.integers(0, 12))
def test_only_what_is_provably_ours_unpinned_and_replaced_is_deleted(
    folder: list[RemoteBackup], keep: int
) -> None:
    for verdict in judge(folder, keep, US):
        if verdict.keep:
            continue
        assert keep > 0
        assert verdict.backup.owner == US
        assert not verdict.backup.pinned
        assert is_our_name(verdict.backup.file.name, verdict.backup.backup)
        newer = [
            one
            for one in folder
            if one.owner == US
            and one.verified
            and not one.pinned
            and is_our_name(one.file.name, one.backup)
            and age(one) > age(verdict.backup)
        ]
        assert len(newer) >= keep


@given(folders, st.integers(0, 12))
def test_the_newest_good_backup_always_stays(folder: list[RemoteBackup], keep: int) -> None:
    good = [one for one in folder if one.owner == US and one.verified]
    if not good:
        return
    kept = [verdict.backup for verdict in judge(folder, keep, US) if verdict.keep]
    assert max(good, key=age) in kept


@given(folders, st.integers(0, 12))
def test_every_backup_gets_one_verdict_and_a_second_look_says_the_same(
    folder: list[RemoteBackup], keep: int
) -> None:
    verdicts = judge(folder, keep, US)
    assert sorted(one.backup.file.name for one in verdicts) == sorted(
        one.file.name for one in folder
    )
    left = [one.backup for one in verdicts if one.keep]
    assert all(one.keep for one in judge(left, keep, US)), "carrying it out leaves nothing to do"
