"""`python -m tests.support.dropbox_server`: a local Dropbox to play with."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
import json
from pathlib import Path
import signal
import sys
import tempfile

from tests.support.dropbox_server.accounts import DropboxAccount, DropboxApp
from tests.support.dropbox_server.server import DropboxServer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.dropbox_server",
        description="Run a local Dropbox on 127.0.0.1.",
    )
    parser.add_argument(
        "--dir", type=Path, help="where the files live; default: a temporary folder"
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--tls", type=Path, help="folder of ca.pem and server.pem, made if missing")
    parser.add_argument(
        "--json", action="store_true", help="say where it listens as a line of JSON"
    )
    parser.add_argument("--app-key", default=DropboxApp().key)
    parser.add_argument("--app-secret", default=DropboxApp().secret)
    parser.add_argument(
        "--app-folder", action="store_true", help="the app sees its own folder only"
    )
    parser.add_argument(
        "--redirect-uri", action="append", default=[], help="one more redirect URI of the app"
    )
    parser.add_argument("--quota", type=int, default=DropboxAccount().quota, help="in bytes")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, directory: Path) -> None:
    server = DropboxServer(directory, arguments.port, tls_dir=arguments.tls)
    app = replace(
        DropboxApp(),
        key=arguments.app_key,
        secret=arguments.app_secret,
        app_folder=arguments.app_folder,
        redirect_uris=(*DropboxApp().redirect_uris, *arguments.redirect_uri),
    )
    server.add_app(app)
    server.add_account(DropboxAccount(quota=arguments.quota))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        sys.stdout.write((_as_json(server) if arguments.json else _as_text(server)) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _as_json(server: DropboxServer) -> str:
    app = server.app
    return json.dumps(
        {
            "url": server.url,
            "host": server.host,
            "port": server.port,
            "env": server.env(),
            "app_key": app.key,
            "app_secret": app.secret,
            "redirect_uris": app.redirect_uris,
            "account_id": server.account.account_id,
        }
    )


def _as_text(server: DropboxServer) -> str:
    app = server.app
    return "\n".join(
        [
            f"Local Dropbox at {server.url} (files: {server.data_dir})",
            "",
            *(f"export {name}={value}" for name, value in server.env().items()),
            "",
            f"App key     {app.key}",
            f"App secret  {app.secret}",
            *(f"Redirect    {uri}" for uri in app.redirect_uris),
            "",
            "Stop with Ctrl+C.",
        ]
    )


def main() -> int:
    """Run until interrupted."""
    arguments = _arguments()
    if arguments.dir is not None:
        asyncio.run(_run(arguments, arguments.dir))
        return 0
    with tempfile.TemporaryDirectory(prefix="local-dropbox-") as directory:
        asyncio.run(_run(arguments, Path(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
