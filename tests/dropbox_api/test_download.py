"""Downloads survive broken connections and end with a proof."""

import pytest

from custom_components.dropbox_backup.dropbox_api.client import (
    DropboxClient,
    FileMetadata,
    UploadCommit,
)
from custom_components.dropbox_backup.dropbox_api.download import download, read_range
from custom_components.dropbox_backup.dropbox_api.errors import CorruptError, UnreachableError
from custom_components.dropbox_backup.dropbox_api.upload import upload
from tests.dropbox_server import DropboxServer, Fault, FaultKind

from .conftest import MIB, Bytes, some_bytes

DATA = some_bytes(5 * MIB + 11)


@pytest.fixture
async def metadata(client: DropboxClient) -> FileMetadata:
    return await upload(client, Bytes(DATA), UploadCommit("/backup.tar"))


async def received(client: DropboxClient, metadata: FileMetadata) -> bytes:
    stream = download(client, metadata.rev, metadata.size, metadata.content_hash)
    return b"".join([piece async for piece in stream])


async def test_the_bytes_come_back(client: DropboxClient, metadata: FileMetadata) -> None:
    assert await received(client, metadata) == DATA


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET_IN_RESPONSE, after_bytes=MIB + 1, times=3),
        Fault(FaultKind.TRUNCATE_DOWNLOAD, after_bytes=3 * MIB),
        Fault(FaultKind.RESET_BEFORE_BODY),
        Fault(FaultKind.STATUS, status=503),
        Fault(FaultKind.EXPIRE_TOKEN),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_a_broken_connection_is_taken_up_where_it_broke(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: FileMetadata, fault: Fault
) -> None:
    fault.route = "files/download"
    dropbox_server.faults.add(fault)
    assert await received(client, metadata) == DATA
    # What was sent when a connection broke may have been lost on the way, but not what was read.
    assert dropbox_server.log.bytes_sent("files/download") < len(DATA) + 4 * MIB


async def test_a_damaged_download_fails_at_its_end(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: FileMetadata
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.CORRUPT_DOWNLOAD, route="files/download", after_bytes=1000)
    )
    with pytest.raises(CorruptError):
        await received(client, metadata)


async def test_a_line_that_never_brings_a_byte_is_given_up(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: FileMetadata
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.RESET_IN_RESPONSE, route="files/download", after_bytes=0, times=None)
    )
    with pytest.raises(UnreachableError):
        await received(client, metadata)


async def test_a_file_that_was_replaced_does_not_mix_in(
    client: DropboxClient, dropbox_server: DropboxServer, metadata: FileMetadata
) -> None:
    stream = download(client, metadata.rev, metadata.size, metadata.content_hash)
    first = await anext(stream)
    await client.delete("/backup.tar", metadata.rev)
    await upload(client, Bytes(some_bytes(len(DATA), seed=9)), UploadCommit("/backup.tar"))
    dropbox_server.faults.add(Fault(FaultKind.RESET_IN_RESPONSE, route="files/download"))
    rest = b"".join([piece async for piece in stream])
    assert first + rest == DATA


async def test_ranges(client: DropboxClient, metadata: FileMetadata) -> None:
    assert await read_range(client, metadata.rev, 10, 20) == DATA[10:20]
    assert await read_range(client, metadata.rev, 5, 5) == b""
