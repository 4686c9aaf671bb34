"""A page that shows what lies in the accounts, for people who try the demo."""

from __future__ import annotations

import html
from urllib.parse import quote

from aiohttp import web

from tests.support.dropbox_server.state import ServerState
from tests.support.dropbox_server.storage import FileTree, NotFoundError

_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_STYLE = (
    "body{font:16px system-ui;max-width:60rem;margin:3rem auto;padding:0 1rem;color:#1e1919}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .8rem;"
    "border-bottom:1px solid #eee}td.n,th.n{text-align:right;white-space:nowrap}"
    "a{color:#0061fe;text-decoration:none}p{color:#736c64}"
)


class IndexPage:
    """`/` and the download links on it."""

    def __init__(self, state: ServerState) -> None:
        """Show `state`."""
        self._state = state

    async def index(self, _: web.Request) -> web.Response:
        """List the files of all accounts."""
        parts = []
        for account in self._state.accounts.values():
            used = f"{_size(account.used)} of {_size(account.quota)} used"
            parts.append(f"<h2>{html.escape(account.name)}</h2><p>{used}</p>")
            parts.extend(
                _table(account.account_id, tree) for tree in account.trees.values() if tree.list()
            )
        text = (
            "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Local Dropbox</title>"
            f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
            f"<h1>Local Dropbox</h1>{''.join(parts)}</html>"
        )
        return web.Response(text=text, content_type="text/html")

    async def download(self, request: web.Request) -> web.FileResponse:
        """Send a file to the browser."""
        account = self._state.accounts.get(request.match_info["account_id"])
        tree = account.trees.get(request.match_info["namespace"]) if account else None
        if tree is None:
            raise web.HTTPNotFound
        try:
            file = tree.get_file(request.query.get("path", ""))
        except NotFoundError as error:
            raise web.HTTPNotFound from error
        name = quote(file.path.rpartition("/")[2])
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return web.FileResponse(tree.blob_path(file), headers=headers)


def _table(account_id: str, tree: FileTree) -> str:
    rows = []
    for file in tree.list():
        link = f"/_files/{quote(account_id)}/{tree.namespace_id}?path={quote(file.path, safe='')}"
        rows.append(
            f'<tr><td><a href="{html.escape(link)}">{html.escape(file.path)}</a></td>'
            f"<td class=n>{_size(file.size)}</td><td class=n>{file.client_modified} UTC</td></tr>"
        )
    head = "<tr><th>File</th><th class=n>Size</th><th class=n>Modified</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _size(size: float) -> str:
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit < 2 else f"{size:.1f} {_UNITS[unit]}"
