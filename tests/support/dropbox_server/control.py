"""The switches over HTTP, for a server in a process of its own: JSON under `/_control/`.

Line, faults and clock do not apply here, and nothing here is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
import json
from typing import TYPE_CHECKING

from aiohttp import web

from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.entries import StoredFile
from tests.support.dropbox_server.faults import Fault
from tests.support.dropbox_server.line import Line
from tests.support.dropbox_server.paths import PathRefusedError
from tests.support.dropbox_server.state import Rules
from tests.support.dropbox_server.storage import FileTree, StorageError

if TYPE_CHECKING:
    from tests.support.dropbox_server.server import DropboxServer

type _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The control API of one server."""

    def __init__(self, server: DropboxServer) -> None:
        self._server = server

    def add_routes(self, application: web.Application) -> None:
        """Add everything under `/_control/`."""
        routes: list[tuple[str, str, _Handler]] = [
            ("GET", "state", self._state),
            ("GET", "line", self._get_line),
            ("PUT", "line", self._set_line),
            ("GET", "rules", self._get_rules),
            ("PUT", "rules", self._set_rules),
            ("POST", "clock", self._advance_clock),
            ("GET", "faults", self._get_faults),
            ("POST", "faults", self._add_fault),
            ("DELETE", "faults", self._clear_faults),
            ("DELETE", "faults/{id}", self._remove_fault),
            ("GET", "log", self._get_log),
            ("DELETE", "log", self._clear_log),
            ("POST", "apps", self._add_app),
            ("POST", "accounts", self._add_account),
            ("PATCH", "accounts/{account_id}", self._change_account),
            ("POST", "tokens", self._issue_tokens),
            ("POST", "expire_access_tokens", self._expire_access_tokens),
            ("POST", "revoke_grants", self._revoke_grants),
            ("POST", "expire_cursors", self._expire_cursors),
            ("POST", "purge", self._purge),
            ("GET", "files", self._list_files),
            ("GET", "file", self._read_file),
            ("PUT", "file", self._put_file),
            ("DELETE", "file", self._delete_file),
        ]
        for method, path, handler in routes:
            application.router.add_route(method, f"/_control/{path}", _answering(handler))

    # -- switches --------------------------------------------------------------------------------

    async def _state(self, _: web.Request) -> web.Response:
        server = self._server
        return _json(
            {
                "url": server.url,
                "env": server.env(),
                "apps": [asdict(app) for app in server.apps.values()],
                "accounts": [_account(account) for account in server.accounts.values()],
                "counters": dict(server.log.counters),
                "violations": server.log.violations,
                "open_sessions": len(server.sessions.open),
                "clock": server.clock.now(),
            }
        )

    async def _get_line(self, _: web.Request) -> web.Response:
        return _json(self._server.line.as_json())

    async def _set_line(self, request: web.Request) -> web.Response:
        self._server.line = Line.from_json(await request.json())
        return _json(self._server.line.as_json())

    async def _get_rules(self, _: web.Request) -> web.Response:
        return _json(self._server.rules.as_json())

    async def _set_rules(self, request: web.Request) -> web.Response:
        self._server.rules = Rules.from_json(await request.json())
        return _json(self._server.rules.as_json())

    async def _advance_clock(self, request: web.Request) -> web.Response:
        self._server.clock.advance(float((await request.json())["advance"]))
        return _json({"now": self._server.clock.now()})

    async def _get_faults(self, _: web.Request) -> web.Response:
        return _json([fault.as_json() for fault in self._server.faults.rules])

    async def _add_fault(self, request: web.Request) -> web.Response:
        return _json(self._server.faults.add(Fault.from_json(await request.json())).as_json())

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._server.faults.clear()
        return _json({})

    async def _remove_fault(self, request: web.Request) -> web.Response:
        self._server.faults.remove(int(request.match_info["id"]))
        return _json({})

    async def _get_log(self, request: web.Request) -> web.Response:
        route = request.query.get("route")
        records = self._server.log.records
        return _json([item.as_json() for item in records if route in {None, item.route}])

    async def _clear_log(self, _: web.Request) -> web.Response:
        self._server.log.clear()
        return _json({})

    # -- apps, accounts, tokens ------------------------------------------------------------------

    async def _add_app(self, request: web.Request) -> web.Response:
        value = await request.json()
        lists = {name: tuple(value[name]) for name in ("redirect_uris", "scopes") if name in value}
        return _json(asdict(self._server.add_app(DropboxApp(**{**value, **lists}))))

    async def _add_account(self, request: web.Request) -> web.Response:
        return _json(_account(self._server.add_account(DropboxAccount(**await request.json()))))

    async def _change_account(self, request: web.Request) -> web.Response:
        account = self._account(request.match_info["account_id"])
        for name, value in (await request.json()).items():
            if name not in {"quota", "suspended", "name", "email", "team"}:
                raise ValueError(f"cannot change {name!r}")
            setattr(account, name, value)
        return _json(_account(account))

    async def _issue_tokens(self, request: web.Request) -> web.Response:
        value = await request.json()
        app = self._server.apps[value["app_key"]] if "app_key" in value else None
        account = self._account(value.get("account_id"))
        scopes = tuple(value["scopes"]) if "scopes" in value else None
        return _json(asdict(self._server.issue_tokens(app, account, scopes=scopes)))

    async def _expire_access_tokens(self, _: web.Request) -> web.Response:
        self._server.tokens.expire_access_tokens()
        return _json({})

    async def _revoke_grants(self, _: web.Request) -> web.Response:
        self._server.tokens.revoke_all()
        return _json({})

    # -- files: of ?account_id=, ?namespace= and ?path=, by default the first account's home ------

    async def _expire_cursors(self, request: web.Request) -> web.Response:
        self._tree(request).expire_cursors()
        return _json({})

    async def _purge(self, request: web.Request) -> web.Response:
        self._tree(request).purge()
        return _json({})

    async def _list_files(self, request: web.Request) -> web.Response:
        tree = self._tree(request)
        return _json([_file(tree, file) for file in tree.list(request.query.get("path", ""))])

    async def _read_file(self, request: web.Request) -> web.StreamResponse:
        tree = self._tree(request)
        return web.FileResponse(tree.path_on_disk(request.query["path"]))

    async def _put_file(self, request: web.Request) -> web.Response:
        tree = self._tree(request)
        scratch = tree.new_blob()
        with scratch.open("wb") as file:
            async for chunk in request.content.iter_any():
                file.write(chunk)
        content = await asyncio.to_thread(tree.content_of, scratch)
        return _json(_file(tree, tree.commit(request.query["path"], content, mode="overwrite")))

    async def _delete_file(self, request: web.Request) -> web.Response:
        self._tree(request).delete(request.query["path"])
        return _json({})

    def _account(self, account_id: str | None) -> DropboxAccount:
        return self._server.account if account_id is None else self._server.accounts[account_id]

    def _tree(self, request: web.Request) -> FileTree:
        account = self._account(request.query.get("account_id"))
        namespace = request.query.get("namespace")
        return account.files if namespace is None else account.tree(namespace)


def _answering(handler: _Handler) -> _Handler:
    """Turn mistakes of the caller into a readable 400."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (KeyError, TypeError, ValueError, StorageError, PathRefusedError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, status=400)

    return answer


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(value).encode(), content_type="application/json", status=status
    )


def _account(account: DropboxAccount) -> dict[str, object]:
    return {
        "account_id": account.account_id,
        "email": account.email,
        "name": account.name,
        "quota": account.quota,
        "used": account.used,
        "suspended": account.suspended,
        "team": account.team,
        "home_namespace": account.home_namespace,
        "root_namespace": account.root_namespace,
        "namespaces": sorted(account.trees),
    }


def _file(tree: FileTree, file: StoredFile) -> dict[str, object]:
    return {
        "path": file.path,
        "id": file.id,
        "rev": file.rev,
        "size": file.size,
        "content_hash": file.content_hash,
        "client_modified": file.client_modified.isoformat(),
        "server_modified": file.server_modified.isoformat(),
        "path_on_disk": str(tree.blob_path(file)),
    }
