"""`scripts/demo`: show the integration at work, then leave it running for a look around."""

import argparse
import asyncio
import contextlib
from pathlib import Path
import re
import shutil
import signal
import sys
import tempfile

from tests.demo.dashboard import add_dashboard
from tests.demo.story import MIB, Story
from tests.demo.terminal import Terminal
from tests.support.home_assistant import problems_of
from tests.support.world import DOMAIN, World, world

DEFAULT_SIZE = 64 * MIB
# What a good connection at home uploads with; on loopback there would be no progress to see.
DEFAULT_LINE = 200.0
_UNITS = {"": 1, "K": 1 << 10, "M": MIB, "G": 1 << 30}

# As a shell reports a program that was interrupted.
INTERRUPTED = 130


def main() -> int:
    """Run the demo and return its exit status."""
    options = _options()
    terminal = Terminal()
    directory = _directory(options.keep)
    status = 1
    try:
        status = asyncio.run(_demo(options, terminal, directory))
    except asyncio.CancelledError, KeyboardInterrupt:
        terminal.plain("\nInterrupted.")
        status = INTERRUPTED
    finally:
        if options.keep is None:
            _clean_up(directory, keep_logs=status not in (0, INTERRUPTED))
    return status


async def _demo(options: argparse.Namespace, terminal: Terminal, directory: Path) -> int:
    _cancel_on_signals()
    terminal.title("Dropbox Backup: a backup's way to Dropbox and back")
    try:
        async with contextlib.AsyncExitStack() as stack:
            with terminal.step("Start a local Dropbox and a real Home Assistant"):
                running = await stack.enter_async_context(
                    world(directory, port=options.port, line_mbit=options.line or None)
                )
                await _say_what_runs(running, terminal)
            shown = await Story(running, terminal).tell(options.size)
            terminal.plain(f"\nAll of it worked. {shown}")
            if not options.once:
                await _stay(running, terminal)
    except Exception as error:  # noqa: BLE001 - whatever it is, the user wants to see the logs
        terminal.bad(f"{type(error).__name__}: {error}")
        _point_to_logs(terminal, directory)
        return 1
    return 0


def _point_to_logs(terminal: Terminal, directory: Path) -> None:
    """Show what the integration has to say about a failure, and where there is more."""
    for log in _logs(directory):
        for problem in problems_of(DOMAIN, log):
            terminal.plain(f"\n{problem}")
    terminal.plain("\nLogs:")
    for log in _logs(directory):
        terminal.plain(f"  {log}")


async def _say_what_runs(running: World, terminal: Terminal) -> None:
    config = await running.client.rest("GET", "/api/config")
    memory = running.home.memory.now / MIB
    terminal.good(f"Home Assistant {config['version']} at {running.home.url} ({memory:.0f} MiB)")
    terminal.good(f"Dropbox at {running.dropbox.url}")


async def _stay(running: World, terminal: Terminal) -> None:
    """Leave everything running until Ctrl-C."""
    dashboard = await add_dashboard(running)
    account = running.home.account
    terminal.plain("\nHave a look around:")
    terminal.plain(f"  Dashboard  {running.home.url}{dashboard}")
    terminal.plain(f"  Backups    {running.home.url}/config/backup/backups")
    terminal.plain(
        f"  Dropbox    {running.dropbox.url} (the browser will not know its certificate)"
    )
    terminal.plain(f"  Sign in    {account.username}, password {account.password}")
    terminal.plain("Ctrl-C ends it.")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    terminal.plain("\nStopping.")


def _cancel_on_signals() -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)


def _directory(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="demo-"))
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        sys.exit(f"{keep} is not empty")
    return keep.resolve()


def _logs(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*.log"))


def _clean_up(directory: Path, *, keep_logs: bool) -> None:
    """Remove everything, or everything but the logs that the user was told to read."""
    kept = set(_logs(directory)) if keep_logs else set()
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # it holds a log
                path.rmdir()
        elif path not in kept:
            path.unlink()
    if not kept:
        shutil.rmtree(directory)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when all of it was shown")
    parser.add_argument(
        "--size", type=_size, default=DEFAULT_SIZE, help="of the backup, such as 2G (64M)"
    )
    parser.add_argument("--port", type=int, help="of Home Assistant (any that is free)")
    parser.add_argument(
        "--line",
        type=float,
        default=DEFAULT_LINE,
        metavar="MBIT",
        help="speed of the line to Dropbox in Mbit/s, 0 for no limit (200)",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="empty folder to work in and to keep (a new one)"
    )
    return parser.parse_args()


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no size; 64M and 2G are")
    return int(match[1]) * _UNITS[match[2].upper()]


if __name__ == "__main__":
    sys.exit(main())
