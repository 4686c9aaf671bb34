"""`users/*` and `auth/token/revoke`."""

from __future__ import annotations

from typing import Any

from tests.support.dropbox_server.accounts import DropboxAccount
from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.schema import common, team_common, users, users_common


def root_info(account: DropboxAccount) -> Any:
    """Make `common.RootInfo`: which namespaces the user's paths start from."""
    kind = common.TeamRootInfo if account.team else common.UserRootInfo
    info = kind(root_namespace_id=account.root_namespace, home_namespace_id=account.home_namespace)
    if account.team:
        info.home_path = f"/{account.name}"
    return info


async def get_current_account(call: Call, _: Any) -> Any:
    """Say who the user is."""
    account = call.account
    given, _space, surname = account.name.partition(" ")
    initials = given[:1] + surname[:1]
    return users.FullAccount(
        account_id=account.account_id,
        name=users.Name(given, surname, given, account.name, initials or "?"),
        email=account.email,
        email_verified=True,
        disabled=False,
        locale="en",
        referral_link="https://db.tt/localtest",
        is_paired=False,
        account_type=(
            users_common.AccountType.business if account.team else users_common.AccountType.basic
        ),
        root_info=root_info(account),
        country="NL",
    )


async def get_space_usage(call: Call, _: Any) -> Any:
    """Say how many bytes are used and allowed."""
    used, allocated = call.account.used, call.account.quota
    if call.account.team:
        team = users.TeamSpaceAllocation(
            used=used,
            allocated=allocated,
            user_within_team_space_allocated=0,
            user_within_team_space_limit_type=team_common.MemberSpaceLimitType.off,
            user_within_team_space_used_cached=used,
        )
        return users.SpaceUsage(used, users.SpaceAllocation.team(team))
    individual = users.IndividualSpaceAllocation(allocated=allocated)
    return users.SpaceUsage(used, users.SpaceAllocation.individual(individual))


async def token_revoke(call: Call, _: Any) -> None:
    """Revoke the token that made the call, with its refresh token."""
    call.state.tokens.revoke(call.token)


HANDLERS = {
    "users/get_current_account": get_current_account,
    "users/get_space_usage": get_space_usage,
    "auth/token/revoke": token_revoke,
}
