"""`files/list_folder` and its cursors, and the longpoll on them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.dropbox_server import answers, cursors, errors
from tests.support.dropbox_server.accounts import DropboxAccount
from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.cursors import Cursor, FolderGoneError, ResetError
from tests.support.dropbox_server.entries import StoredFolder
from tests.support.dropbox_server.faults import FaultKind
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.schema import files
from tests.support.dropbox_server.storage import FileTree, NotFoundError
from tests.support.dropbox_server.targets import Target, resolve


async def list_folder(call: Call, arg: Any) -> Any:
    """Begin to list a folder."""
    tree, cursor = _start(call, arg, latest=False)
    return _page(call, tree, cursor)


async def get_latest_cursor(call: Call, arg: Any) -> Any:
    """Return a cursor for what changes from now on."""
    _, cursor = _start(call, arg, latest=True)
    return files.ListFolderGetLatestCursorResult(cursor.encode())


async def list_folder_continue(call: Call, arg: Any) -> Any:
    """List what comes after a cursor, or has changed since."""
    try:
        cursor = Cursor.decode(arg.cursor)
        tree = _tree(call, cursor, call.account)
        _let_cursors_die(call, tree)
        cursors.check(tree, cursor)
    except ResetError as error:
        raise errors.route_error(call.spec, files.ListFolderContinueError.reset) from error
    except FolderGoneError as error:
        union = files.ListFolderContinueError.path(files.LookupError.not_found)
        raise errors.route_error(call.spec, union) from error
    return _page(call, tree, cursor)


async def longpoll(call: Call, arg: Any) -> Any:
    """Wait until something has changed after a cursor, or the timeout is over."""
    try:
        cursor = Cursor.decode(arg.cursor)
        tree = _tree(call, cursor)
        _let_cursors_die(call, tree)
        changed = await _wait(call, tree, cursor, arg.timeout)
    except ResetError as error:
        raise errors.route_error(call.spec, files.ListFolderLongpollError.reset) from error
    result = files.ListFolderLongpollResult(changed)
    if call.state.rules.longpoll_backoff is not None:
        result.backoff = call.state.rules.longpoll_backoff
    return result


def _tree(call: Call, cursor: Cursor, caller: DropboxAccount | None = None) -> FileTree:
    """Find what the cursor lists; a cursor of another user is none (longpoll has no caller)."""
    account = call.state.accounts.get(cursor.account_id)
    if account is None or cursor.namespace_id not in account.trees or caller not in {None, account}:
        raise ResetError
    return account.trees[cursor.namespace_id]


def _let_cursors_die(call: Call, tree: FileTree) -> None:
    if call.faults.first(FaultKind.RESET_CURSOR):
        tree.expire_cursors()


async def _wait(call: Call, tree: FileTree, cursor: Cursor, timeout: int) -> bool:  # noqa: ASYNC109 - Dropbox's argument
    rules = call.state.rules
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (timeout + rules.longpoll_jitter) * rules.longpoll_scale
    signal = asyncio.Event()
    watchers = (tree.watchers, call.state.stopping_watchers)
    for group in watchers:
        group.add(signal)
    try:
        while not call.state.stopping:
            try:
                cursors.check(tree, cursor)
            except FolderGoneError:
                return True  # list_folder/continue will say so
            if cursors.has_changes(tree, cursor, omit_passing=rules.omit_passing):
                return True
            signal.clear()
            try:
                await asyncio.wait_for(signal.wait(), deadline - loop.time())
            except TimeoutError:
                return False
        return False
    finally:
        for group in watchers:
            group.discard(signal)


def _start(call: Call, arg: Any, *, latest: bool) -> tuple[FileTree, Cursor]:
    try:
        target = resolve(call, arg.path, root=True)
        folder = _folder(target)
    except (NotFoundError, PathRefusedError) as error:
        union = files.ListFolderError.path(answers.lookup_error(error))
        raise errors.route_error(call.spec, union) from error
    cursor = cursors.start(
        target.tree,
        call.account.account_id,
        folder,
        recursive=arg.recursive,
        include_deleted=arg.include_deleted,
        limit=_limit(call, arg),
        latest=latest,
    )
    return target.tree, cursor


def _limit(call: Call, arg: Any) -> int | None:
    limits = (arg.limit, call.state.rules.largest_page)
    return min((limit for limit in limits if limit), default=None)


def _folder(target: Target) -> StoredFolder | None:
    if not target.path:
        return None
    entry = target.entry()
    if not isinstance(entry, StoredFolder):
        raise NotFoundError("not_folder")
    return entry


def _page(call: Call, tree: FileTree, cursor: Cursor) -> Any:
    omit_passing = call.state.rules.omit_passing
    entries, behind, has_more = cursors.page(tree, cursor, omit_passing=omit_passing)
    return files.ListFolderResult(
        entries=[answers.metadata(entry) for entry in entries],
        cursor=behind.encode(),
        has_more=has_more,
    )


HANDLERS = {
    "files/list_folder": list_folder,
    "files/list_folder/continue": list_folder_continue,
    "files/list_folder/get_latest_cursor": get_latest_cursor,
    "files/list_folder/longpoll": longpoll,
}
