"""`files/upload` and upload sessions.

The rules are in the docstrings of the SDK's `files_upload_session_start` and of the error unions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any

from tests.support.dropbox_server import answers, errors, hashing
from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.entries import Content, StoredFile
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.receiving import Received, receive
from tests.support.dropbox_server.schema import files
from tests.support.dropbox_server.storage import ConflictError, FileTree, NotFoundError
from tests.support.dropbox_server.targets import Target, resolve
from tests.support.dropbox_server.upload_sessions import MAX_FILE_SIZE, Block, UploadSession


class _CommitRefusedError(Exception):
    """A commit that Dropbox refuses, with its `WriteError`."""

    def __init__(self, write_error: Any) -> None:
        super().__init__(write_error)
        self.write_error = write_error


class _FinishRefusedError(Exception):
    """An entry of a batch that Dropbox refuses, with its `UploadSessionFinishError`."""

    def __init__(self, union: Any) -> None:
        super().__init__(union)
        self.union = union


@dataclass(frozen=True, slots=True)
class _Commit:
    """A session whose data is to be saved at a path."""

    session: UploadSession
    target: Target
    digest: str


async def upload(call: Call, arg: Any) -> Any:
    """Save a file of at most 150 MiB in one request."""
    session = call.state.sessions.start(call.account.account_id, call.app.key, concurrent=False)
    keep = False
    try:
        received = await receive(call, session.data)
        if received.too_large:
            raise errors.route_error(call.spec, files.UploadError.payload_too_large)
        if _mismatch(arg.content_hash, received):
            raise errors.route_error(call.spec, files.UploadError.content_hash_mismatch)
        session.add(Block(0, received.size, received.digests), close=False)
        try:
            return answers.metadata(await _commit(call, session, arg, "path"))
        except _CommitRefusedError as error:
            # The data stays: the commit may be tried again with upload_session/finish.
            keep = True
            failed = files.UploadWriteFailed(error.write_error, session.id)
            raise errors.route_error(call.spec, files.UploadError.path(failed)) from error
    finally:
        if not keep:
            call.state.sessions.end(session)


async def session_start(call: Call, arg: Any) -> Any:
    """Start a session; a sequential one may bring data."""
    error = files.UploadSessionStartError
    concurrent = arg.session_type is not None and arg.session_type.is_concurrent()
    if concurrent and arg.close:
        await call.body.drain()
        raise errors.route_error(call.spec, error.concurrent_session_close_not_allowed)
    session = call.state.sessions.start(
        call.account.account_id, call.app.key, concurrent=concurrent
    )
    try:
        received = await receive(call, session.data)
        _check_start(call, arg, received, concurrent=concurrent)
    except BaseException:
        call.state.sessions.end(session)
        raise
    session.add(Block(0, received.size, received.digests), close=arg.close)
    return files.UploadSessionStartResult(session.id)


def _check_start(call: Call, arg: Any, received: Received, *, concurrent: bool) -> None:
    error = files.UploadSessionStartError
    if received.too_large:
        raise errors.route_error(call.spec, error.payload_too_large)
    if concurrent and received.size:
        raise errors.route_error(call.spec, error.concurrent_session_data_not_allowed)
    if _mismatch(arg.content_hash, received):
        raise errors.route_error(call.spec, error.content_hash_mismatch)


async def session_append(call: Call, arg: Any) -> None:
    """Add data to a session."""
    session = _find(call, arg.cursor.session_id)
    if session is None:
        await call.body.drain()
        raise errors.route_error(call.spec, files.UploadSessionAppendError.not_found)
    if session.concurrent:
        await _append_concurrent(call, arg, session)
    else:
        async with session.receiving(0, float("inf")):
            await _append_sequential(call, arg, session, files.UploadSessionAppendError)


async def session_finish(call: Call, arg: Any) -> Any:
    """Add the last data of a sequential session, and save the file."""
    session = _find(call, arg.cursor.session_id)
    if session is not None and session.concurrent:
        await _check_concurrent_finish(call, arg, session)
    if session is not None:
        async with session.receiving(0, float("inf")):
            # A finish that was under way may have ended the session meanwhile.
            if _find(call, session.id) is not None:
                if not session.concurrent:
                    await _append_sequential(call, arg, session, None)
                return await _finish(call, arg, session)
    await call.body.drain()
    raise _lookup_failed(call, files.UploadSessionLookupError.not_found)


async def _finish(call: Call, arg: Any, session: UploadSession) -> Any:
    try:
        file = await _commit(call, session, arg.commit, "commit.path")
    except _CommitRefusedError as error:
        union = files.UploadSessionFinishError.path(error.write_error)
        raise errors.route_error(call.spec, union) from error
    call.state.sessions.end(session)
    return answers.metadata(file)


async def session_finish_batch(call: Call, arg: Any) -> Any:
    """Save the files of closed sessions; each entry succeeds or fails for itself.

    A namespace is held once for all its entries, or all of them fail.
    """
    results: dict[int, Any] = {}
    ready: dict[FileTree, list[tuple[int, Any, _Commit]]] = {}
    for place, entry in enumerate(arg.entries):
        try:
            commit = await _prepare_entry(call, entry)
        except _FinishRefusedError as error:
            results[place] = error.union
        else:
            ready.setdefault(commit.target.tree, []).append((place, entry, commit))
    for tree, entries in ready.items():
        if call.state.is_held(tree):
            held = files.UploadSessionFinishError.too_many_write_operations
            results.update((place, held) for place, _, _ in entries)
            continue
        async with call.state.writing(tree):
            for place, entry, commit in entries:
                results[place] = _finish_entry(call, entry, commit)
    union = files.UploadSessionFinishBatchResultEntry
    return files.UploadSessionFinishBatchResult(
        [
            union.success(result)
            if isinstance(result, files.FileMetadata)
            else union.failure(result)
            for _, result in sorted(results.items())
        ]
    )


async def _prepare_entry(call: Call, entry: Any) -> _Commit:
    """Check an entry's session; raises _FinishRefusedError."""
    error, lookup = files.UploadSessionFinishError, files.UploadSessionLookupError
    session = _find(call, entry.cursor.session_id)
    if session is None:
        raise _FinishRefusedError(error.lookup_failed(lookup.not_found))
    if entry.content_hash is not None and entry.content_hash != hashing.combine([]):
        raise _FinishRefusedError(error.content_hash_mismatch)  # such a call brings no content
    if not session.closed:
        raise _FinishRefusedError(
            error.concurrent_session_not_closed
            if session.concurrent
            else error.lookup_failed(lookup.not_closed)
        )
    if session.concurrent and session.has_gaps():
        raise _FinishRefusedError(error.concurrent_session_missing_data)
    if entry.cursor.offset != session.size:
        correct = files.UploadSessionOffsetError(session.size)
        raise _FinishRefusedError(error.lookup_failed(lookup.incorrect_offset(correct)))
    try:
        return await _prepare(call, session, entry.commit, "entries.commit.path")
    except _CommitRefusedError as refused:
        raise _FinishRefusedError(error.path(refused.write_error)) from refused


def _finish_entry(call: Call, entry: Any, commit: _Commit) -> Any:
    """Return the metadata of the new file, or the `UploadSessionFinishError`."""
    if _find(call, commit.session.id) is None:  # finished meanwhile, or by an earlier entry
        lookup = files.UploadSessionLookupError
        return files.UploadSessionFinishError.lookup_failed(lookup.not_found)
    try:
        file = _save(call, commit, entry.commit)
    except _CommitRefusedError as error:
        return files.UploadSessionFinishError.path(error.write_error)
    call.state.sessions.end(commit.session)
    return answers.metadata(file)


async def _append_sequential(call: Call, arg: Any, session: UploadSession, union: Any) -> None:
    """Append at the end of a sequential session; for a finish `union` is None."""
    lookup = union or files.UploadSessionLookupError
    refusal: Any = None
    if session.closed and (union is not None or call.body.announced_size != 0):
        refusal = lookup.closed
    elif arg.cursor.offset != session.size:
        refusal = lookup.incorrect_offset(files.UploadSessionOffsetError(session.size))
    elif session.size + (call.body.announced_size or 0) > MAX_FILE_SIZE:
        refusal = lookup.too_large
    if refusal is not None:
        await call.body.drain()
        raise _refuse(call, union, refusal)
    offset = session.size
    if offset % hashing.BLOCK_SIZE and call.body.announced_size:
        call.state.log.violation(
            f"{call.spec.name}: data at {offset}, which is no multiple of 4 MiB"
        )
    received = await receive(call, session.data, offset)
    outer = union or files.UploadSessionFinishError
    if received.too_large:
        raise errors.route_error(call.spec, outer.payload_too_large)
    if _mismatch(arg.content_hash, received):
        raise errors.route_error(call.spec, outer.content_hash_mismatch)
    close = union is not None and arg.close
    session.add(Block(offset, received.size, received.digests), close=close)


async def _append_concurrent(call: Call, arg: Any, session: UploadSession) -> None:
    error = files.UploadSessionAppendError
    offset, size = arg.cursor.offset, call.body.announced_size
    refusal: Any = None
    if session.closed and call.state.rules.resend_after_close != "accept":
        refusal = error.closed
    elif offset % hashing.BLOCK_SIZE:
        refusal = error.concurrent_session_invalid_offset
    elif size is not None and size % hashing.BLOCK_SIZE and not arg.close:
        refusal = error.concurrent_session_invalid_data_size
    elif offset + (size or 0) > MAX_FILE_SIZE:
        refusal = error.too_large
    if refusal is not None:
        await call.body.drain()
        raise errors.route_error(call.spec, refusal)
    async with session.receiving(offset, size or 1):
        await _receive_concurrent(call, arg, session, size)


async def _receive_concurrent(
    call: Call, arg: Any, session: UploadSession, size: int | None
) -> None:
    error = files.UploadSessionAppendError
    offset = arg.cursor.offset
    # What has arrived is never written over: an overlapping block is only compared. A body of
    # unknown size may overlap later blocks, so it goes to a file of its own first.
    scratch = session.directory / f"scratch-{offset}" if size is None else None
    known = session.overlapping(offset, size or 1)
    place = scratch or session.data
    try:
        received = await receive(call, None if known else place, 0 if scratch else offset)
        if received.too_large:
            raise errors.route_error(call.spec, error.payload_too_large)
        if _mismatch(arg.content_hash, received):
            raise errors.route_error(call.spec, error.content_hash_mismatch)
        if received.size % hashing.BLOCK_SIZE and not arg.close:
            raise errors.route_error(call.spec, error.concurrent_session_invalid_data_size)
        block = Block(offset, received.size, received.digests)
        known = session.overlapping(offset, received.size)
        identical = known == [block] and call.state.rules.resend_in_session == "accept"
        if known and not identical:
            raise errors.route_error(call.spec, error.concurrent_session_invalid_offset)
        if session.closed and not identical:
            # Another request closed the session while this one was under way.
            call.state.log.violation(f"{call.spec.name}: data for a session that was being closed")
            raise errors.route_error(call.spec, error.closed)
        if scratch and not known:
            await _in_thread(call, _copy_into, scratch, session.data, offset)
        if not session.closed:
            session.add(Block(offset, 0, []) if identical else block, close=arg.close)
    finally:
        if scratch:
            scratch.unlink(missing_ok=True)


async def _check_concurrent_finish(call: Call, arg: Any, session: UploadSession) -> None:
    error = files.UploadSessionFinishError
    received = await receive(call, None)
    if received.size:
        raise errors.route_error(call.spec, error.concurrent_session_data_not_allowed)
    if _mismatch(arg.content_hash, received):
        raise errors.route_error(call.spec, error.content_hash_mismatch)
    if not session.closed:
        raise errors.route_error(call.spec, error.concurrent_session_not_closed)
    if session.has_gaps():
        raise errors.route_error(call.spec, error.concurrent_session_missing_data)
    if arg.cursor.offset != session.size:
        correct = files.UploadSessionOffsetError(session.size)
        raise _lookup_failed(call, files.UploadSessionLookupError.incorrect_offset(correct))


async def _commit(call: Call, session: UploadSession, commit: Any, field: str) -> StoredFile:
    """Save a session's data at a path; when it raises _CommitRefusedError the data stays."""
    ready = await _prepare(call, session, commit, field)
    async with call.state.writing(ready.target.tree):
        return _save(call, ready, commit)


async def _prepare(call: Call, session: UploadSession, commit: Any, field: str) -> _Commit:
    """Do what needs no lock; raises _CommitRefusedError."""
    try:
        target = resolve(call, commit.path, field=field)
    except (NotFoundError, PathRefusedError) as error:
        raise _CommitRefusedError(answers.write_error(error)) from error
    digest = session.content_hash()
    os.truncate(session.data, session.size)  # what a broken request left behind the end
    if digest is None:
        digest = await _in_thread(call, hashing.hash_file, session.data)
    return _Commit(session, target, digest)


def _save(call: Call, ready: _Commit, commit: Any) -> StoredFile:
    session, target, digest = ready.session, ready.target, ready.digest
    tree = target.tree
    existing = tree.live(target.path)
    replaced = existing.size if isinstance(existing, StoredFile) else 0
    if call.account.used - replaced + session.size > call.account.quota:
        raise _CommitRefusedError(files.WriteError.insufficient_space)
    blob = tree.new_blob()
    session.data.rename(blob)
    try:
        return tree.commit(
            target.path,
            Content(blob.name, session.size, digest),
            mode=commit.mode._tag,
            rev=commit.mode.get_update() if commit.mode.is_update() else None,
            autorename=commit.autorename,
            strict_conflict=commit.strict_conflict,
            client_modified=commit.client_modified,
        )
    except (ConflictError, PathRefusedError) as error:
        blob.rename(session.data)
        raise _CommitRefusedError(answers.write_error(error)) from error


def _find(call: Call, session_id: str) -> UploadSession | None:
    return call.state.sessions.find(session_id, call.account.account_id, call.app.key)


def _refuse(call: Call, union: Any, error: Any) -> errors.RefusalError:
    return _lookup_failed(call, error) if union is None else errors.route_error(call.spec, error)


def _lookup_failed(call: Call, error: Any) -> errors.RefusalError:
    return errors.route_error(call.spec, files.UploadSessionFinishError.lookup_failed(error))


def _mismatch(expected: str | None, received: Received) -> bool:
    return expected is not None and expected != received.content_hash


async def _in_thread[*Ts, R](call: Call, work: Callable[[*Ts], R], *arguments: *Ts) -> R:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(call.state.executor, work, *arguments)


def _copy_into(source: Path, target: Path, offset: int) -> None:
    with source.open("rb") as reader, target.open("r+b") as writer:
        writer.seek(offset)
        while data := reader.read(1024 * 1024):
            writer.write(data)


HANDLERS = {
    "files/upload": upload,
    "files/upload_session/start": session_start,
    "files/upload_session/append_v2": session_append,
    "files/upload_session/finish": session_finish,
    "files/upload_session/finish_batch_v2": session_finish_batch,
}
