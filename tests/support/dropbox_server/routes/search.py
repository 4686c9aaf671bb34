"""`files/search_v2`: names only, as of a while ago, and one page."""

from __future__ import annotations

from datetime import timedelta
import re
import secrets
from typing import Any

from tests.support.dropbox_server import answers, errors, paths
from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.entries import StoredFile, StoredFolder
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.schema import files
from tests.support.dropbox_server.storage import FileTree, NotFoundError
from tests.support.dropbox_server.targets import Target, resolve

# When nothing is said.
_MOST = 100
_WORD = re.compile(r"[^\W_]+")


async def search(call: Call, arg: Any) -> Any:
    """Find files and folders by the words of their names, each of which may be cut off."""
    options = arg.options or files.SearchOptions()
    most = _MOST if options.max_results is None else options.max_results
    if not (wanted := _words(arg.query)):
        raise errors.route_error(call.spec, files.SearchError.invalid_argument("empty query"))
    target = _target(call, options.path)
    found = [one for one in _indexed(call, target.tree) if _is_below(one, target)]
    found = [one for one in found if _matches(paths.name(one.path), wanted)]
    if options.order_by is not None and options.order_by.is_last_modified_time():
        found.sort(key=_modified, reverse=True)
    has_more = len(found) > most
    return files.SearchV2Result(
        matches=[
            files.SearchMatchV2(
                files.MetadataV2.metadata(answers.metadata(one)), files.SearchMatchTypeV2.filename
            )
            for one in found[:most]
        ],
        has_more=has_more,
        cursor=secrets.token_urlsafe(16) if has_more else None,
    )


def _target(call: Call, path: str | None) -> Target:
    try:
        target = resolve(call, path or "", root=True)
        if target.path:
            target.entry()
    except (NotFoundError, PathRefusedError) as error:
        union = files.SearchError.path(answers.lookup_error(error))
        raise errors.route_error(call.spec, union) from error
    return target


def _indexed(call: Call, tree: FileTree) -> list[StoredFile | StoredFolder]:
    """Return what the index knows: files as of a while ago."""
    horizon = call.state.clock.timestamp() - timedelta(seconds=call.state.rules.search_delay)
    known: list[StoredFile | StoredFolder] = []
    for path_key, entry in tree.entries.items():
        if isinstance(entry, StoredFolder):
            known.append(entry)
            continue
        history = tree.history.get(path_key, [])
        earlier = [
            one
            for one in history
            if (one.server_modified if isinstance(one, StoredFile) else one.deleted_at) <= horizon
        ]
        if earlier and isinstance(earlier[-1], StoredFile):
            known.append(earlier[-1])
    return known


def _is_below(entry: StoredFile | StoredFolder, target: Target) -> bool:
    return not target.path or paths.is_within(paths.key(entry.path), paths.key(target.path))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _matches(name: str, wanted: list[str]) -> bool:
    there = _words(name)
    return all(any(word.startswith(one) for word in there) for one in wanted)


def _modified(entry: StoredFile | StoredFolder) -> str:
    return entry.server_modified.isoformat() if isinstance(entry, StoredFile) else ""


HANDLERS = {"files/search_v2": search}
