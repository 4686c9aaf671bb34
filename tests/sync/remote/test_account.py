"""What a person may type as a folder, and which permissions a sign-in lacks."""

import json

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.const import SCOPES
from custom_components.dropbox_backup.dropbox_api.client import DropboxClient
from custom_components.dropbox_backup.dropbox_api.types import Space
from custom_components.dropbox_backup.sync.remote.account import (
    Obstacle,
    ObstacleError,
    ask_space,
    folder_path,
    missing_permissions,
)
from tests.support.dropbox_server import DropboxAccount, DropboxServer, Fault, FaultKind, paths

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
    ("typed", "rule"),
    [
        (".", Obstacle.NAME_ENDS_BADLY),
        ("..", Obstacle.NAME_ENDS_BADLY),
        ("/a/../b", Obstacle.NAME_ENDS_BADLY),
        ("a.", Obstacle.NAME_ENDS_BADLY),
        ("a /b", Obstacle.NAME_ENDS_BADLY),
        ("a\\b", Obstacle.NAME_HAS_BACKSLASH),
        ("a\0b", Obstacle.NAME_HAS_CONTROL),
        ("a\nb", Obstacle.NAME_HAS_CONTROL),
        ("x" * 256, Obstacle.NAME_TOO_LONG),
        ("\ud800", Obstacle.NAME_HAS_CONTROL),
    ],
)
def test_a_name_that_dropbox_refuses_is_refused(typed: str, rule: Obstacle) -> None:
    with pytest.raises(ObstacleError) as caught:
        folder_path(typed)
    assert caught.value.obstacle is rule


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


@pytest.mark.parametrize("team", [False, True])
async def test_the_room_is_that_of_the_account_or_of_its_team(
    client: DropboxClient, account: DropboxAccount, team: bool
) -> None:
    account.team = team
    account.quota = 5000
    account.files.put("/x", bytes(1000))
    assert await ask_space(client) == Space(1000, 5000)


async def test_room_of_a_kind_that_nobody_knows_yet_is_not_taken_for_none(
    client: DropboxClient, dropbox_server: DropboxServer
) -> None:
    usage = {"used": 1000, "allocation": {".tag": "of another kind"}}
    dropbox_server.faults.add(
        Fault(FaultKind.STATUS, route="users/get_space_usage", status=200, body=json.dumps(usage))
    )
    assert await ask_space(client) is None
