"""What a person may type as a folder, and which permissions a sign-in lacks."""

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.const import SCOPES
from custom_components.dropbox_backup.sync.account import (
    Obstacle,
    ObstacleError,
    folder_path,
    missing_permissions,
)

from ..dropbox_server import paths

TYPED = st.lists(
    st.one_of(
        st.sampled_from(["/", "//", " ", ".", "..", "\\", "\n", "a", "Ä", "é", "x" * 255]),
        st.text(max_size=3),
    ),
    max_size=8,
).map("".join)


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("", ""),
        ("/", ""),
        (" // ", ""),
        ("Backups", "/Backups"),
        ("/HomeAssistant/Backups", "/HomeAssistant/Backups"),
        ("/a/", "/a"),
        ("//a///b//", "/a/b"),
        ("  /a b/c ", "/a b/c"),
        ("/.hidden", "/.hidden"),
        ("/v1.2/ü", "/v1.2/ü"),
        ("x" * 255, "/" + "x" * 255),
    ],
)
def test_a_folder_may_be_typed_carelessly(typed: str, path: str) -> None:
    assert folder_path(typed) == path


@pytest.mark.parametrize(
    "typed", [".", "..", "/a/../b", "a.", "a /b", "a\\b", "a\0b", "a\nb", "x" * 256, "\ud800"]
)
def test_a_name_that_dropbox_refuses_is_refused(typed: str) -> None:
    with pytest.raises(ObstacleError) as caught:
        folder_path(typed)
    assert caught.value.obstacle is Obstacle.BAD_FOLDER_NAME


@given(TYPED)
def test_what_is_accepted_is_a_path_that_dropbox_can_read_and_stays_what_it_is(typed: str) -> None:
    try:
        path = folder_path(typed)
    except ObstacleError:
        return
    assert path == "" or path.startswith("/")
    assert not path.endswith(("/", " ", "."))
    assert "//" not in path
    paths.check_readable(path)
    assert folder_path(path) == path


@given(st.lists(st.text("abc äß.-", min_size=1, max_size=9).map(lambda name: f"{name}z")))
def test_plain_names_are_always_accepted(names: list[str]) -> None:
    path = "".join(f"/{name}" for name in names)
    assert folder_path(path) == path


@given(st.sets(st.sampled_from(SCOPES)), st.lists(st.text("abc._", max_size=9)))
def test_exactly_the_permissions_that_a_sign_in_lacks_are_named(
    granted: set[str], others: list[str]
) -> None:
    token = {"scope": " ".join([*granted, *others])}
    assert set(missing_permissions(token)) == set(SCOPES) - granted


@pytest.mark.parametrize("token", [{}, {"scope": None}, {"scope": ""}])
def test_a_sign_in_that_does_not_tell_its_permissions_has_none(token: dict[str, None]) -> None:
    assert missing_permissions(token) == SCOPES
