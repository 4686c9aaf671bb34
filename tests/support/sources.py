"""Contents to upload, and tokens to do it with."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
import random
from typing import override

from custom_components.dropbox_backup.dropbox_api.errors import SignInError
from custom_components.dropbox_backup.dropbox_api.upload.source import (
    Buffer,
    Source,
    cut,
    memory_for,
)
from tests.support.dropbox_server import DropboxAccount, DropboxServer

FOLDER = "/HomeAssistant/Backups"
MIB = 1024 * 1024


@dataclass
class Tokens:
    """Hands out access tokens as a config entry does; `refused` notes what it was told."""

    server: DropboxServer
    account: DropboxAccount
    refused: list[str] = field(default_factory=list)
    can_renew: bool = True
    current: str = ""

    async def get(self, refused: str | None) -> str:
        if refused:
            self.refused.append(refused)
            if not self.can_renew:
                raise SignInError("the sign-in is no longer valid")
            self.current = ""
        if not self.current:
            app = next(iter(self.server.apps.values()))
            self.current = self.server.issue_tokens(app, self.account).access_token
        return self.current


@dataclass
class Bytes(Source):
    """A source that yields pieces of odd sizes, as streams do."""

    data: bytes
    claims: int | None = None
    read_from: int = 0

    @property
    def size(self) -> int:
        return len(self.data) if self.claims is None else self.claims

    async def read(self) -> AsyncGenerator[bytes]:
        self.read_from += 1
        sizes = random.Random(7)
        position = 0
        while position < len(self.data):
            step = sizes.choice([1, 4096, 70_001, 2 * MIB])
            yield self.data[position : position + step]
            position += step


@dataclass
class Marked(Bytes):
    """A source that can be read from anywhere, and knows from where it was."""

    mark: str = "1"
    starts: list[int] = field(default_factory=list)

    @override
    async def etag(self) -> str | None:
        return self.mark

    @override
    def chunks(
        self, chunk_size: int, buffer: Buffer = memory_for, start: int = 0
    ) -> AsyncGenerator[memoryview]:
        self.starts.append(start)
        rest = Bytes(self.data[start:]).read()
        return cut(rest, self.size, chunk_size, buffer, start)


def some_bytes(size: int, seed: int = 1) -> bytes:
    """Return random bytes; the same seed gives the same ones."""
    return random.Random(seed).randbytes(size)
