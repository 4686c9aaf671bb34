"""Dropbox's content hash: SHA-256 over the SHA-256 of each block of 4 MiB.

Source: https://www.dropbox.com/developers/reference/content-hash
The SDK's hasher gives the hash of a whole. Uploading needs the hash of each chunk *and* of the
whole: keeping the digests of the blocks gives both while every byte is hashed once.
"""

from collections.abc import Iterable
from hashlib import sha256

BLOCK_SIZE = 4 * 1024 * 1024


def block_digests(chunk: bytes | memoryview) -> list[bytes]:
    """Return the digest of each block of a chunk that starts at a multiple of the block size.

    Takes milliseconds per MiB on a small board: call it outside the event loop.
    """
    view = memoryview(chunk)
    return [
        sha256(view[start : start + BLOCK_SIZE]).digest()
        for start in range(0, len(view), BLOCK_SIZE)
    ]


def content_hash(digests: Iterable[bytes]) -> str:
    """Return the content hash (64 hexadecimal digits) of the blocks with these digests."""
    return sha256(b"".join(digests)).hexdigest()
