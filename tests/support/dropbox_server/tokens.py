"""Authorization codes, access tokens and refresh tokens."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
import secrets

from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.clock import Clock

CODE_LIFETIME = 600.0
ACCESS_TOKEN_LIFETIME = 14400


@dataclass(slots=True)
class AccessToken:
    """A bearer token; `expires_at` in seconds since the epoch."""

    token: str
    app_key: str
    account_id: str
    scopes: list[str]
    expires_at: float
    refresh_token: str | None = None
    revoked: bool = False


@dataclass(slots=True)
class RefreshToken:
    """A token that lives until it is revoked; with `pkce` it needs no app secret."""

    token: str
    app_key: str
    account_id: str
    scopes: list[str]
    pkce: bool
    revoked: bool = False


@dataclass(slots=True)
class AuthorizationCode:
    """What the authorize page hands to the app; used once, within ten minutes."""

    code: str
    app_key: str
    account_id: str
    scopes: list[str]
    redirect_uri: str | None
    challenge: str | None
    challenge_method: str
    offline: bool
    expires_at: float

    def verifies(self, verifier: str) -> bool:
        """Check the PKCE verifier (RFC 7636)."""
        if self.challenge_method == "plain":
            return secrets.compare_digest(verifier, self.challenge or "")
        digest = hashlib.sha256(verifier.encode()).digest()
        encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return secrets.compare_digest(encoded, self.challenge or "")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What `issue_tokens` gives to a test."""

    access_token: str
    refresh_token: str
    expires_in: int
    scope: str
    account_id: str


class TokenStore:
    """All tokens; kept on disk so that a restarted server still knows them."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Load the tokens that lie at `path`."""
        self._path = path
        self._clock = clock
        self.lifetime = ACCESS_TOKEN_LIFETIME
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.access = {item["token"]: AccessToken(**item) for item in stored["access"]}
            self.refresh = {item["token"]: RefreshToken(**item) for item in stored["refresh"]}

    def issue_code(
        self,
        app: DropboxApp,
        account: DropboxAccount,
        *,
        scopes: list[str],
        redirect_uri: str | None,
        challenge: str | None,
        challenge_method: str,
        offline: bool,
    ) -> str:
        """Issue an authorization code."""
        code = secrets.token_urlsafe(32)
        self.codes[code] = AuthorizationCode(
            code,
            app.key,
            account.account_id,
            scopes,
            redirect_uri,
            challenge,
            challenge_method,
            offline,
            self._clock.now() + CODE_LIFETIME,
        )
        return code

    def redeem(self, code: str) -> AuthorizationCode | None:
        """Use a code up, whatever comes of it; None if it is unknown or too old."""
        found = self.codes.pop(code, None)
        return found if found and found.expires_at > self._clock.now() else None

    def issue_refresh(self, grant: AuthorizationCode) -> RefreshToken:
        """Issue a refresh token for a redeemed code."""
        token = RefreshToken(
            secrets.token_urlsafe(40),
            grant.app_key,
            grant.account_id,
            grant.scopes,
            pkce=grant.challenge is not None,
        )
        self.refresh[token.token] = token
        self._save()
        return token

    def issue_access(
        self, app_key: str, account_id: str, scopes: list[str], refresh_token: str | None
    ) -> AccessToken:
        """Issue an access token that lives `lifetime` seconds."""
        token = AccessToken(
            "sl." + secrets.token_urlsafe(60),
            app_key,
            account_id,
            scopes,
            self._clock.now() + self.lifetime,
            refresh_token,
        )
        self.access[token.token] = token
        self._save()
        return token

    def expired(self, token: AccessToken) -> bool:
        """Tell whether the token's time is over."""
        return token.expires_at <= self._clock.now()

    def expire_access_tokens(self, account_id: str | None = None) -> None:
        """Expire all access tokens (of one account) now."""
        for token in self.access.values():
            if account_id in {None, token.account_id}:
                token.expires_at = 0
        self._save()

    def revoke(self, token: AccessToken) -> None:
        """Revoke a grant: the refresh token and every access token made from it."""
        token.revoked = True
        if token.refresh_token is not None:
            self._revoke_grant(token.refresh_token)
        self._save()

    def revoke_all(self, account_id: str | None = None) -> None:
        """Revoke all grants (of one account), as if the user had removed the app."""
        for token in self.refresh.values():
            if account_id in {None, token.account_id}:
                self._revoke_grant(token.token)
        self._save()

    def _revoke_grant(self, refresh_token: str) -> None:
        if grant := self.refresh.get(refresh_token):
            grant.revoked = True
        for access in self.access.values():
            if access.refresh_token == refresh_token:
                access.revoked = True

    def _save(self) -> None:
        stored = {
            "access": [asdict(token) for token in self.access.values()],
            "refresh": [asdict(token) for token in self.refresh.values()],
        }
        self._path.write_text(json.dumps(stored), encoding="utf-8")
