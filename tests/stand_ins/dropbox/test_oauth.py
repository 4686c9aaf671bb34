"""Sign-in: what the authorize page and the token endpoint accept, and how they refuse."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from tests.support.dropbox_server import DropboxApp, DropboxServer

VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]
REDIRECT = "http://localhost:8123/auth/external/callback"


class SignIn:
    """A browser and an app's back end in one."""

    def __init__(self, server: DropboxServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.query = {
            "client_id": server.app.key,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "state": "s/t ate",
            "token_access_type": "offline",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }

    @property
    def page(self) -> str:
        return f"{self.server.url}/oauth2/authorize"

    async def decide(self, decision: str) -> dict[str, str]:
        """Click a button; return the query that arrives at the redirect URI."""
        async with self.session.post(
            self.page, params=self.query, data={"decision": decision}, allow_redirects=False
        ) as answer:
            assert answer.status == 302, await answer.text()
            target = urlsplit(answer.headers["Location"])
        return {name: values[0] for name, values in parse_qs(target.query).items()}

    async def token(
        self, authorization: str | None = None, **form: str
    ) -> tuple[int, dict[str, Any]]:
        """Ask the token endpoint."""
        url = f"{self.server.url}/oauth2/token"
        headers = {"Authorization": authorization} if authorization else {}
        async with self.session.post(url, data=form, headers=headers) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, await answer.json()

    async def redeem(self, code: str, **form: str) -> tuple[int, dict[str, Any]]:
        values = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.server.app.key,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            **form,
        }
        return await self.token(None, **{name: value for name, value in values.items() if value})


@pytest.fixture
def sign_in(server: DropboxServer, session: aiohttp.ClientSession) -> SignIn:
    return SignIn(server, session)


async def test_allow_gives_a_code_that_works_once(sign_in: SignIn) -> None:
    query = await sign_in.decide("allow")
    assert query["state"] == "s/t ate"
    status, tokens = await sign_in.redeem(query["code"])
    assert status == 200
    assert tokens["expires_in"] == 14400
    assert tokens["token_type"] == "bearer"
    assert tokens["account_id"] == sign_in.server.account.account_id
    assert tokens["scope"].split() == list(sign_in.server.app.scopes)
    assert {"access_token", "refresh_token", "uid"} < set(tokens)
    status, error = await sign_in.redeem(query["code"])
    assert (status, error["error"]) == (400, "invalid_grant")
    assert error["error_description"] == "code doesn't exist or has expired"


async def test_deny_is_carried_back(sign_in: SignIn) -> None:
    query = await sign_in.decide("deny")
    assert query["error"] == "access_denied"
    assert query["state"] == "s/t ate"
    assert "code" not in query


async def test_online_access_gets_no_refresh_token(sign_in: SignIn) -> None:
    sign_in.query["token_access_type"] = "online"
    _, tokens = await sign_in.redeem((await sign_in.decide("allow"))["code"])
    assert "refresh_token" not in tokens


async def test_old_code_is_refused(sign_in: SignIn) -> None:
    query = await sign_in.decide("allow")
    sign_in.server.clock.advance(601)
    status, error = await sign_in.redeem(query["code"])
    assert (status, error["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "http://localhost:8123/"}, "invalid_grant"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"client_id": "unknown"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
    ids=str,
)
async def test_token_endpoint_refuses(sign_in: SignIn, form: dict[str, str], error: str) -> None:
    query = await sign_in.decide("allow")
    status, answer = await sign_in.redeem(**{"code": query["code"], **form})
    assert (status, answer["error"]) == (400, error)


async def test_without_pkce_the_secret_is_needed(sign_in: SignIn) -> None:
    del sign_in.query["code_challenge"], sign_in.query["code_challenge_method"]
    code = (await sign_in.decide("allow"))["code"]
    status, error = await sign_in.redeem(code, code_verifier="")
    assert (status, error["error"]) == (400, "invalid_request")
    code = (await sign_in.decide("allow"))["code"]
    app = sign_in.server.app
    status, tokens = await sign_in.token(
        aiohttp.encode_basic_auth(app.key, app.secret),
        grant_type="authorization_code",
        code=code,
        redirect_uri=REDIRECT,
    )
    assert status == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    status, error = await sign_in.token(client_id=app.key, **refresh)
    assert (status, error["error"]) == (400, "invalid_client")
    status, _ = await sign_in.token(client_id=app.key, client_secret=app.secret, **refresh)
    assert status == 200


async def test_refresh_may_narrow_the_scopes_but_not_widen_them(sign_in: SignIn) -> None:
    sign_in.query["scope"] = "files.metadata.read account_info.read"
    _, tokens = await sign_in.redeem((await sign_in.decide("allow"))["code"])
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": sign_in.server.app.key,
    }
    _, narrow = await sign_in.token(**form, scope="account_info.read")
    assert narrow["scope"] == "account_info.read"
    status, error = await sign_in.token(**form, scope="files.content.write")
    assert (status, error["error"]) == (400, "invalid_scope")


async def test_revoked_grant_cannot_be_refreshed(sign_in: SignIn) -> None:
    server = sign_in.server
    tokens = server.issue_tokens()
    server.tokens.revoke_all()
    status, error = await sign_in.token(
        grant_type="refresh_token",
        refresh_token=tokens.refresh_token,
        client_id=server.app.key,
        client_secret=server.app.secret,
    )
    assert status == 400
    assert error == {
        "error": "invalid_grant",
        "error_description": "refresh token is invalid or revoked",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"client_id": "unknown"}, "Invalid client_id"),
        ({"redirect_uri": REDIRECT + "/"}, "Invalid redirect_uri"),
        ({"response_type": "token"}, "Invalid response_type"),
        ({"scope": "files.content.read sharing.write"}, "not permitted"),
        ({"token_access_type": "forever"}, "Invalid token_access_type"),
        ({"code_challenge": "short"}, "Invalid code_challenge"),
        ({"code_challenge_method": "S512"}, "Invalid code_challenge_method"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_authorize_page_refuses_and_redirects_nobody(
    sign_in: SignIn, change: dict[str, str], message: str
) -> None:
    sign_in.query |= change
    for method in ("GET", "POST"):
        async with sign_in.session.request(
            method, sign_in.page, params=sign_in.query, data={"decision": "allow"}
        ) as answer:
            assert answer.status == 400
            assert message in await answer.text()


async def test_scopes_ticked_later_need_a_new_sign_in(sign_in: SignIn) -> None:
    server = sign_in.server
    server.add_app(DropboxApp(scopes=("account_info.read",)))
    tokens = server.issue_tokens()
    server.add_app(DropboxApp())
    url = f"{server.url}/2/files/list_folder"
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    async with sign_in.session.post(url, json={"path": ""}, headers=headers) as answer:
        assert answer.status == 401
        error = (await answer.json())["error"]
    assert error == {".tag": "missing_scope", "required_scope": "files.metadata.read"}


async def test_page_escapes_what_the_app_says(sign_in: SignIn) -> None:
    sign_in.server.add_app(DropboxApp(name="<script>alert(1)</script>"))
    sign_in.query["state"] = '"><script>'
    async with sign_in.session.get(sign_in.page, params=sign_in.query) as answer:
        assert "<script>" not in await answer.text()


async def test_tokens_survive_a_restart(sign_in: SignIn) -> None:
    server = sign_in.server
    tokens = server.issue_tokens()
    await server.stop()
    async with DropboxServer(server.data_dir, server.port, tls_dir=server.ca_file.parent) as again:
        assert again.tokens.access[tokens.access_token].account_id == again.account.account_id
        assert not again.tokens.expired(again.tokens.access[tokens.access_token])
