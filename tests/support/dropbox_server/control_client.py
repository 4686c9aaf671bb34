"""Speaks the control API of a server in another process.

Its methods block. In async code call them with `await asyncio.to_thread(client.add_fault, ...)`.
"""

from __future__ import annotations

from collections.abc import Iterable
import json
from pathlib import Path
import ssl
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.support.dropbox_server.faults import Fault
from tests.support.dropbox_server.line import Line
from tests.support.dropbox_server.state import Rules

_TIMEOUT = 30.0


class ControlClient:
    """The switches of a server, by its URL and the PEM file of its authority."""

    def __init__(self, url: str, ca_file: Path | str) -> None:
        self.url = url
        self._tls = ssl.create_default_context(cafile=str(ca_file))

    def state(self) -> dict[str, Any]:
        """Return apps, accounts, counters per route and violations."""
        answer: dict[str, Any] = self._json("GET", "state")
        return answer

    def set_line(self, line: Line) -> None:
        """Shape the line."""
        self._json("PUT", "line", line.as_json())

    def set_rules(self, rules: Rules) -> None:
        """Choose the server's behaviour."""
        self._json("PUT", "rules", rules.as_json())

    def advance_clock(self, seconds: float) -> None:
        """Let time pass for tokens and sessions."""
        self._json("POST", "clock", {"advance": seconds})

    def add_fault(self, fault: Fault) -> int:
        """Put a fault in force; returns its id on the server."""
        value = fault.as_json()
        for counter in ("id", "matched", "applied"):
            value.pop(counter)
        return int(self._json("POST", "faults", value)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """List the faults in force, with what they have hit so far."""
        answer: list[dict[str, Any]] = self._json("GET", "faults")
        return answer

    def clear_faults(self) -> None:
        """Take all faults out."""
        self._json("DELETE", "faults")

    def log(self, route: str | None = None) -> list[dict[str, Any]]:
        """List the requests (to one route): the fields of `RequestRecord`."""
        answer: list[dict[str, Any]] = self._json(
            "GET", "log", query={"route": route} if route else {}
        )
        return answer

    def clear_log(self) -> None:
        """Forget requests, counters and violations."""
        self._json("DELETE", "log")

    def add_app(self, **fields: Any) -> dict[str, Any]:
        """Register an app: the fields of `DropboxApp`."""
        answer: dict[str, Any] = self._json("POST", "apps", fields)
        return answer

    def add_account(self, **fields: Any) -> dict[str, Any]:
        """Add a user: the fields of `DropboxAccount`."""
        answer: dict[str, Any] = self._json("POST", "accounts", fields)
        return answer

    def change_account(self, account_id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Change `quota`, `suspended`, `name`, `email` or `team` of a user, or of the first one."""
        account_id = account_id or self.state()["accounts"][0]["account_id"]
        answer: dict[str, Any] = self._json("PATCH", f"accounts/{account_id}", fields)
        return answer

    def issue_tokens(
        self,
        app_key: str | None = None,
        account_id: str | None = None,
        scopes: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Sign in without the authorize page: the fields of `Tokens`."""
        value: dict[str, object] = {}
        if app_key is not None:
            value["app_key"] = app_key
        if account_id is not None:
            value["account_id"] = account_id
        if scopes is not None:
            value["scopes"] = list(scopes)
        answer: dict[str, Any] = self._json("POST", "tokens", value)
        return answer

    def expire_access_tokens(self) -> None:
        """Expire all access tokens now."""
        self._json("POST", "expire_access_tokens")

    def revoke_grants(self) -> None:
        """Revoke all refresh tokens, as if the users had removed the app."""
        self._json("POST", "revoke_grants")

    def expire_cursors(self) -> None:
        """Make all cursors of the first account answer `reset`."""
        self._json("POST", "expire_cursors")

    def purge(self) -> None:
        """Free the disk space of the first account's deleted files and old revisions."""
        self._json("POST", "purge")

    def files(self, path: str = "") -> list[dict[str, Any]]:
        """List the files of the first account, with where they lie on disk."""
        answer: list[dict[str, Any]] = self._json("GET", "files", query={"path": path})
        return answer

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        return self._send("GET", "file", query={"path": path})

    def put(self, path: str, data: bytes | Path) -> dict[str, Any]:
        """Write a file as another client of the account would."""
        content = data.read_bytes() if isinstance(data, Path) else data
        answer: dict[str, Any] = json.loads(self._send("PUT", "file", content, {"path": path}))
        return answer

    def delete(self, path: str) -> None:
        """Delete a file or folder as another client would."""
        self._send("DELETE", "file", query={"path": path})

    def _json(
        self, method: str, name: str, value: object = None, query: dict[str, str] | None = None
    ) -> Any:  # the shape depends on the route
        body = None if value is None else json.dumps(value).encode()
        return json.loads(self._send(method, name, body, query))

    def _send(
        self,
        method: str,
        name: str,
        body: bytes | None = None,
        query: dict[str, str] | None = None,
    ) -> bytes:
        """Send a request; raises ValueError with the server's words when it refuses."""
        url = f"{self.url}/_control/{name}?{urlencode(query or {})}"
        request = Request(url, data=body, method=method)  # noqa: S310 - our own https server
        try:
            with urlopen(request, timeout=_TIMEOUT, context=self._tls) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            raise ValueError(f"{method} {name}: {error.read().decode()}") from error
