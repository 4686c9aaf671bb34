"""Archives are read as Core and Supervisor write them, and damaged ones are told apart."""

from functools import partial
import io
import json
import os
from pathlib import Path
import tarfile
import tempfile
from typing import Any

from homeassistant.components.backup import AgentBackup
from homeassistant.components.backup.util import read_backup
from hypothesis import example, given, strategies as st
import pytest

from custom_components.dropbox_backup.sync.archive.metadata import (
    ArchiveError,
    backup_from_dict,
    backup_from_json,
    check_whole,
    read_metadata,
)
from tests.support.archives import CORE, SUPERVISOR, archive
from tests.support.backups import agent_backups, json_values
from tests.support.core_archives import tar_of


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("metadata", [CORE, SUPERVISOR], ids=["core", "supervisor"])
def test_we_read_an_archive_as_home_assistant_does(
    tmp_path: Path, metadata: dict[str, Any], last: bool
) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(archive(metadata, last=last))
    with path.open("rb") as file:
        ours = read_metadata(file, path.stat().st_size)
    assert ours == read_backup(path)
    check_whole(path)


@given(st.integers(0, 40_000))
def test_an_archive_without_its_end_is_noticed(cut: int) -> None:
    whole = archive(CORE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.tar"
        path.write_bytes(whole[: min(cut, _end_of_members(whole) + 1023)])
        with pytest.raises(ArchiveError):
            check_whole(path)


def _end_of_members(data: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        last = tar.getmembers()[-1]
        return last.offset_data + -(-last.size // 512) * 512


@given(agent_backups)
def test_home_assistants_own_form_is_read_back(made: AgentBackup) -> None:
    assert backup_from_dict(json.loads(json.dumps(made.as_dict()))) == made


@given(json_values)
@example({**CORE, "extra": None})
@example([])
def test_any_json_is_a_backup_or_a_clear_error(value: Any) -> None:
    for made in (
        partial(backup_from_dict, value),
        partial(backup_from_json, json.dumps(value).encode(), 1),
    ):
        try:
            assert isinstance(made(), AgentBackup)
        except ArchiveError as err:
            assert str(err)


@given(st.dictionaries(st.sampled_from([*CORE, *SUPERVISOR]), json_values))
def test_wrong_types_in_a_backup_json_are_a_clear_error(odd: dict[str, Any]) -> None:
    try:
        assert isinstance(backup_from_json(json.dumps({**CORE, **odd}).encode(), 1), AgentBackup)
    except ArchiveError as err:
        assert str(err)


@given(st.binary(max_size=3000), st.integers(0, 22_000), st.booleans())
def test_any_bytes_are_a_backup_or_a_clear_error(junk: bytes, at: int, last: bool) -> None:
    data = bytearray(archive(CORE, last=last))
    data[at : at + len(junk)] = junk
    try:
        assert isinstance(read_metadata(io.BytesIO(bytes(data)), len(data)), AgentBackup)
    except ArchiveError as err:
        assert str(err)


def test_extra_metadata_of_null_and_unknown_folders_are_carried() -> None:
    odd = {**SUPERVISOR, "extra": None, "folders": ["share", "from_the_future"]}
    made = backup_from_json(json.dumps(odd).encode(), 7)
    assert made.extra_metadata == {}
    assert made.folders == ["share"]
    assert made.size == 7


ODD_MEMBERS = [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]


@pytest.mark.parametrize("kind", ODD_MEMBERS)
@pytest.mark.parametrize("last", [False, True])
def test_a_backup_json_that_is_no_plain_file_is_not_followed(kind: bytes, last: bool) -> None:
    link = tarfile.TarInfo("backup.json")
    link.type, link.linkname = kind, "homeassistant.tar.gz"
    members = [link, tarfile.TarInfo("homeassistant.tar.gz")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as tar:
        for member in reversed(members) if last else members:
            tar.addfile(member)
    with pytest.raises(ArchiveError):
        read_metadata(buffer, len(buffer.getvalue()))


def test_headers_that_would_fill_the_memory_are_not_read(tmp_path: Path) -> None:
    bomb = tarfile.TarInfo("./PaxHeader")
    bomb.type, bomb.size = tarfile.XHDTYPE, 1 << 32
    path = tmp_path / "bomb.tar"
    path.write_bytes(bomb.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 1 << 33)
    with path.open("rb") as file, pytest.raises(ArchiveError, match="too large"):
        read_metadata(file, 1 << 33)


def test_of_an_archive_with_very_many_members_not_all_are_looked_at(tmp_path: Path) -> None:
    data = tarfile.TarInfo("a").tobuf() * 20_000 + bytes(1024)
    with pytest.raises(ArchiveError, match="too many"):
        read_metadata(io.BytesIO(data), len(data))
    (tmp_path / "many.tar").write_bytes(data)
    with pytest.raises(ArchiveError, match="too many"):
        check_whole(tmp_path / "many.tar")


def test_an_archive_of_archives_is_not_taken_for_the_last_in_it() -> None:
    inner = archive(SUPERVISOR, last=True)
    outer = tar_of({"Monday.tar": inner, "Tuesday.tar": inner})
    with pytest.raises(ArchiveError, match="no backup json"):
        read_metadata(io.BytesIO(outer), len(outer))


def test_a_backup_json_of_gigabytes_is_not_read() -> None:
    with pytest.raises(ArchiveError, match="backup json no file"):
        read_metadata(io.BytesIO(archive(b" " * 5_000_000)), 1)
