"""The plan uploads what is missing, and nothing that retention would remove at once."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, strategies as st

from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.decide.models import (
    BackupId,
    LocalBackup,
    Policy,
    RemoteBackup,
    RemoteFile,
    id_of,
)
from custom_components.dropbox_backup.sync.decide.plan import Plan, make_plan
from custom_components.dropbox_backup.sync.decide.retention import judge
from tests.support.backups import FIRST_DAY, THEM, US, backup, folders, local, locals_, remote
from tests.support.english import told

policies = st.builds(Policy, upload_automatically=st.booleans(), keep=st.integers(0, 12))
ids = st.frozensets(st.integers(0, 40).map(lambda number: BackupId(f"{number:08x}")), max_size=6)


def uploads(plan: Plan) -> list[int]:
    return [int(one.backup.backup_id, 16) for one in plan.upload]


def test_what_is_missing_is_uploaded_newest_first() -> None:
    plan = make_plan([local(1), local(3), local(2)], [remote(2)], Policy(), US)
    assert uploads(plan) == [3, 1]


def test_what_was_begun_goes_first_if_it_is_to_be_kept() -> None:
    here = [local(number) for number in range(5)]
    begun = {BackupId("00000000"), BackupId("00000003")}
    assert uploads(make_plan(here, [], Policy(), US, begun=begun)) == [3, 0, 4, 2, 1]
    assert uploads(make_plan(here, [], Policy(keep=2), US, begun=begun)) == [3, 4]


def test_what_retention_would_remove_at_once_is_not_uploaded() -> None:
    plan = make_plan([local(number) for number in range(5)], [], Policy(keep=2), US)
    assert uploads(plan) == [4, 3]
    assert {told(one.reason) for one in plan.skipped} == {
        "it would be deleted at once: older than the newest 2"
    }
    assert [one.backup.backup.name for one in plan.expected_verdicts] == ["Backup 4", "Backup 3"]


def test_what_is_not_kept_is_deleted_and_nothing_else() -> None:
    plan = make_plan([], [remote(1), remote(2), remote(3)], Policy(keep=1), US)
    assert plan.delete == (remote(2), remote(1))


def test_what_is_still_to_be_verified_pushes_out_an_older_one_only_when_it_is() -> None:
    plan = make_plan([local(2)], [remote(1), remote(2, verified=False)], Policy(keep=1), US)
    assert [one.backup.name for one in plan.verify] == ["Backup 2"]
    assert plan.delete == ()
    assert [(one.backup.backup.name, one.keep) for one in plan.expected_verdicts] == [
        ("Backup 2", True),
        ("Backup 1", False),
    ]


def test_what_a_person_asks_for_goes_before_all_others() -> None:
    here = [local(number) for number in range(4)]
    wanted, begun = {BackupId("00000001")}, {BackupId("00000002")}
    assert uploads(make_plan(here, [], Policy(), US, wanted=wanted)) == [1, 3, 2, 0]
    assert uploads(make_plan(here, [], Policy(), US, wanted=wanted, begun=begun)) == [1, 2, 3, 0]


def test_a_backup_that_does_not_say_who_made_it_takes_a_place_as_ours() -> None:
    here = [local(1, owner=None), local(2, owner=None)]
    assert uploads(make_plan(here, [], Policy(keep=1), US)) == [2]


def test_the_same_time_written_in_another_way_is_the_same_backup() -> None:
    here = local(1, date="2026-01-02T05:00:00+02:00")
    plan = make_plan([here], [remote(1)], Policy(), US)
    assert (uploads(plan), plan.conflicts) == ([], ())


def test_what_is_dated_in_the_future_counts_as_of_when_it_was_seen_here_first() -> None:
    seen = FIRST_DAY + timedelta(days=5)
    here = LocalBackup(backup(9, day=36500), "backup.local", known_since=seen)
    later = remote(1, day=5)
    later = replace(later, backup=backup(1, date=(seen + timedelta(seconds=1)).isoformat()))
    assert uploads(make_plan([here], [later], Policy(keep=1), US)) == []
    assert uploads(make_plan([here], [remote(1, day=4)], Policy(keep=1), US)) == [9]


def test_a_person_may_upload_what_retention_would_remove() -> None:
    wanted = {BackupId("00000000")}
    plan = make_plan([local(0)], [remote(1), remote(2)], Policy(keep=2), US, wanted=wanted)
    assert uploads(plan) == [0]


def test_what_was_deleted_on_purpose_stays_deleted_until_somebody_asks_for_it() -> None:
    dismissed = {BackupId("00000001")}
    plan = make_plan([local(1)], [], Policy(), US, dismissed=dismissed)
    assert uploads(plan) == []
    assert told(plan.skipped[0].reason) == "it was deleted from Dropbox on purpose"
    assert uploads(
        make_plan([local(1)], [], Policy(), US, dismissed=dismissed, wanted=dismissed)
    ) == [1]


def test_nothing_is_uploaded_by_itself_when_that_is_switched_off() -> None:
    policy = Policy(upload_automatically=False)
    assert uploads(make_plan([local(1)], [], policy, US)) == []
    assert uploads(make_plan([local(1)], [], policy, US, wanted={BackupId("00000001")})) == [1]


def test_another_backup_with_the_same_id_is_an_error_that_is_seen() -> None:
    plan = make_plan([local(1, day=5)], [remote(1)], Policy(), US)
    assert uploads(plan) == []
    assert [told(one.reason) for one in plan.conflicts] == [
        "another backup with the same ID is in Dropbox already"
    ]


def test_an_unverified_copy_of_another_size_counts_for_nothing() -> None:
    copy = remote(1, verified=False)
    cut_off = replace(copy, file=replace(copy.file, size=500))
    plan = make_plan([local(1)], [cut_off], Policy(keep=1), US)
    assert (uploads(plan), plan.verify) == ([1], ())
    assert [one.backup.file.size for one in plan.expected_verdicts] == [1001]


def test_what_was_compared_and_is_something_else_is_uploaded() -> None:
    copies = [remote(1, verified=False), remote(2, verified=False)]
    unlike = {BackupId("00000001")}
    plan = make_plan([local(1), local(2)], copies, Policy(), US, unproven=unlike, unlike=unlike)
    assert uploads(plan) == [1]
    assert [one.backup.backup_id for one in plan.verify] == ["00000002"]


def test_an_unverified_copy_does_not_bring_back_what_was_deleted_on_purpose() -> None:
    copy = remote(1, verified=False)
    cut_off = replace(copy, file=replace(copy.file, size=500))
    plan = make_plan([local(1)], [cut_off], Policy(), US, dismissed={BackupId("00000001")})
    assert uploads(plan) == []


def test_an_unverified_file_with_the_same_id_and_another_date_stands_in_nobodys_way() -> None:
    plan = make_plan([local(1, day=5)], [remote(1, verified=False)], Policy(), US)
    assert uploads(plan) == [1]


def test_a_backup_of_another_house_is_uploaded_but_takes_no_place() -> None:
    plan = make_plan([local(1, owner=THEM), local(2)], [remote(0)], Policy(keep=1), US)
    assert uploads(plan) == [2, 1]


@given(locals_, folders, policies, ids, ids)
def test_nothing_is_uploaded_that_would_be_deleted_at_once(
    here: list[LocalBackup],
    there: list[RemoteBackup],
    policy: Policy,
    dismissed: frozenset[BackupId],
    wanted: frozenset[BackupId],
) -> None:
    plan = make_plan(here, there, policy, US, dismissed=dismissed, wanted=wanted)
    to_delete = {id_of(one.backup.backup) for one in plan.expected_verdicts if not one.keep}
    assert not to_delete & ({id_of(one.backup) for one in plan.upload} - wanted)


def _file_of(one: LocalBackup) -> RemoteFile:
    return replace(remote().file, name=file_name(one.backup), size=one.backup.size)


@given(locals_, folders, policies, ids, ids)
def test_what_can_not_be_verified_takes_the_place_of_no_other(
    here: list[LocalBackup],
    there: list[RemoteBackup],
    policy: Policy,
    dismissed: frozenset[BackupId],
    wanted: frozenset[BackupId],
) -> None:
    names = {id_of(one.backup) for one in here}
    copies = [
        replace(remote(owner=US, verified=False), backup=one.backup, file=_file_of(one))
        for number, one in enumerate(here)
        if number % 3 == 0
    ] + [one for one in there if id_of(one.backup) not in names]
    first = make_plan(here, copies, policy, US, dismissed=dismissed, wanted=wanted)
    unproven = {id_of(one.backup) for one in first.verify}
    plan = make_plan(
        here, copies, policy, US, dismissed=dismissed, unproven=unproven, wanted=wanted
    )
    without = make_plan(
        [one for one in here if id_of(one.backup) not in unproven],
        [one for one in copies if id_of(one.backup) not in unproven],
        policy,
        US,
        dismissed=dismissed,
        wanted=wanted,
    )
    assert plan.upload == without.upload


@given(locals_, folders, policies, ids, ids)
def test_every_local_backup_is_accounted_for_once(
    here: list[LocalBackup],
    there: list[RemoteBackup],
    policy: Policy,
    dismissed: frozenset[BackupId],
    wanted: frozenset[BackupId],
) -> None:
    plan = make_plan(here, there, policy, US, dismissed=dismissed, wanted=wanted)
    in_dropbox = {id_of(one.backup) for one in there if one.verified}
    verify = {id_of(one.backup) for one in plan.verify}
    planned = [id_of(one.backup) for one in plan.upload]
    skipped = [id_of(one.local.backup) for one in plan.skipped]
    assert len(planned) == len(set(planned))
    assert not set(planned) & in_dropbox
    assert {id_of(one.backup) for one in here} - in_dropbox == {*planned, *skipped, *verify}
    assert not set(planned) & set(skipped)
    assert not verify & {*planned, *skipped}


@given(locals_, folders, policies, ids, ids)
def test_only_what_is_in_dropbox_now_is_deleted_now(
    here: list[LocalBackup],
    there: list[RemoteBackup],
    policy: Policy,
    dismissed: frozenset[BackupId],
    wanted: frozenset[BackupId],
) -> None:
    plan = make_plan(here, there, policy, US, dismissed=dismissed, wanted=wanted)
    assert plan.verdicts == judge(there, policy.keep, US)
    assert all(one in there for one in plan.delete)
