"""What Dropbox refuses is told apart by its tags, wherever in the error they stand."""

import pytest

from custom_components.dropbox_backup.dropbox_api.errors import (
    BadNameError,
    ConflictError,
    CursorResetError,
    DropboxError,
    FileAsFolderError,
    FullError,
    NotFoundError,
    NotWritableError,
    RateLimitedError,
    RefusedError,
    SignInError,
    refusal,
)


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ("path/not_found", NotFoundError),
        ("path_lookup/not_found", NotFoundError),
        ("lookup_failed/not_found", NotFoundError),
        ("reset", CursorResetError),
        ("path/insufficient_space", FullError),
        ("path/team_folder_insufficient_space", FullError),
        ("to/insufficient_quota", FullError),
        ("path/conflict/file", ConflictError),
        ("path_write/conflict/folder", ConflictError),
        ("path/conflict/file_ancestor", FileAsFolderError),
        ("path/no_write_permission", NotWritableError),
        ("path/operation_suppressed", NotWritableError),
        ("path/access_restricted", NotWritableError),
        ("path_write/team_folder", NotWritableError),
        ("path/malformed_path", BadNameError),
        ("path/disallowed_name", BadNameError),
        ("too_many_write_operations", RateLimitedError),
        ("path/other", RefusedError),
        ("other", RefusedError),
        ("closed", RefusedError),
    ],
)
def test_each_refusal_is_of_one_kind(tags: str, kind: type[DropboxError]) -> None:
    err = refusal(tags.split("/"), "id")
    assert type(err) is kind
    assert str(err) == f"{tags} (request id)"


def test_only_whole_tags_are_found() -> None:
    err = refusal(["path", "conflict", "file_ancestor"])
    assert err.has("conflict")
    assert err.has("file", "file_ancestor")
    assert not err.has("file")
    assert not err.has()


def test_a_text_has_no_tags() -> None:
    assert not RefusedError("path/conflict/file").has("conflict")


@pytest.mark.parametrize(
    ("tags", "scope"),
    [
        (("missing_scope", "files.content.write"), "files.content.write"),
        (("missing_scope",), None),
        (("user_suspended",), None),
    ],
)
def test_a_permission_that_is_missing_is_named(tags: tuple[str, ...], scope: str | None) -> None:
    assert SignInError("/".join(tags), tags=tags).missing_scope == scope
