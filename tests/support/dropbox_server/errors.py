"""Answers that say no, in Dropbox's shapes.

Source of the shapes: the SDK's `raise_dropbox_error_for_resp` and bodies quoted in bug reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import json
import random
from typing import Any

from tests.support.dropbox_server import schema

_dots = random.Random(0)


@dataclass(slots=True)
class RefusalError(Exception):
    """A request that is answered with an error: status, body and headers are sent as they are."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    def __str__(self) -> str:
        """Status and the first part of the body."""
        return f"{self.status} {self.summary or self.body[:200]!r}"


def shaped(status: int, error: object, headers: dict[str, str] | None = None) -> RefusalError:
    """Make `{"error_summary": "a/b/..", "error": ...}`.

    Dropbox pads the summary with a random number of dots so that nobody compares it as a whole.
    """
    summary = "/".join(schema.error_tags(error)) + "/" + "." * _dots.randrange(4)
    return RefusalError(
        status,
        json.dumps({"error_summary": summary, "error": error}).encode(),
        headers=headers or {},
        summary=summary,
    )


def route_error(spec: schema.RouteSpec, error: Any) -> RefusalError:
    """Make a 409 with the route's own error union."""
    return shaped(409, schema.encode_error(spec, error))


def bad_input(function: str, message: str) -> RefusalError:
    """Make a 400: plain text, naming the function."""
    text = f'Error in call to API function "{function}": {message}'
    return RefusalError(400, text.encode(), "text/plain; charset=utf-8", summary=text)


def unauthorized(error: Any) -> RefusalError:
    """Make a 401 of an `auth.AuthError` union."""
    return shaped(401, schema.encode_auth_error(error))


def invalid_access_token() -> RefusalError:
    """Make the 401 for a token that was never issued or is revoked."""
    return unauthorized(schema.auth.AuthError.invalid_access_token)


def expired_access_token() -> RefusalError:
    """Make the 401 for a token past its four hours."""
    return unauthorized(schema.auth.AuthError.expired_access_token)


def user_suspended() -> RefusalError:
    """Make the 401 for a suspended user."""
    return unauthorized(schema.auth.AuthError.user_suspended)


def missing_scope(scope: str) -> RefusalError:
    """Make the 401 that names the scope which the token lacks."""
    return unauthorized(schema.auth.AuthError.missing_scope(schema.auth.TokenScopeError(scope)))


def invalid_path_root(root: Any) -> RefusalError:
    """Make a 422 that carries the right root (`common.RootInfo`)."""
    return shaped(
        422, schema.encode_path_root_error(schema.common.PathRootError.invalid_root(root))
    )


def path_root_forbidden() -> RefusalError:
    """Make the 422 for a namespace that the user cannot see."""
    return shaped(422, schema.encode_path_root_error(schema.common.PathRootError.no_permission))


def rate_limited(
    retry_after: int = 1, reason: str = "too_many_requests", *, plain: bool = False
) -> RefusalError:
    """Make a 429 with `Retry-After` in seconds; sometimes Dropbox sends it as plain text."""
    headers = {"Retry-After": str(retry_after)}
    if plain:
        return RefusalError(429, reason.encode(), "text/plain; charset=utf-8", headers, reason)
    # The union sits under `reason`, so the summary is the reason's tag and not of `error` itself.
    summary = reason + "/" + "." * _dots.randrange(4)
    error = {"reason": {".tag": reason}, "retry_after": retry_after}
    body = json.dumps({"error_summary": summary, "error": error}).encode()
    return RefusalError(429, body, headers=headers, summary=summary)


def server_error(status: int = 503, headers: dict[str, str] | None = None) -> RefusalError:
    """Make a 5xx as Dropbox's front end sends it: HTML, nothing to parse."""
    html = (
        "<!DOCTYPE html>\n<html><head><title>Dropbox - 5xx</title></head>"
        f"<body><h1>Error {status}</h1><p>Something went wrong. Don't worry, your files are still"
        " safe.</p></body></html>"
    )
    return RefusalError(
        status, html.encode(), "text/html; charset=utf-8", headers or {}, str(status)
    )
