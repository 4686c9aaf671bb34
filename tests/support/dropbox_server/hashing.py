"""Dropbox's content hash, block by block.

The hash is SHA-256 over the SHA-256 digests of each 4 MiB block
(https://www.dropbox.com/developers/reference/content-hash).
"""

from __future__ import annotations

from collections.abc import Iterable
import hashlib
from pathlib import Path

BLOCK_SIZE = 4 * 1024 * 1024
_READ_SIZE = 1024 * 1024


class BlockHasher:
    """Collects the digests of 4 MiB blocks from data in any slices."""

    def __init__(self) -> None:
        """Start with no data."""
        self.size = 0
        self._digests: list[bytes] = []
        self._block = hashlib.sha256()
        self._room = BLOCK_SIZE

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add data; slices need not respect the blocks."""
        view = memoryview(data)
        self.size += len(view)
        while len(view) >= self._room:
            self._block.update(view[: self._room])
            view = view[self._room :]
            self._digests.append(self._block.digest())
            self._block = hashlib.sha256()
            self._room = BLOCK_SIZE
        if len(view):
            self._block.update(view)
            self._room -= len(view)

    def digests(self) -> list[bytes]:
        """Return the digest of each block, the last one possibly of a short block."""
        if self._room == BLOCK_SIZE:
            return list(self._digests)
        return [*self._digests, self._block.digest()]


def combine(digests: Iterable[bytes]) -> str:
    """Combine block digests to the content hash, as hex."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def hash_bytes(data: bytes) -> str:
    """Return the content hash of bytes in memory."""
    hasher = BlockHasher()
    hasher.update(data)
    return combine(hasher.digests())


def hash_file(path: Path) -> str:
    """Return the content hash of a file; blocking, so call it in a thread for large files."""
    hasher = BlockHasher()
    with path.open("rb") as file:
        while data := file.read(_READ_SIZE):
            hasher.update(data)
    return combine(hasher.digests())
