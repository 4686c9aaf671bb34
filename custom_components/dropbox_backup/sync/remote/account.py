"""Proves that a sign-in and a folder are good for backups, before anything relies on them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
import logging
import secrets
from typing import Any
import unicodedata

from ... import untrusted
from ...codes import Reason
from ...const import SCOPES
from ...dropbox_api.client import DropboxClient
from ...dropbox_api.download import download
from ...dropbox_api.errors import (
    BadNameError,
    ConflictError,
    DropboxError,
    Fault,
    FileAsFolderError,
    FullError,
    NotWritableError,
    RateLimitedError,
    SignInError,
    UnreachableError,
)
from ...dropbox_api.retry import RETRY_FOR, Waiter
from ...dropbox_api.types import Account, File, Space, UploadCommit
from ...dropbox_api.upload.source import Source
from ...dropbox_api.upload.upload import upload
from ...waits import WAITS
from ..decide.file_names import CATALOG_NAME
from .folder import BackupFolder

_LOGGER = logging.getLogger(__name__)

# In seconds: a person waits for the answer.
_LONGEST_CLEAN_UP = 10.0
_LONGEST_LOOK = 10.0
# Beside the catalogs themselves, others' conflicted copies of them are found.
_MOST_FOUND = 100
_MOST_OFFERED = 10
_LONGEST_PATH = 1000
_TEST_SIZE = 1024
_LONGEST_NAME = 255
# Control characters, and lone surrogates: they can't even be sent.
_NEVER_IN_NAMES = {"Cc", "Cs"}


class Obstacle(StrEnum):
    """What is wrong with a sign-in or a folder, told apart by what the user has to do."""

    MISSING_PERMISSIONS = "missing_permissions"
    SIGN_IN_ENDS_SOON = "sign_in_ends_soon"
    SIGN_IN_REFUSED = "sign_in_refused"
    CANNOT_CONNECT = "cannot_connect"
    RATE_LIMITED = "rate_limited"
    FULL = "dropbox_full"
    NAME_TOO_LONG = "folder_name_too_long"
    NAME_ENDS_BADLY = "folder_name_ends_badly"
    NAME_HAS_BACKSLASH = "folder_name_has_backslash"
    NAME_HAS_CONTROL = "folder_name_has_control_character"
    NAME_REFUSED = "folder_name_refused"
    FILE_IN_PLACE = "file_in_place"
    NOT_WRITABLE = "folder_not_writable"
    UNEXPECTED = "unexpected"


class ObstacleError(Exception):
    """A sign-in or a folder is not good for backups.

    `reason` says more: the name that is wrong, or what Dropbox said; `permissions` are those that
    are missing.
    """

    def __init__(
        self,
        obstacle: Obstacle,
        reason: str | Reason | None = None,
        permissions: tuple[str, ...] = (),
    ) -> None:
        """Keep what is wrong."""
        super().__init__(str(reason or obstacle.value))
        self.obstacle = obstacle
        self.reason = reason
        self.permissions = permissions


def missing_permissions(token: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON from Dropbox
    """Return the permissions that we need and a token lacks."""
    granted = str(token.get("scope") or "").split()
    return tuple(scope for scope in SCOPES if scope not in granted)


async def check_sign_in(client: DropboxClient, token: Mapping[str, Any]) -> Account:
    """Return whose account a new token is for. Raises `ObstacleError` if it is not good enough."""
    if missing := missing_permissions(token):
        raise ObstacleError(Obstacle.MISSING_PERMISSIONS, permissions=missing)
    if not token.get("refresh_token"):
        raise ObstacleError(Obstacle.SIGN_IN_ENDS_SOON)
    async with _explained():
        return await client.get_current_account()


def folder_path(text: str) -> str:
    """Return what a person typed as the path of a folder: `/a/b`, or the empty string for the root.

    Raises `ObstacleError` for a name that Dropbox refuses, or that can't be synced to a computer;
    its reason is that name. Names that Dropbox reserves are left to Dropbox to refuse.
    """
    names = [name for name in text.strip().split("/") if name]
    for name in names:
        if (obstacle := _wrong_with(name)) is not None:
            raise ObstacleError(obstacle, name)
    return "".join(f"/{name}" for name in names)


def _wrong_with(name: str) -> Obstacle | None:
    if any(unicodedata.category(char) in _NEVER_IN_NAMES for char in name):
        return Obstacle.NAME_HAS_CONTROL
    if len(name) > _LONGEST_NAME:
        return Obstacle.NAME_TOO_LONG
    if "\\" in name:
        return Obstacle.NAME_HAS_BACKSLASH
    if name.endswith((".", " ")):
        return Obstacle.NAME_ENDS_BADLY
    return None


async def prove_writable(client: DropboxClient, folder: str) -> None:
    """Make the folder if need be; write a file into it, read it back and delete it.

    `folder` is a path as `folder_path` returns it. Raises `ObstacleError`.
    """
    path = f"{folder}/Dropbox Backup test {secrets.token_hex(8)}.bin"
    async with _explained():
        if folder:  # the root is always there
            await client.create_folder(folder)
        file = await upload(client, _TestData(), UploadCommit(path))
        try:
            # Compares as well: the content hash was found to be ours when it was uploaded.
            async for _ in download(client, file.rev, file.size, file.content_hash):
                pass
        finally:
            async with asyncio.timeout(_LONGEST_CLEAN_UP):
                await client.delete(path, file.rev)


async def folders_with_backups(client: DropboxClient) -> list[str]:
    """Return folders that a Home Assistant has backups in, the latest first, as `folder_path` does.

    These are only suggestions: Dropbox's search lags behind, and an answer that takes too long is
    not waited for.
    """
    try:
        async with asyncio.timeout(WAITS.for_search):
            found = await client.trying_once().search_names(CATALOG_NAME, _MOST_FOUND)
    except (DropboxError, TimeoutError) as err:
        _LOGGER.debug("Dropbox does not say which folders have backups: %s", err)
        return []
    folders = untrusted.readable(_folder_of_catalog, found, _MOST_FOUND)
    return list(dict.fromkeys(folders))[:_MOST_OFFERED]


def _folder_of_catalog(file: File) -> str:
    """Return the folder of a catalog that was found. Raises `UntrustedError` for what is none."""
    folder, slash, name = untrusted.exact(file.path_display, _LONGEST_PATH).rpartition("/")
    if not slash or name != CATALOG_NAME:
        raise untrusted.UntrustedError("expected a catalog")
    try:
        path = folder_path(folder)
    except ObstacleError as err:
        raise untrusted.UntrustedError("expected a folder for backups") from err
    if path != folder:
        raise untrusted.UntrustedError("expected the path of a folder")
    return path


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in a folder: backups of this Home Assistant and of others, with their sizes in
    bytes, and archives of which nothing is known yet.
    """

    own: int
    own_size: int
    others: int
    others_size: int
    unknown: int


async def look_into(client: DropboxClient, folder: str, instance_id: str) -> Contents | None:
    """Return what lies in a folder, None if Dropbox does not say: it is only to be told."""
    there = BackupFolder(client, folder, instance_id, lambda _: None)
    try:
        async with asyncio.timeout(_LONGEST_LOOK):
            await there.refresh(_LONGEST_LOOK, adopt=False)
    except (DropboxError, TimeoutError) as err:
        _LOGGER.debug("Dropbox does not say what lies in the folder: %s", err)
        return None
    own = [one.file.size for one in there.backups if one.owner == instance_id]
    others = [one.file.size for one in there.backups if one.owner != instance_id]
    return Contents(len(own), sum(own), len(others), sum(others), there.unknown_archives)


class _TestData(Source):
    """The content of the test file: different each time, so that nobody answers from a cache."""

    size = _TEST_SIZE

    def __init__(self) -> None:
        self._data = secrets.token_bytes(_TEST_SIZE)

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield all of it."""
        yield self._data


@asynccontextmanager
async def _explained() -> AsyncGenerator[None]:
    """Turn errors of Dropbox, and a missing answer, into an `ObstacleError`."""
    try:
        async with asyncio.timeout(WAITS.for_answer):
            yield
    except TimeoutError as err:
        raise ObstacleError(Obstacle.CANNOT_CONNECT, Reason(Fault.NO_ANSWER)) from err
    except DropboxError as err:
        raise _obstacle_error(err) from err


def _obstacle_error(err: DropboxError) -> ObstacleError:
    if isinstance(err, SignInError) and (scope := err.missing_scope) is not None:
        return ObstacleError(Obstacle.MISSING_PERMISSIONS, err.fault, (scope,))
    return ObstacleError(_obstacle_of(err), err.fault)


def _obstacle_of(err: DropboxError) -> Obstacle:
    match err:
        case SignInError():
            return Obstacle.SIGN_IN_REFUSED
        case UnreachableError():
            return Obstacle.CANNOT_CONNECT
        case RateLimitedError():
            return Obstacle.RATE_LIMITED
        case FullError():
            return Obstacle.FULL
        case BadNameError():
            return Obstacle.NAME_REFUSED
        case ConflictError() | FileAsFolderError():
            return Obstacle.FILE_IN_PLACE
        case NotWritableError():
            return Obstacle.NOT_WRITABLE
        case _:
            return Obstacle.UNEXPECTED


async def ask_space(client: DropboxClient) -> Space | None:
    """Return how much room there is; None if it can't be told.

    This is only information: nothing waits long for it, and nothing fails without it.
    """
    try:
        async with asyncio.timeout(RETRY_FOR[Waiter.UPLOAD]):
            return await client.get_space_usage()
    except (DropboxError, TimeoutError) as err:
        _LOGGER.debug("How much room there is, Dropbox does not say: %s", err)
        return None
