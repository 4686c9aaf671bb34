"""What an archive holds is told by its bytes, in whatever way they are read."""

import contextlib
import io
import json
from pathlib import Path
import random
import tarfile
import time

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.sync.archive.contents import (
    Contents,
    InnerArchive,
    Watch,
    examine,
    protection_of,
)
from custom_components.dropbox_backup.sync.archive.metadata import ArchiveError
from custom_components.dropbox_backup.sync.decide.models import Protection
from tests.support.supervisor import archives

BEGINNINGS = {
    Protection.ENCRYPTED: b"SecureTar\x03" + bytes(200),
    Protection.NOT_ENCRYPTED: b"\x1f\x8b\x08" + bytes(200),
    Protection.UNKNOWN: b"\xaa" * 200,
}
# What tarfile can write.
names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=9).map(
    lambda name: name * 12
)
members = st.lists(
    st.tuples(
        names | names.map(lambda name: f"./{name}.tar.gz"),
        st.sampled_from(list(BEGINNINGS)),
        st.integers(0, 3000),
    ),
    max_size=5,
)


def archive_of(contents: list[tuple[str, Protection, int]], form: int, *, last: bool) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        if not last:
            add("./backup.json", b'{"slug": "1"}')
        tar.addfile(tarfile.TarInfo("."))
        for name, protection, more in contents:
            add(name, BEGINNINGS[protection] + bytes(more))
        if last:
            add("./backup.json", b'{"slug": "1"}')
    return file.getvalue()


@given(
    members,
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.booleans(),
    st.integers(1, 2000) | st.just(1 << 20),
)
def test_files_and_streams_tell_the_same(
    contents: list[tuple[str, Protection, int]], form: int, last: bool, count: int
) -> None:
    archive = archive_of(contents, form, last=last)
    found = examine(io.BytesIO(archive))
    assert [(one.name, one.size, one.protection) for one in found.inner] == [
        (name, len(BEGINNINGS[protection]) + more, protection)
        for name, protection, more in contents
        if name.endswith((".tar", ".tar.gz", ".tgz"))
    ]
    assert found.members == len(contents) + 2
    grown = json.dumps({"slug": "1", "protected": True})
    assert found.metadata_growth == len(grown) - len('{"slug": "1"}')

    watch = Watch()
    for start in range(0, len(archive), count):
        watch.passed(archive[start : start + count])
    assert watch.ended() == found


@given(st.binary(max_size=600), st.integers(0, 10_000), st.integers(1, 5000))
def test_whatever_passes_is_told_or_not(damage: bytes, where: int, count: int) -> None:
    """An archive that is damaged, or none: nothing but `ArchiveError` comes of it."""
    whole = archive_of(
        [(f"{'x' * 120}.tar", Protection.ENCRYPTED, 900)], tarfile.PAX_FORMAT, last=True
    )
    damaged = whole[:where] + damage + whole[where + len(damage) :]
    expected = None
    with contextlib.suppress(ArchiveError):
        expected = examine(io.BytesIO(damaged))
    watch = Watch()
    for start in range(0, len(damaged), count):
        watch.passed(damaged[start : start + count])
    assert watch.ended() == expected


@pytest.mark.parametrize("extended", [False, True])
def test_a_size_that_no_file_has_is_refused(*, extended: bool) -> None:
    member = tarfile.TarInfo("homeassistant.tar.gz")
    member.size = (1 << 63) - 1 if extended else 1 << 80
    headers = member.tobuf(tarfile.PAX_FORMAT if extended else tarfile.GNU_FORMAT)
    headers += bytes(tarfile.BLOCKSIZE)
    with pytest.raises(ArchiveError, match="wrong size"):
        examine(io.BytesIO(headers))


def test_a_header_of_very_many_records_takes_no_longer_than_its_size() -> None:
    def seconds(records: int) -> float:
        text = b"7 a=bc\n" * records
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, len(text)
        archive = header.tobuf() + text.ljust(-(-len(text) // 512) * 512, b"\0")
        archive += tarfile.TarInfo("file").tobuf() + bytes(1024)
        tries = []
        for _ in range(3):
            begun = time.thread_time()
            assert examine(io.BytesIO(archive)).members == 1
            tries.append(time.thread_time() - begun)
        return min(tries)

    assert seconds(120_000) < 12 * seconds(20_000)


def test_parts_of_more_than_8_gib(tmp_path: Path) -> None:
    """Their size is in an extended header."""
    large = 9 << 30
    path = tmp_path / "large.tar"
    with path.open("wb") as file:
        member = tarfile.TarInfo("./homeassistant.tar.gz")
        member.size = large
        file.write(member.tobuf(tarfile.PAX_FORMAT))
        file.write(BEGINNINGS[Protection.NOT_ENCRYPTED])
        file.seek(large - len(BEGINNINGS[Protection.NOT_ENCRYPTED]), io.SEEK_CUR)
        last = tarfile.TarInfo("ssl.tar.gz")
        file.write(last.tobuf() + bytes(1024))
    with path.open("rb") as file:
        assert examine(file) == Contents(
            (
                InnerArchive("./homeassistant.tar.gz", large, Protection.NOT_ENCRYPTED),
                InnerArchive("ssl.tar.gz", 0, Protection.UNKNOWN),
            ),
            members=2,
        )


@pytest.mark.parametrize("password", [None, "secret"])
@pytest.mark.parametrize("securetar", [2, 3])
@pytest.mark.parametrize("compressed", [True, False])
def test_archives_of_supervisor(
    tmp_path: Path, password: str | None, securetar: int, compressed: bool
) -> None:
    path = tmp_path / "made.tar"
    made = archives.Contents(
        password=password,
        securetar=securetar,  # type: ignore[arg-type]  # 2 or 3
        compressed=compressed,
        addons=("core_ssh",),
        folders=archives.ALL_FOLDERS,
        supervisor=True,
    )
    archives.write(path, made)
    with path.open("rb") as file:
        found = examine(file)
    expected = Protection.ENCRYPTED if password else Protection.NOT_ENCRYPTED
    assert found.protection is expected
    ending = ".tar.gz" if compressed else ".tar"
    assert [one.name for one in found.inner] == [f"{part}{ending}" for part in made.parts()]


def with_holes(form: str, name: str = "holes.bin") -> bytes:
    """Return a file with holes and its headers as GNU tar writes them: see its manual, "Sparse
    Formats".
    """
    data = bytes(range(256)) * 5
    member = tarfile.TarInfo(name)
    if form == "GNU":
        member.size, member.type = len(data), tarfile.GNUTYPE_SPARSE
        header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
        header[482] = 1  # two more blocks about its holes follow
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
        blocks = bytes(504) + b"\1" + bytes(7) + bytes(512)
    else:
        map_of_holes = b"1\n0\n1280\n".ljust(512, b"\0")
        member.name = "GNUSparseFile.1/x"
        member.size = len(map_of_holes) + len(data)
        member.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": name,
            "GNU.sparse.realsize": "9000000",
        }
        header, blocks = bytearray(member.tobuf(tarfile.PAX_FORMAT)), map_of_holes
    return bytes(header) + blocks + data.ljust(1536, b"\0")


@pytest.mark.parametrize("form", ["GNU", "PAX"])
def test_what_comes_after_a_file_with_holes_is_told(form: str) -> None:
    archive = with_holes(form) + archive_of(
        [("ssl.tar.gz", Protection.NOT_ENCRYPTED, 0)], tarfile.GNU_FORMAT, last=True
    )
    found = examine(io.BytesIO(archive))
    assert [one.name for one in found.inner] == ["ssl.tar.gz"]
    assert found.protection is Protection.NOT_ENCRYPTED
    watch = Watch()
    watch.passed(archive)
    assert watch.ended() == found
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames()[0] == "holes.bin", "it is as others read it"
        assert found.members == len(tar.getmembers())


@pytest.mark.parametrize("form", ["GNU", "PAX"])
def test_a_part_with_holes_can_not_be_told(form: str) -> None:
    with pytest.raises(ArchiveError, match="file with holes"):
        examine(io.BytesIO(with_holes(form, "homeassistant.tar")))


def header(name: str, size: int, *, form: bytes = tarfile.REGTYPE, **extended: str) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.pax_headers = size, form, extended
    return member.tobuf(tarfile.PAX_FORMAT)


def before_another(extended: bytes) -> bytes:
    """Return the extended header alone, without the member's own."""
    return extended[:-512]


READABLE = (BEGINNINGS[Protection.NOT_ENCRYPTED] + bytes(512))[:512]


@pytest.mark.parametrize(
    "archive",
    [
        tarfile.TarInfo.create_pax_global_header({"path": "ssl.tar.gz"})
        + header("other.bin", 512)
        + READABLE,
        before_another(header("", 0, path="ssl.tar.gz"))
        + before_another(header("", 0, comment="?"))
        + header("other.bin", 512)
        + READABLE,
        header("folder/", 512, form=tarfile.AREGTYPE, comment="?")
        + bytes(512)
        + header("ssl.tar.gz", 512)
        + READABLE,
    ],
    ids=["name of all", "two headers", "folder with data"],
)
def test_what_others_read_in_another_way_can_not_be_told(archive: bytes) -> None:
    archive += bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert "ssl.tar.gz" in tar.getnames(), "somebody can read it"
    with pytest.raises(ArchiveError):
        examine(io.BytesIO(archive))
    watch = Watch()
    watch.passed(archive)
    watch.ended()
    assert watch.lost


def test_a_stream_of_very_many_files_is_followed_to_its_end() -> None:
    watch = Watch()
    for number in range(25_000):
        watch.passed(tarfile.TarInfo(f"{number}").tobuf())
    assert not watch.lost
    watch.passed(
        archive_of([("ssl.tar.gz", Protection.NOT_ENCRYPTED, 0)], tarfile.GNU_FORMAT, last=True)
    )
    contents = watch.ended()
    assert contents is not None
    assert contents.protection is Protection.NOT_ENCRYPTED


def test_noise_is_unknown() -> None:
    """SecureTar 1 begins with a random number."""
    assert protection_of(random.Random(1).randbytes(512)) is Protection.UNKNOWN
    assert protection_of(b"") is Protection.UNKNOWN


@pytest.mark.parametrize(
    ("kinds", "together"),
    [
        ([], Protection.UNKNOWN),
        ([Protection.ENCRYPTED] * 2, Protection.ENCRYPTED),
        ([Protection.NOT_ENCRYPTED], Protection.NOT_ENCRYPTED),
        ([Protection.ENCRYPTED, Protection.NOT_ENCRYPTED], Protection.PARTLY),
        ([Protection.UNKNOWN, Protection.NOT_ENCRYPTED], Protection.PARTLY),
        ([Protection.ENCRYPTED, Protection.UNKNOWN], Protection.UNKNOWN),
    ],
)
def test_all_parts_together(kinds: list[Protection], together: Protection) -> None:
    inner = tuple(InnerArchive("x.tar", 1, kind) for kind in kinds)
    assert Contents(inner, len(inner)).protection is together
