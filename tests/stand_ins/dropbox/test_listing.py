"""list_folder, its cursors, and longpoll."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
import tempfile
import time
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from tests.stand_ins.dropbox.conftest import Api
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind, Rules, StoredFile, cursors
from tests.support.dropbox_server.clock import Clock
from tests.support.dropbox_server.cursors import Cursor
from tests.support.dropbox_server.entries import Tombstone
from tests.support.dropbox_server.paths import is_within, key
from tests.support.dropbox_server.storage import FileTree, StorageError


async def names(api: Api, **fields: object) -> tuple[list[str], str]:
    """List to the end; deleted entries get a minus."""
    answer = await api.rpc("files/list_folder", {"path": "", **fields})
    assert answer.status == 200, answer.text
    found = [_name(entry) for entry in answer.json["entries"]]
    while answer.json["has_more"]:
        answer = await api.rpc("files/list_folder/continue", {"cursor": answer.json["cursor"]})
        found += [_name(entry) for entry in answer.json["entries"]]
    return found, answer.json["cursor"]


async def delta(api: Api, cursor: str) -> list[str]:
    answer = await api.rpc("files/list_folder/continue", {"cursor": cursor})
    assert answer.status == 200, answer.text
    return [_name(entry) for entry in answer.json["entries"]]


def _name(entry: dict[str, Any]) -> str:
    sign = {"deleted": "-", "folder": "+", "file": ""}[entry[".tag"]]
    return sign + str(entry["path_display"])


@pytest.fixture
def tree(server: DropboxServer) -> FileTree:
    files = server.account.files
    for path in ("/top", "/Dir/a", "/Dir/b", "/Dir/Sub/c"):
        files.put(path, path.encode())
    return files


async def test_a_folder_lists_its_direct_children(api: Api, tree: FileTree) -> None:
    assert (await names(api))[0] == ["/top", "+/Dir"]
    assert (await names(api, path="/dir"))[0] == ["/Dir/a", "/Dir/b", "+/Dir/Sub"]


async def test_recursive_lists_everything_below_and_the_folder_itself(
    api: Api, tree: FileTree
) -> None:
    everything = ["/top", "+/Dir", "/Dir/a", "/Dir/b", "+/Dir/Sub", "/Dir/Sub/c"]
    assert (await names(api, recursive=True))[0] == everything
    assert (await names(api, path="/Dir", recursive=True, limit=2))[0] == everything[1:]


async def test_deleted_entries_are_listed_on_request(api: Api, tree: FileTree) -> None:
    tree.delete("/Dir/a")
    assert "-/Dir/a" not in (await names(api, path="/Dir"))[0]
    assert "-/Dir/a" in (await names(api, path="/Dir", include_deleted=True))[0]


@pytest.mark.parametrize(
    ("path", "tags"),
    [("/no", "path/not_found"), ("/top", "path/not_folder"), ("/a//b", "path/malformed_path")],
)
async def test_what_cannot_be_listed(api: Api, tree: FileTree, path: str, tags: str) -> None:
    answer = await api.rpc("files/list_folder", {"path": path})
    assert (answer.status, answer.tags) == (409, tags)


async def test_the_root_is_empty_and_never_a_slash(api: Api) -> None:
    answer = await api.rpc("files/list_folder", {"path": "/"})
    assert answer.status == 400
    assert 'Specify the root folder as an empty string rather than as "/".' in answer.text


async def test_delta_reports_what_changed_once(api: Api, tree: FileTree) -> None:
    _, cursor = await names(api, path="/Dir")
    assert await delta(api, cursor) == []
    for content in (b"changed", b"and again", b"and again!"):
        tree.put("/Dir/a", content)
    tree.put("/Dir/new", b"new")
    tree.delete("/Dir/b")
    tree.put("/elsewhere", b"not ours")
    assert await delta(api, cursor) == ["/Dir/a", "/Dir/new", "-/Dir/b"]


async def test_delta_names_a_deleted_folder_and_not_its_contents(api: Api, tree: FileTree) -> None:
    _, cursor = await names(api, recursive=True)
    tree.delete("/Dir")
    assert await delta(api, cursor) == ["-/Dir"]


async def test_delta_of_a_folder_that_is_there_again_names_what_it_lost(
    api: Api, tree: FileTree
) -> None:
    """Its own entry says nothing of its children: "leave the children as they are"."""
    _, cursor = await names(api, recursive=True)
    tree.delete("/Dir")
    tree.put("/Dir/Sub/new", b"new")
    found = await delta(api, cursor)
    assert set(found) == {"-/Dir/a", "-/Dir/b", "-/Dir/Sub/c", "+/Dir", "+/Dir/Sub", "/Dir/Sub/new"}


async def test_moved_file_is_gone_here_and_new_there(api: Api, tree: FileTree) -> None:
    _, cursor = await names(api, recursive=True)
    moved = await api.rpc("files/move_v2", {"from_path": "/Dir/a", "to_path": "/Dir/z"})
    assert moved.status == 200
    assert await delta(api, cursor) == ["-/Dir/a", "/Dir/z"]


async def test_change_between_two_pages_is_not_lost(api: Api, tree: FileTree) -> None:
    first = await api.rpc("files/list_folder", {"path": "/Dir", "limit": 1})
    tree.delete("/Dir/b")
    tree.put("/Dir/late", b"late")
    rest = await delta(api, first.json["cursor"])
    assert first.json["has_more"]
    assert [_name(entry) for entry in first.json["entries"]] == ["/Dir/a"]
    second = await api.rpc("files/list_folder/continue", {"cursor": first.json["cursor"]})
    assert rest == ["+/Dir/Sub"]
    third = await api.rpc("files/list_folder/continue", {"cursor": second.json["cursor"]})
    assert _name(third.json["entries"][0]) == "-/Dir/b"


async def test_latest_cursor_knows_only_what_comes_after(api: Api, tree: FileTree) -> None:
    answer = await api.rpc("files/list_folder/get_latest_cursor", {"path": "/Dir"})
    tree.put("/Dir/new", b"new")
    assert await delta(api, answer.json["cursor"]) == ["/Dir/new"]


async def test_cursor_outlives_a_restart(api: Api, tree: FileTree, server: DropboxServer) -> None:
    _, cursor = await names(api, path="/Dir")
    tree.put("/Dir/before", b"1")
    await server.stop()
    async with DropboxServer(server.data_dir, server.port, tls_dir=server.ca_file.parent) as again:
        again.account.files.delete("/Dir/a")
        assert again.account.files.read("/Dir/before") == b"1"
        api.server = again
        assert await delta(api, cursor) == ["/Dir/before", "-/Dir/a"]


@pytest.mark.parametrize("cursor", ["AAgarbage", "x", "AA" + "A" * 40])
async def test_foreign_cursor_is_answered_with_reset(api: Api, cursor: str) -> None:
    answer = await api.rpc("files/list_folder/continue", {"cursor": cursor})
    assert (answer.status, answer.tags) == (409, "reset")
    answer = await api.rpc("files/list_folder/longpoll", {"cursor": cursor}, Authorization="")
    assert (answer.status, answer.tags) == (409, "reset")


async def test_expired_cursor_is_answered_with_reset(api: Api, tree: FileTree) -> None:
    _, cursor = await names(api)
    tree.expire_cursors()
    answer = await api.rpc("files/list_folder/continue", {"cursor": cursor})
    assert (answer.status, answer.tags) == (409, "reset")
    assert await delta(api, (await names(api))[1]) == []


async def test_cursor_of_a_deleted_folder_is_not_found_and_of_a_new_one_reset(
    api: Api, tree: FileTree
) -> None:
    _, cursor = await names(api, path="/Dir")
    tree.delete("/Dir")
    answer = await api.rpc("files/list_folder/continue", {"cursor": cursor})
    assert answer.tags == "path/not_found"
    tree.put("/Dir/again", b"1")
    answer = await api.rpc("files/list_folder/continue", {"cursor": cursor})
    assert answer.tags == "reset"


async def test_longpoll_wakes_up_on_a_change_in_its_folder(
    server: DropboxServer, api: Api, tree: FileTree
) -> None:
    _, cursor = await names(api, path="/Dir")
    waiting = asyncio.create_task(
        api.rpc("files/list_folder/longpoll", {"cursor": cursor}, Authorization="")
    )
    await asyncio.sleep(0.05)
    tree.put("/not-here", b"1")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    tree.put("/Dir/here", b"1")
    answer = await asyncio.wait_for(waiting, 2)
    assert answer.json == {"changes": True}


async def test_longpoll_ends_after_its_timeout(server: DropboxServer, api: Api) -> None:
    server.rules = Rules(longpoll_scale=0.005, longpoll_backoff=60)
    _, cursor = await names(api)
    started = time.monotonic()
    argument = {"cursor": cursor, "timeout": 30}
    answer = await api.rpc("files/list_folder/longpoll", argument, Authorization="")
    assert answer.json == {"changes": False, "backoff": 60}
    assert 0.14 < time.monotonic() - started < 5


async def test_longpoll_refuses_a_token_and_short_timeouts(api: Api) -> None:
    _, cursor = await names(api)
    answer = await api.rpc("files/list_folder/longpoll", {"cursor": cursor})
    assert answer.status == 400
    assert "includes an Authorization header, but this function does not use it" in answer.text
    argument = {"cursor": cursor, "timeout": 29}
    answer = await api.rpc("files/list_folder/longpoll", argument, Authorization="")
    assert answer.status == 400


async def test_longpoll_does_not_hold_up_a_stop(server: DropboxServer, api: Api) -> None:
    _, cursor = await names(api)
    waiting = asyncio.create_task(
        api.rpc("files/list_folder/longpoll", {"cursor": cursor}, Authorization="")
    )
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await server.stop()
    assert time.monotonic() - started < 5
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_folder_made_again_between_two_pages_hides_nothing_that_went_with_it(
    tmp_path: Path, limit: int
) -> None:
    tree = FileTree(tmp_path, "1", Clock())
    tree.put("/a/a", b"1")
    tree.move("/a", "/c")
    tree.put("/a", b"1")
    cursor = cursors.start(tree, "", None, recursive=True, limit=limit)
    mirror: dict[str, str] = {}
    while cursors.has_changes(tree, cursor):
        cursor, _ = _sync(tree, cursor, mirror)
    assert set(mirror) == {"/a", "/c", "/c/a"}
    tree.put("/a", b"2")
    tree.delete("/a")
    tree.delete("/c")
    cursor, _ = _sync(tree, cursor, mirror)
    tree.create_folder("/a")
    tree.put("/c/b", b"2")
    while cursors.has_changes(tree, cursor):
        cursor, _ = _sync(tree, cursor, mirror)
    tree.close()
    assert set(mirror) == {"/a", "/c", "/c/b"}


@pytest.mark.parametrize("omit_passing", [False, True])
async def test_a_delta_may_leave_out_what_came_and_went(
    server: DropboxServer, api: Api, *, omit_passing: bool
) -> None:
    server.rules = Rules(omit_passing=omit_passing)
    tree = server.account.files
    tree.put("/stays", b"1")
    cursor = (await api.rpc("files/list_folder", {"path": ""})).json["cursor"]
    tree.put("/passes", b"1")
    tree.delete("/passes")
    tree.delete("/stays")
    delta = (await api.rpc("files/list_folder/continue", {"cursor": cursor})).json
    told = {entry["name"] for entry in delta["entries"] if entry[".tag"] == "deleted"}
    assert told == ({"stays"} if omit_passing else {"stays", "passes"})


async def test_cursors_die_between_two_pages_and_in_a_longpoll(
    server: DropboxServer, api: Api
) -> None:
    for number in range(3):
        server.account.files.put(f"/{number}", b"1")
    first = (await api.rpc("files/list_folder", {"path": "", "limit": 2})).json
    assert first["has_more"]
    for route in ("files/list_folder/continue", "files/list_folder/longpoll"):
        server.faults.add(Fault(FaultKind.RESET_CURSOR, route))
        headers = {"Authorization": ""} if route.endswith("longpoll") else {}
        answer = await api.rpc(route, {"cursor": first["cursor"]}, **headers)
        assert (answer.status, answer.tags) == (409, "reset")
    again = await api.rpc("files/list_folder/continue", {"cursor": first["cursor"]})
    assert again.tags == "reset", "a dead cursor stays dead"


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=2).map(lambda parts: "/" + "/".join(parts))
ACTIONS = st.one_of(
    st.tuples(st.just("put"), PATHS, st.sampled_from([b"1", b"2"])),
    st.tuples(st.just("delete"), PATHS),
    st.tuples(st.just("move"), PATHS, PATHS),
    st.tuples(st.just("create_folder"), PATHS),
)


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(ACTIONS, max_size=8),
    after=st.lists(st.tuples(ACTIONS, st.booleans()), max_size=8),
    limit=st.integers(1, 4),
    omit_passing=st.booleans(),
)
def test_a_client_that_obeys_the_docs_ends_with_the_same_tree(
    before: list[tuple[Any, ...]],
    after: list[tuple[tuple[Any, ...], bool]],
    limit: int,
    *,
    omit_passing: bool,
) -> None:
    """Apply deltas as the docstring of `files_list_folder` says, with changes between the pages."""
    with tempfile.TemporaryDirectory() as folder:
        tree = FileTree(Path(folder), "1", Clock())
        for action in before:
            _act(tree, action)
        cursor = cursors.start(tree, "", None, recursive=True, limit=limit)
        mirror: dict[str, str] = {}
        cursor, _ = _sync(tree, cursor, mirror, omit_passing=omit_passing)
        for action, look in after:
            _act(tree, action)
            if look:
                cursor, _ = _sync(tree, cursor, mirror, omit_passing=omit_passing)
        has_more = True
        while has_more:
            cursor, has_more = _sync(tree, cursor, mirror, omit_passing=omit_passing)
        truth = {
            path: entry.rev if isinstance(entry, StoredFile) else "folder"
            for path, entry in tree.entries.items()
            if not isinstance(entry, Tombstone)
        }
        tree.close()
        again = FileTree(Path(folder), "1", Clock())
        again.close()
    assert mirror == truth
    assert (again.entries, again.log, again.used) == (tree.entries, tree.log, tree.used)


def _act(tree: FileTree, action: tuple[Any, ...]) -> None:
    kind, *arguments = action
    with suppress(StorageError):  # a random action may be impossible
        getattr(tree, kind)(*arguments)


def _sync(
    tree: FileTree, cursor: Cursor, mirror: dict[str, str], *, omit_passing: bool = False
) -> tuple[Cursor, bool]:
    entries, cursor, has_more = cursors.page(tree, cursor, omit_passing=omit_passing)
    for entry in entries:
        path = key(entry.path)
        below = [other for other in mirror if is_within(other, path)]
        match entry:
            case StoredFile():
                mirror[path] = entry.rev
            case Tombstone():
                mirror.pop(path, None)
            case _:
                mirror[path], below = "folder", []
        for other in below:
            del mirror[other]
    return cursor, has_more
