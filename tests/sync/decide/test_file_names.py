"""File names are safe, and the same backup always gets the same one."""

from itertools import islice
import re
import unicodedata

from homeassistant.components.backup import AgentBackup
from hypothesis import given
import pytest

from custom_components.dropbox_backup.sync.decide.file_names import (
    file_name,
    file_names,
    is_our_name,
)
from tests.support.backups import agent_backups, backup


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Automatic backup 2026.11.0", "Automatic_backup_2026.11.0"),
        ("a/b\\c", "a_b_c"),
        ("..", "backup"),
        ("../../etc/passwd", "etc_passwd"),
        ("  spaces  and\ttabs ", "spaces_and_tabs"),
        ("Häuschen 家", "Häuschen_家"),
        ("party 🎉🎉 time", "party_time"),
        ("the first beyond \N{LINEAR B SYLLABLE B008 A}", "the_first_beyond"),
        ("right\u202eto left", "right_to_left"),
        ("x" * 300, "x" * 120),
        ("家" * 300, "家" * 40),
        ("", "backup"),
        ("con: <a>|?*", "con_a"),
    ],
)
def test_names_are_made_safe(name: str, expected: str) -> None:
    assert file_name(backup(1, name=name)) == f"{expected}_2026-01-02_03.00_00000001.tar"


@given(agent_backups)
def test_any_backup_gets_a_name_that_dropbox_and_all_file_systems_take(made: AgentBackup) -> None:
    name = file_name(made)
    assert name == file_name(made)
    assert re.fullmatch(r'[^/\\<>:"|?*\s]+\.tar', name)
    assert len(name.encode()) <= 255
    assert not any(unicodedata.category(char).startswith("C") for char in name)
    assert not name.startswith(".")
    assert unicodedata.is_normalized("NFC", name)


def test_where_something_else_lies_a_number_is_added() -> None:
    assert list(islice(file_names(backup(1, name="Nightly")), 3)) == [
        "Nightly_2026-01-02_03.00_00000001.tar",
        "Nightly_2026-01-02_03.00_00000001_2.tar",
        "Nightly_2026-01-02_03.00_00000001_3.tar",
    ]
    *_, last = names = list(file_names(backup(1, name="Nightly")))
    assert (len(names), last) == (99, "Nightly_2026-01-02_03.00_00000001_99.tar")


@pytest.mark.parametrize(
    ("backup_id", "expected"), [("a" * 65, "a" * 64), ("ä/b", "-b"), ("", "unknown")]
)
def test_any_id_fits_into_a_name(backup_id: str, expected: str) -> None:
    made = backup(1, name="Nightly", backup_id=backup_id)
    assert file_name(made) == f"Nightly_2026-01-02_03.00_{expected}.tar"


@given(agent_backups)
def test_any_name_that_we_give_is_ours_and_of_this_backup_alone(made: AgentBackup) -> None:
    names = list(file_names(made))
    assert names[0] == file_name(made)
    assert len(set(names)) == len(names)
    assert all(is_our_name(name, made) for name in names)
    assert all(len(name.encode()) <= 255 for name in names)
    assert not is_our_name(file_name(backup(1)), backup(2))


@pytest.mark.parametrize(
    "name",
    [
        "KEEP ME (before the renovation).tar",
        "Nightly_2026-01-02_03.00_00000001 (1).tar",
        "Nightly_2026-01-02_03.00_00000001_1.tar",
        "Nightly_2026-01-02_03.00_00000001_02.tar",
        "Nightly_2026-01-02_03.00_00000001_mine.tar",
        "nightly_2026-01-02_03.00_00000001.tar",
        "00000001.tar",
        "",
    ],
)
def test_what_a_person_calls_a_copy_is_not_our_name(name: str) -> None:
    assert not is_our_name(name, backup(1, name="Nightly"))
