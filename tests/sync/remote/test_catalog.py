"""The catalog remembers, and nothing that lies in its place can break the list."""

from dataclasses import fields, replace
import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup import untrusted
from custom_components.dropbox_backup.sync.decide.models import (
    Annotations,
    Protection,
    RemoteBackup,
)
from custom_components.dropbox_backup.sync.decide.ownership import Ownership
from custom_components.dropbox_backup.sync.remote.catalog import (
    CatalogEntry,
    Rest,
    entry_of,
    parse_catalog,
    read_catalog,
    write_catalog,
)
from custom_components.dropbox_backup.sync.remote.inventory import entry_of_archive
from tests.support.backups import FIRST_DAY, US, folders, json_values, remote


def catalog_of(folder: list[RemoteBackup]) -> dict[str, CatalogEntry]:
    return {one.file.name: entry_of(one) for one in folder}


@given(folders)
def test_what_is_written_is_read_back(folder: list[RemoteBackup]) -> None:
    catalog = parse_catalog(write_catalog(catalog_of(folder)))
    assert [catalog[one.file.name].describe(one.file) for one in folder] == folder


def test_all_that_is_known_of_a_backup_is_kept() -> None:
    known = {
        "owner": US,
        "pinned": True,
        "verified": FIRST_DAY,
        "unknown": {"kept": "by a newer version"},
        "protection": Protection.ENCRYPTED,
    }
    assert known.keys() == {item.name for item in fields(Annotations)}, "each is tried"
    plain = remote(1)
    one = RemoteBackup(plain.backup, plain.file, **known)  # type: ignore[arg-type]  # of all kinds
    [entry] = parse_catalog(write_catalog(catalog_of([one]))).values()
    assert entry.describe(one.file) == one


@given(folders)
def test_the_same_backups_give_the_same_bytes(folder: list[RemoteBackup]) -> None:
    assert write_catalog(catalog_of(folder)) == write_catalog(catalog_of(folder[::-1]))


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_without_an_error(text: bytes) -> None:
    assert isinstance(parse_catalog(text), dict)


@given(folders, st.data())
def test_a_catalog_that_was_cut_or_damaged_hides_no_more_than_that(
    folder: list[RemoteBackup], data: st.DataObject
) -> None:
    written = catalog_of(folder)
    text = write_catalog(written)
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.binary(max_size=3))
    found = parse_catalog(text[:at] + damage + text[at + len(damage) :])
    same = sum(found.get(name) == entry for name, entry in written.items())
    lines = damage.count(b"\n") + text[at : at + len(damage)].count(b"\n") + 1
    assert same >= len(folder) - lines - 1 or len(found) == 0
    assert parse_catalog(text[:at]) in ({}, parse_catalog(text))


@given(folders, st.sampled_from([None, 2]))
def test_it_is_read_however_somebody_laid_it_out(
    folder: list[RemoteBackup], indent: int | None
) -> None:
    text = write_catalog(catalog_of(folder))
    document = json.loads(text)
    assert parse_catalog(json.dumps(document, indent=indent).encode()) == parse_catalog(text)
    assert text.count(b"\n") == max(len(folder), 1) + 1, "a line for each"


@given(json_values, st.sampled_from(["content_hash", "backup", "owner", "pinned", "verified"]))
def test_one_bad_entry_does_not_hide_the_others(value: Any, key: str) -> None:
    document = json.loads(write_catalog(catalog_of([remote(1), remote(2)])))
    document["backups"][remote(1).file.name][key] = value
    catalog = parse_catalog(json.dumps(document).encode())
    assert catalog[remote(2).file.name].describe(remote(2).file) == remote(2)


def test_a_broken_line_hides_its_own_entry_alone() -> None:
    head, first, *rest = write_catalog(catalog_of([remote(1), remote(2), remote(3)])).split(b"\n")
    found = parse_catalog(b"\n".join((head, first[:40], *rest)))
    assert found == catalog_of([remote(2), remote(3)])


def test_nothing_is_pinned_that_nobody_pinned() -> None:
    one = remote(1)
    document = json.loads(write_catalog(catalog_of([one])))
    del document["backups"][one.file.name]["pinned"]
    assert not parse_catalog(json.dumps(document).encode())[one.file.name].pinned
    ownership = Ownership(US, lambda _: None)
    assert not entry_of_archive(one.file, one.backup, ownership).pinned


def test_an_entry_does_not_speak_for_other_content() -> None:
    catalog = parse_catalog(write_catalog(catalog_of([remote(1)])))
    assert catalog[remote(1).file.name].describe(remote(2).file) is None


def test_half_a_character_does_not_keep_anybody_from_writing() -> None:
    odd = replace(remote(1), backup=replace(remote(1).backup, name="\ud800"))
    catalog = parse_catalog(write_catalog(catalog_of([odd, remote(2)])))
    assert catalog[remote(2).file.name].describe(remote(2).file) == remote(2)
    assert catalog[remote(1).file.name].backup.name == "?"


@given(folders, json_values, json_values)
def test_what_a_newer_version_wrote_is_kept(
    folder: list[RemoteBackup], value: Any, other: Any
) -> None:
    known = {one.file.name: one for one in (*folder, remote(1), remote(2))}
    document = json.loads(write_catalog(catalog_of([*known.values()])))
    first, second = (
        document["backups"][remote(1).file.name],
        document["backups"][remote(2).file.name],
    )
    first["light"], first["backup"]["stations"] = value, other
    second["backup"] = {"id": 2}  # not as we know it
    document["trash"] = value
    text = json.dumps(document).encode()
    expected = untrusted.json_object(text)
    entries, rest = read_catalog(text)
    assert remote(2).file.name not in entries
    files = [one.file for one in known.values()]
    for _ in range(2):
        described = [entries[one.name].describe(one) for one in files if one.name in entries]
        entries = {one.file.name: entry_of(one) for one in described if one is not None}
        written = write_catalog(entries, rest.of(files))
        assert json.loads(written) == expected
        entries, rest = read_catalog(written)


def test_an_entry_that_can_not_be_read_is_kept_while_its_file_is_there() -> None:
    file = remote(2).file
    rest = Rest(entries={file.name: {"content_hash": file.content_hash, "backup": 5}})
    assert rest.of([file]) == rest
    assert rest.of([]) == Rest()
    assert rest.of([replace(file, content_hash="0" * 64)]) == Rest()


@pytest.mark.parametrize("form", [2, "1.5", None, [], -1, 10**30])
def test_only_our_own_format_is_ever_written(form: Any) -> None:
    document = json.loads(write_catalog(catalog_of([remote(1)])))
    entries, rest = read_catalog(json.dumps({**document, "format": form}).encode())
    assert not rest.writable
    assert remote(1).file.name in entries, "it is read as far as it is understood"
    assert not read_catalog(write_catalog(entries, rest))[1].writable, "also after a restart"


def test_deep_nesting_is_no_way_in() -> None:
    assert parse_catalog(b"[" * 100_000) == {}
