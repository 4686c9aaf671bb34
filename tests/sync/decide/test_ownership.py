"""Whose a backup is: what the archive says, else who uploaded it, else nobody knows."""

from dataclasses import replace

from custom_components.dropbox_backup.sync.decide.ownership import Ownership, made_by, owner_of
from tests.support.backups import US, backup

THEIRS = "another house"
OURS = Ownership(US, {"1": "what we sent"}.get)


def test_an_archive_says_who_made_it() -> None:
    theirs = replace(backup(), extra_metadata={"instance_id": THEIRS})
    assert made_by(theirs) == owner_of(theirs, US) == THEIRS


def test_an_archive_that_says_nothing_belongs_to_who_uploads_it() -> None:
    nothing: list[dict[str, bool | str]] = [{}, {"instance_id": True}]
    for said in nothing:
        unsigned = replace(backup(), extra_metadata=said)
        assert made_by(unsigned) is None
        assert owner_of(unsigned, US) == US


def test_what_the_journal_knows_proves_what_the_catalog_has_lost() -> None:
    ours = replace(backup(), backup_id="1")
    assert OURS.owner(ours, "what we sent", None) == US
    assert OURS.owner(ours, "what we sent", THEIRS) == THEIRS


def test_other_content_under_the_same_id_proves_nothing() -> None:
    ours = replace(backup(), backup_id="1")
    assert OURS.owner(ours, "something else", None) is None
    assert OURS.owner(replace(ours, backup_id="2"), "what we sent", None) is None
