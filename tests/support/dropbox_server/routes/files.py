"""Single files and folders: look, create, delete, move, revisions, restore."""

from __future__ import annotations

from typing import Any

from tests.support.dropbox_server import answers, errors, paths
from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.entries import Entry, StoredFile, Tombstone
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.schema import files
from tests.support.dropbox_server.storage import (
    ConflictError,
    FileTree,
    NestedPathsError,
    NotFoundError,
)
from tests.support.dropbox_server.targets import resolve


async def get_metadata(call: Call, arg: Any) -> Any:
    """Return the metadata of one path."""
    try:
        target = resolve(call, arg.path)
        if arg.include_deleted and isinstance(
            deleted := target.tree.entries.get(paths.key(target.path)), Tombstone
        ):
            return answers.metadata(deleted)
        return answers.metadata(target.entry())
    except (NotFoundError, PathRefusedError) as error:
        raise _path_error(call, files.GetMetadataError, error) from error


async def create_folder(call: Call, arg: Any) -> Any:
    """Create a folder and its parents."""
    target = resolve(call, arg.path)
    async with call.state.writing(target.tree):
        try:
            folder = target.tree.create_folder(target.path, autorename=arg.autorename)
        except (ConflictError, PathRefusedError) as error:
            union = files.CreateFolderError.path(answers.write_error(error))
            raise errors.route_error(call.spec, union) from error
    return files.CreateFolderResult(answers.metadata(folder))


async def delete(call: Call, arg: Any) -> Any:
    """Delete a file, or a folder with all its contents; answers with what was there."""
    try:
        target = resolve(call, arg.path)
        async with call.state.writing(target.tree):
            entry = target.tree.delete(target.path, arg.parent_rev)
    except (NotFoundError, PathRefusedError) as error:
        union = files.DeleteError.path_lookup(answers.lookup_error(error))
        raise errors.route_error(call.spec, union) from error
    except ConflictError as error:
        union = files.DeleteError.path_write(answers.write_error(error))
        raise errors.route_error(call.spec, union) from error
    return files.DeleteResult(answers.metadata(entry))


async def move(call: Call, arg: Any) -> Any:
    """Move a file or a folder with all its contents."""
    if paths.key(arg.from_path) == paths.key(arg.to_path):
        raise errors.route_error(call.spec, files.RelocationError.duplicated_or_nested_paths)
    try:
        source = resolve(call, arg.from_path)
        source.entry()
    except (NotFoundError, PathRefusedError) as error:
        union = files.RelocationError.from_lookup(answers.lookup_error(error))
        raise errors.route_error(call.spec, union) from error
    target = resolve(call, arg.to_path)
    async with call.state.writing(source.tree):
        try:
            moved = source.tree.move(source.path, target.path, autorename=arg.autorename)
        except NestedPathsError as error:
            union = files.RelocationError.cant_move_folder_into_itself
            raise errors.route_error(call.spec, union) from error
        except (ConflictError, PathRefusedError) as error:
            union = files.RelocationError.to(answers.write_error(error))
            raise errors.route_error(call.spec, union) from error
    return files.RelocationResult(answers.metadata(moved))


async def list_revisions(call: Call, arg: Any) -> Any:
    """List the revisions of a file, newest first; of a deleted one too."""
    by_id = arg.mode.is_id()
    if by_id and arg.before_rev is not None:
        raise errors.route_error(call.spec, files.ListRevisionsError.before_rev_not_supported)
    try:
        target = resolve(call, arg.path)
        history = _history(target.tree, target.path, by_id=by_id)
    except (NotFoundError, PathRefusedError) as error:
        raise _path_error(call, files.ListRevisionsError, error) from error
    revisions = [entry for entry in reversed(history) if isinstance(entry, StoredFile)]
    if arg.before_rev is not None:
        known = [revision.rev for revision in revisions]
        if arg.before_rev not in known:
            raise errors.route_error(call.spec, files.ListRevisionsError.invalid_before_rev)
        revisions = revisions[known.index(arg.before_rev) + 1 :]
    latest = history[-1]
    result = files.ListRevisionsResult(
        is_deleted=isinstance(latest, Tombstone),
        entries=[answers.metadata(revision) for revision in revisions[: arg.limit]],
        has_more=len(revisions) > arg.limit,
    )
    if isinstance(latest, Tombstone):
        result.server_deleted = latest.deleted_at
    return result


async def restore(call: Call, arg: Any) -> Any:
    """Bring a revision back."""
    target = resolve(call, arg.path)
    revision = target.tree.revisions.get(arg.rev)
    if revision is None:
        raise errors.route_error(call.spec, files.RestoreError.invalid_revision)
    if call.account.used + revision.size > call.account.quota:
        union = files.RestoreError.path_write(files.WriteError.insufficient_space)
        raise errors.route_error(call.spec, union)
    async with call.state.writing(target.tree):
        try:
            return answers.metadata(target.tree.restore(target.path, revision))
        except (ConflictError, PathRefusedError) as error:
            union = files.RestoreError.path_write(answers.write_error(error))
            raise errors.route_error(call.spec, union) from error


def _history(tree: FileTree, path: str, *, by_id: bool) -> list[StoredFile | Tombstone]:
    paths.check_readable(path)
    history = tree.history.get(paths.key(path))
    current: Entry | None = tree.entries.get(paths.key(path))
    if history is None or current is None:
        raise NotFoundError("not_found" if current is None else "not_file")
    if not isinstance(current, StoredFile | Tombstone):
        raise NotFoundError("not_file")
    revisions = [entry for entry in history if isinstance(entry, StoredFile)]
    if not revisions:
        raise NotFoundError
    if not by_id:
        return history
    file_id = revisions[-1].id
    of_id: list[StoredFile | Tombstone] = [
        revision for revision in tree.revisions.values() if revision.id == file_id
    ]
    gone = tree.by_id(file_id) is None
    return [*of_id, history[-1]] if gone and isinstance(history[-1], Tombstone) else of_id


def _path_error(
    call: Call, union: Any, error: NotFoundError | PathRefusedError
) -> errors.RefusalError:
    return errors.route_error(call.spec, union.path(answers.lookup_error(error)))


HANDLERS = {
    "files/get_metadata": get_metadata,
    "files/create_folder_v2": create_folder,
    "files/delete_v2": delete,
    "files/move_v2": move,
    "files/list_revisions": list_revisions,
    "files/restore": restore,
}
