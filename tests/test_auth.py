"""Access tokens: renewed when they have expired or when Dropbox says so, once for all who wait."""

import asyncio

from homeassistant.const import CONF_ACCESS_TOKEN, CONF_TOKEN
from homeassistant.core import HomeAssistant
from homeassistant.helpers.config_entry_oauth2_flow import (
    OAuth2Session,
    async_get_config_entry_implementation,
)
import pytest

from custom_components.dropbox_backup.auth import EntryToken
from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.coordinator import DropboxBackupConfigEntry
from custom_components.dropbox_backup.dropbox_api.errors import SignInError, UnreachableError
from custom_components.dropbox_backup.sync.report.state import ProblemKind
from tests.support.account import (
    MIB,
    archives,
    engine_of,
    make_backup,
    problem_of,
    set_up_entry,
    state_of,
    wait_until_idle,
)
from tests.support.dropbox_server import DropboxServer, Fault, FaultKind

pytestmark = pytest.mark.usefixtures("quick_worker")


@pytest.fixture
async def entry(hass: HomeAssistant, dropbox_server: DropboxServer) -> DropboxBackupConfigEntry:
    """Sign in."""
    return await set_up_entry(hass, dropbox_server)


@pytest.fixture
async def token(hass: HomeAssistant, entry: DropboxBackupConfigEntry) -> EntryToken:
    """Return a source of access tokens."""
    implementation = await async_get_config_entry_implementation(hass, entry)
    return EntryToken(OAuth2Session(hass, entry, implementation))


def stored(entry: DropboxBackupConfigEntry) -> str:
    return str(entry.data[CONF_TOKEN][CONF_ACCESS_TOKEN])


async def test_a_valid_token_is_not_renewed(
    dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry, token: EntryToken
) -> None:
    assert await token.get(None) == stored(entry)
    assert dropbox_server.log.count("oauth2/token") == 0


async def test_a_refused_token_is_renewed_once_for_all_that_it_was_refused_to(
    dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry, token: EntryToken
) -> None:
    old = stored(entry)

    tokens = await asyncio.gather(*(token.get(old) for _ in range(8)))

    assert set(tokens) == {stored(entry)} != {old}
    assert dropbox_server.log.count("oauth2/token") == 1


async def test_who_comes_late_with_a_refused_token_gets_the_new_one(
    dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry, token: EntryToken
) -> None:
    old = stored(entry)
    new = await token.get(old)

    assert await token.get(old) == new
    assert dropbox_server.log.count("oauth2/token") == 1


async def test_a_revoked_sign_in_is_said_and_nothing_is_lost_of_it(
    dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry, token: EntryToken
) -> None:
    before = entry.data[CONF_TOKEN]["refresh_token"]
    dropbox_server.tokens.revoke_all()

    with pytest.raises(SignInError, match="sign in ended"):
        await token.get(stored(entry))

    assert entry.data[CONF_TOKEN]["refresh_token"] == before


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET_BEFORE_BODY, "oauth2/token", times=None),
        Fault(FaultKind.LOST_RESPONSE, "oauth2/token", times=None),
        Fault(FaultKind.STATUS, "oauth2/token", status=503, times=None),
        Fault(FaultKind.STATUS, "oauth2/token", status=429, times=None),
        Fault(FaultKind.GARBAGE, "oauth2/token", times=None),
        Fault(
            FaultKind.STATUS,
            "oauth2/token",
            status=200,
            times=None,
            body='["x"]',
            content_type="application/json",
        ),
    ],
    ids=lambda fault: f"{fault.kind.value} {fault.status}",
)
async def test_a_renewal_that_does_not_come_through_is_no_refusal_and_is_tried_again(
    dropbox_server: DropboxServer,
    entry: DropboxBackupConfigEntry,
    token: EntryToken,
    fault: Fault,
) -> None:
    old = stored(entry)
    dropbox_server.faults.add(fault)
    with pytest.raises(UnreachableError):
        await token.get(old)

    dropbox_server.faults.clear()
    assert await token.get(None) != old


async def test_tokens_that_expire_during_an_upload_are_renewed_and_the_upload_goes_on(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.EXPIRE_TOKEN, "files/upload_session/append_v2", skip=1),
        Fault(FaultKind.EXPIRE_TOKEN, "files/upload_session/finish"),
    )

    await make_backup(hass, size=9 * MIB)
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).problem is None
    assert dropbox_server.log.count("oauth2/token") == 2


async def test_an_expired_token_is_renewed_also_when_dropbox_says_so_in_two_pieces(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.SPLIT_RESPONSE, after_bytes=10, seconds=0.1, times=None)
    )
    dropbox_server.tokens.expire_access_tokens()

    await make_backup(hass)
    await wait_until_idle(hass, entry)

    assert len(archives(dropbox_server)) == 1
    assert state_of(entry).problem is None
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []


async def test_a_sign_in_that_is_revoked_during_an_upload_asks_once_to_sign_in_again(
    hass: HomeAssistant, dropbox_server: DropboxServer, entry: DropboxBackupConfigEntry
) -> None:
    dropbox_server.faults.add(
        Fault(FaultKind.REVOKE_GRANTS, "files/upload_session/append_v2", skip=1)
    )

    await make_backup(hass, size=9 * MIB)
    await wait_until_idle(hass, entry)
    engine_of(entry).request("once more")
    await wait_until_idle(hass, entry)

    problem = problem_of(entry)
    assert problem.kind is ProblemKind.SIGN_IN
    assert len(hass.config_entries.flow.async_progress_by_handler(DOMAIN)) == 1
    assert archives(dropbox_server) == []
