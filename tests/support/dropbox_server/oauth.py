"""Dropbox's OAuth: the authorize page and the token endpoint.

Source: Dropbox's OAuth guide, RFC 6749 and RFC 7636; error texts as quoted in bug reports.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
import html
import json
import re
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.state import ServerState

_CHALLENGE = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


@dataclass(frozen=True, slots=True)
class _AuthorizeRequest:
    """A checked request for the authorize page."""

    app: DropboxApp
    redirect_uri: str | None
    state: str | None
    scopes: list[str]
    challenge: str | None
    challenge_method: str
    offline: bool


class _PageError(Exception):
    """Shown to the user: the request cannot be trusted, so nobody is redirected."""


class _TokenError(Exception):
    """The token endpoint's error: RFC 6749 code and a description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class OAuth:
    """The OAuth routes."""

    def __init__(self, state: ServerState) -> None:
        """Serve from `state`."""
        self._state = state

    async def page(self, request: web.Request, _body: str) -> web.Response:
        """Show who wants access to what, with Allow and Deny."""
        try:
            wanted = self._check(dict(request.query))
        except _PageError as error:
            return _error_page(str(error))
        return _consent_page(wanted, list(self._state.accounts.values()), request.query_string)

    async def decide(self, request: web.Request, body: str) -> web.Response:
        """Carry the decision back to the app, or show the code if it has no redirect URI."""
        try:
            wanted = self._check(dict(request.query))
        except _PageError as error:
            return _error_page(str(error))
        form = dict(parse_qsl(body))
        answer: dict[str, str] = {}
        if form.get("decision") == "allow":
            account = self._chosen(form.get("account_id"))
            answer["code"] = self._state.tokens.issue_code(
                wanted.app,
                account,
                scopes=wanted.scopes,
                redirect_uri=wanted.redirect_uri,
                challenge=wanted.challenge,
                challenge_method=wanted.challenge_method,
                offline=wanted.offline,
            )
        else:
            answer["error"] = "access_denied"
            answer["error_description"] = "The user chose not to give your app access"
        if wanted.redirect_uri is None:
            return _page("Authorization", f"<p><code>{html.escape(str(answer))}</code></p>")
        if wanted.state is not None:
            answer["state"] = wanted.state
        raise web.HTTPFound(_with_query(wanted.redirect_uri, answer))

    async def token(self, request: web.Request, body: str) -> web.Response:
        """Exchange a code or a refresh token for an access token."""
        try:
            answer = self._grant(request, body)
        except _TokenError as error:
            answer = {"error": error.error, "error_description": error.description}
            return web.Response(
                status=400, body=json.dumps(answer).encode(), content_type="application/json"
            )
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")

    # -- the authorize page ----------------------------------------------------------------------

    def _check(self, query: dict[str, str]) -> _AuthorizeRequest:
        app = self._state.apps.get(query.get("client_id", ""))
        if app is None:
            raise _PageError("Invalid client_id: no app has this key.")
        redirect_uri = query.get("redirect_uri")
        if redirect_uri is not None and redirect_uri not in app.redirect_uris:
            raise _PageError(
                f'Invalid redirect_uri: "{redirect_uri}". It must exactly match one of the redirect'
                " URIs you've pre-configured for your app (including the path)."
            )
        if query.get("response_type") != "code":
            raise _PageError('Invalid response_type: only "code" is supported.')
        access_type = query.get("token_access_type", "online")
        if access_type not in {"offline", "online"}:
            raise _PageError(f'Invalid token_access_type: "{access_type}".')
        scopes = query["scope"].split() if query.get("scope") else list(app.scopes)
        if missing := [scope for scope in scopes if scope not in app.scopes]:
            raise _PageError(
                f"This app is not permitted to request these scopes: {' '.join(missing)}."
            )
        method = query.get("code_challenge_method", "plain")
        challenge = query.get("code_challenge")
        if challenge is not None and not _CHALLENGE.fullmatch(challenge):
            raise _PageError("Invalid code_challenge: 43 to 128 characters are needed.")
        if method not in {"S256", "plain"}:
            raise _PageError(f'Invalid code_challenge_method: "{method}".')
        return _AuthorizeRequest(
            app,
            redirect_uri,
            query.get("state"),
            scopes,
            challenge,
            method,
            offline=access_type == "offline",
        )

    def _chosen(self, account_id: str | None) -> DropboxAccount:
        accounts = self._state.accounts
        if account_id in accounts:
            return accounts[account_id]
        return next(iter(accounts.values()))

    # -- the token endpoint ----------------------------------------------------------------------

    def _grant(self, request: web.Request, body: str) -> dict[str, object]:
        kind = request.headers.get("Content-Type", "").partition(";")[0]
        if kind != "application/x-www-form-urlencoded":
            raise _TokenError("invalid_request", f"unexpected content type {kind!r}")
        form = dict(parse_qsl(body, keep_blank_values=True))
        app, proven = self._client(request, form)
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem(app, form, proven=proven)
            case "refresh_token":
                return self._refresh(app, form, proven=proven)
            case other:
                raise _TokenError("unsupported_grant_type", f"unknown grant_type {other!r}")

    def _client(self, request: web.Request, form: dict[str, str]) -> tuple[DropboxApp, bool]:
        """Find the app that asks; tell whether it has proven itself with its secret."""
        key, secret = form.get("client_id"), form.get("client_secret")
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            try:
                decoded = base64.b64decode(header.removeprefix("Basic ")).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise _TokenError("invalid_client", "bad Authorization header") from error
            key, _, secret = decoded.partition(":")
        app = self._state.apps.get(key or "")
        if app is None:
            raise _TokenError("invalid_client", "Invalid client_id or client_secret")
        if secret and not secrets.compare_digest(secret, app.secret):
            raise _TokenError("invalid_client", "Invalid client_id or client_secret")
        return app, bool(secret)

    def _redeem(self, app: DropboxApp, form: dict[str, str], *, proven: bool) -> dict[str, object]:
        if "code" not in form:
            raise _TokenError("invalid_request", 'missing required field "code"')
        grant = self._state.tokens.redeem(form["code"])
        if grant is None or grant.app_key != app.key:
            raise _TokenError("invalid_grant", "code doesn't exist or has expired")
        if grant.redirect_uri != form.get("redirect_uri"):
            raise _TokenError("invalid_grant", "redirect_uri mismatch")
        if grant.challenge is not None:
            if not grant.verifies(form.get("code_verifier", "")):
                raise _TokenError("invalid_grant", "invalid code verifier")
        elif "code_verifier" in form:
            raise _TokenError("invalid_grant", "code verifier given, but no code challenge was")
        elif not proven:
            raise _TokenError("invalid_request", 'missing required field "client_secret"')
        refresh = self._state.tokens.issue_refresh(grant) if grant.offline else None
        answer = self._access(
            grant.app_key, grant.account_id, grant.scopes, refresh.token if refresh else None
        )
        account = self._state.accounts[grant.account_id]
        answer |= {"account_id": grant.account_id, "uid": account.home_namespace}
        if refresh:
            answer["refresh_token"] = refresh.token
        return answer

    def _refresh(self, app: DropboxApp, form: dict[str, str], *, proven: bool) -> dict[str, object]:
        grant = self._state.tokens.refresh.get(form.get("refresh_token", ""))
        if grant is None or grant.revoked or grant.app_key != app.key:
            raise _TokenError("invalid_grant", "refresh token is invalid or revoked")
        if not grant.pkce and not proven:
            raise _TokenError("invalid_client", "Invalid client_id or client_secret")
        scopes = form["scope"].split() if form.get("scope") else grant.scopes
        if set(scopes) - set(grant.scopes):
            raise _TokenError("invalid_scope", "scopes exceed those of the refresh token")
        return self._access(grant.app_key, grant.account_id, scopes, grant.token)

    def _access(
        self, app_key: str, account_id: str, scopes: list[str], refresh_token: str | None
    ) -> dict[str, object]:
        tokens = self._state.tokens
        token = tokens.issue_access(app_key, account_id, scopes, refresh_token)
        return {
            "access_token": token.token,
            "token_type": "bearer",
            "expires_in": tokens.lifetime,
            "scope": " ".join(scopes),
        }


def _with_query(uri: str, extra: dict[str, str]) -> str:
    parts = urlsplit(uri)
    query = urlencode([*parse_qsl(parts.query), *extra.items()])
    return urlunsplit(parts._replace(query=query))


def _consent_page(
    wanted: _AuthorizeRequest, accounts: list[DropboxAccount], query: str
) -> web.Response:
    scopes = "".join(f"<li><code>{html.escape(scope)}</code></li>" for scope in wanted.scopes)
    options = "".join(
        f'<option value="{html.escape(account.account_id)}">'
        f"{html.escape(account.name)} ({html.escape(account.email)})</option>"
        for account in accounts
    )
    lasting = "until you disconnect it" if wanted.offline else "for a few hours"
    return _page(
        f"{wanted.app.name} wants to use your Dropbox",
        f"<p><strong>{html.escape(wanted.app.name)}</strong> would like access {lasting}, to:</p>"
        f'<ul>{scopes}</ul><form method="post" action="/oauth2/authorize?{html.escape(query)}">'
        f'<p><label>Account <select name="account_id">{options}</select></label></p>'
        '<button name="decision" value="deny">Deny</button> '
        '<button name="decision" value="allow" class="main">Allow</button></form>',
    )


def _error_page(message: str) -> web.Response:
    return _page("Error (400)", f"<p>{html.escape(message)}</p>", status=400)


def _page(title: str, content: str, status: int = 200) -> web.Response:
    text = (
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<meta name=viewport content='width=device-width'><style>"
        "body{font:16px system-ui;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#1e1919}"
        "h1{font-size:1.4rem}button{font:inherit;padding:.5rem 1.5rem;border:1px solid #ccc;"
        "background:#fff}button.main{background:#0061fe;color:#fff;border-color:#0061fe}"
        f"</style><h1>{html.escape(title)}</h1>{content}</html>"
    )
    return web.Response(text=text, content_type="text/html", status=status)
