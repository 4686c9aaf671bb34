"""What lies in Dropbox under one id: which file is the backup, and what the others are."""

from dataclasses import replace
from datetime import timedelta

import pytest

from custom_components.dropbox_backup.sync.decide.models import (
    BadCopy,
    RemoteBackup,
    RemoteFile,
    WhyNot,
    id_of,
)
from custom_components.dropbox_backup.sync.decide.ownership import Ownership
from custom_components.dropbox_backup.sync.remote.catalog import entry_of
from custom_components.dropbox_backup.sync.remote.inventory import (
    backups_of,
    entries_of,
)
from tests.support.backups import FIRST_DAY, THEM, US, backup, remote

NOT_UPLOADED = Ownership(US, lambda _: None)
BACKUP = remote(1)
OTHER_HASH = "0" * 64


def found(*copies: RemoteBackup, ownership: Ownership = NOT_UPLOADED) -> RemoteBackup:
    """Return what stands for the one id that all these have."""
    catalog = {one.file.name: entry_of(one) for one in copies}
    backups = backups_of([one.file for one in copies], catalog, ownership)
    assert set(backups) == {id_of(BACKUP.backup)}
    return backups[id_of(BACKUP.backup)]


def copy_of(one: RemoteBackup, name: str, **more: object) -> RemoteBackup:
    """Return another file with the same backup, which nobody has verified."""
    return replace(one, file=replace(one.file, name=name, **more), verified=None)  # type: ignore[arg-type]  # any field of a file


def later(one: RemoteBackup) -> RemoteBackup:
    uploaded = one.file.uploaded + timedelta(days=1)
    return replace(one, file=replace(one.file, uploaded=uploaded))


# Which it is


def test_a_verified_file_stands_for_its_id_then_a_name_of_ours_then_the_newest() -> None:
    first = copy_of(BACKUP, "a.tar")
    second = later(copy_of(BACKUP, "b.tar"))
    ours = replace(BACKUP, verified=None)
    verified = replace(first, verified=FIRST_DAY)
    assert found(first, second).file == found(second, first).file == second.file
    assert found(ours, second).file == found(second, ours).file == ours.file
    assert found(ours, verified).file == found(verified, ours).file == verified.file
    both = replace(second, verified=FIRST_DAY)
    assert found(both, BACKUP).file == found(BACKUP, both).file == BACKUP.file


def test_of_files_of_one_second_the_name_decides_whichever_is_listed_first() -> None:
    one, other = copy_of(BACKUP, "a.tar"), copy_of(BACKUP, "b.tar")
    assert found(one, other).file == found(other, one).file == one.file


# What the others are


@pytest.mark.parametrize(
    ("change", "protected", "why"),
    [
        ({}, False, None),
        ({"content_hash": OTHER_HASH}, False, WhyNot.OTHER_CONTENT),
        ({"content_hash": OTHER_HASH, "size": 5}, False, WhyNot.OTHER_SIZE),
        ({"content_hash": OTHER_HASH, "size": 5}, True, WhyNot.OTHER_SIZE),
        # Two that are encrypted differ in any case.
        ({"content_hash": OTHER_HASH}, True, WhyNot.NOT_COMPARABLE),
    ],
)
def test_a_file_that_is_not_the_verified_backup_is_named_with_its_reason(
    change: dict[str, object], protected: bool, why: WhyNot | None
) -> None:
    verified = replace(BACKUP, backup=backup(1, protected=protected))
    other = copy_of(verified, "other.tar", **change)
    bad = () if why is None else (BadCopy(other.file, why),)
    assert found(verified, other).bad_copies == bad


@pytest.mark.parametrize("protected", [False, True])
def test_an_encrypted_file_is_not_compared_with_one_that_is_not(protected: bool) -> None:
    verified = replace(BACKUP, backup=backup(1, protected=protected))
    other = replace(
        copy_of(BACKUP, "other.tar", content_hash=OTHER_HASH, size=5),
        backup=backup(1, protected=not protected),
    )
    assert found(verified, other).bad_copies == (BadCopy(other.file, WhyNot.NOT_COMPARABLE),)


def test_nothing_is_called_bad_that_is_verified_itself_or_that_nobody_can_judge() -> None:
    other = copy_of(BACKUP, "other.tar", content_hash=OTHER_HASH)
    assert found(BACKUP, replace(other, verified=FIRST_DAY)).bad_copies == ()
    assert found(replace(BACKUP, verified=None), other).bad_copies == ()
    assert found(BACKUP).bad_copies == ()


# What is known of them


def test_our_journal_proves_owner_and_content_and_changes_no_word_of_the_catalog() -> None:
    content = BACKUP.file.content_hash
    ownership = Ownership(US, {id_of(BACKUP.backup): content}.get)
    unknown = replace(BACKUP, owner=None, verified=None)
    proven = found(unknown, ownership=ownership)
    assert proven.owner == US
    assert proven.verified is not None
    theirs = replace(BACKUP, owner=THEM)
    assert found(theirs, ownership=ownership) == theirs
    other = Ownership(US, {id_of(BACKUP.backup): OTHER_HASH}.get)
    assert found(unknown, ownership=other) == unknown


def test_an_entry_holds_for_its_own_file_and_content_alone() -> None:
    entry = entry_of(BACKUP)
    changed = replace(BACKUP.file, content_hash=OTHER_HASH)
    catalog = {BACKUP.file.name: entry}

    def entries(*files: RemoteFile) -> object:
        return entries_of(files, catalog)

    assert entries(BACKUP.file) == catalog
    assert entries(changed) == {}
    assert entries(remote(2).file) == {}
    assert backups_of([changed, remote(2).file], catalog, NOT_UPLOADED) == {}
