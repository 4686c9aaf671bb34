"""A file goes into chunks as it is, or not at all."""

import io
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from custom_components.dropbox_backup.dropbox_api.errors import CorruptError
from custom_components.dropbox_backup.dropbox_api.upload.source import (
    FileSource,
    Source,
    memory_for,
)
from tests.support.sources import MIB, some_bytes

CHUNK = 1000


async def read(source: Source) -> tuple[bytes, list[int]]:
    chunks = [bytes(chunk) async for chunk in source.chunks(CHUNK)]
    return b"".join(chunks), [len(chunk) for chunk in chunks]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5 * CHUNK))
async def test_a_file_is_cut_like_a_stream(tmp_path: Path, size: int) -> None:
    data = some_bytes(size, seed=size)
    path = tmp_path / "backup.tar"
    path.write_bytes(data)
    source = FileSource(path, size)
    pieces = b"".join([piece async for piece in source.read()])
    whole, sizes = await read(source)
    assert whole == pieces == data
    assert sizes == [CHUNK] * (size // CHUNK) + [size % CHUNK] * (size % CHUNK > 0)


@pytest.mark.parametrize("difference", [-1, 1])
async def test_a_file_of_another_size_is_refused_before_anything_is_sent(
    tmp_path: Path, difference: int
) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(bytes(3 * CHUNK + difference))
    with pytest.raises(CorruptError, match=f"found {3 * CHUNK + difference}, expected"):
        await anext(FileSource(path, 3 * CHUNK).chunks(CHUNK))


@pytest.mark.parametrize("size", [CHUNK + 1, 4 * CHUNK])
async def test_a_file_that_shrinks_or_grows_while_it_is_read_is_found_out(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(bytes(3 * CHUNK))
    chunks = FileSource(path, 3 * CHUNK).chunks(CHUNK)
    await anext(chunks)
    with path.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(CorruptError):
        async for _ in chunks:
            pass


async def test_who_asked_may_look_at_the_file_first_and_last(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(bytes(2 * CHUNK))
    looks: list[int] = []

    def look(file: io.BufferedReader) -> None:
        looks.append(file.tell())
        if file.tell():
            raise OSError("changed")

    with pytest.raises(OSError, match="changed"):
        await read(FileSource(path, 2 * CHUNK, look))
    assert looks == [0, 2 * CHUNK]


async def test_a_file_that_ends_early_is_looked_at_before_anything_else_is_said(
    tmp_path: Path,
) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(bytes(3 * MIB))

    def look(file: io.BufferedReader) -> None:
        if file.tell():
            raise OSError("changed")

    chunks = FileSource(path, 3 * MIB, look).chunks(MIB)
    await anext(chunks)
    os.truncate(path, MIB + 1)
    with pytest.raises(OSError, match="changed"):
        await anext(chunks)


async def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read(FileSource(tmp_path / "gone.tar", CHUNK))


async def test_who_stops_reading_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(bytes(3 * CHUNK))
    seen: list[io.BufferedReader] = []
    chunks = FileSource(path, 3 * CHUNK, seen.append).chunks(CHUNK, memory_for)
    await anext(chunks)
    await chunks.aclose()
    assert seen[0].closed
