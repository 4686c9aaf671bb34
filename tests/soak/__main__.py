"""The command line: `python -m tests.soak`, or `scripts/soak`."""

# The clock comes first: what is imported later takes its functions.
from tests.soak import clock

# isort: split
from tests.support import before_home_assistant

# isort: split
import argparse
import asyncio
import logging
from pathlib import Path
import random
import sys
import tempfile

import aiohttp
from homeassistant.util.ssl import client_context

# Before the plugin brings a package of that name.
import custom_components  # noqa: F401
from custom_components.dropbox_backup.dropbox_api.retry import RETRY_FOR, Waiter
from custom_components.dropbox_backup.waits import WAITS
from tests.soak import gauges
from tests.soak.home import NeverSettledError, SoakHome
from tests.soak.log import Listener
from tests.soak.report import Outcome, report, say
from tests.soak.story import SoakStory
from tests.soak.weather import Weather
from tests.support.dropbox_server import DropboxProcess

# One failing call is repeated for so many seconds, not for two minutes: an outage would take these
# of true time, and the worker's own next try, which comes by the clock that is put forward, would
# be tried less.
_PATIENCE = 4.0
# Nobody waits for several causes to come together here.
_DEBOUNCE = 0.01
# Uploads are to be interrupted somewhere on their way, and this one is short.
_PROGRESS_INTERVAL = 0.0


async def soak(directory: Path, backups: int, seed: int, share: float) -> Outcome:
    """Live through it and settle the accounts."""
    RETRY_FOR[Waiter.WORKER] = _PATIENCE
    WAITS.debounce = _DEBOUNCE
    WAITS.between_snapshots = _PROGRESS_INTERVAL
    listener = Listener()
    logging.getLogger().addHandler(listener)
    lot = random.Random(seed)
    began = clock.true_time(), clock.utcnow()
    process = DropboxProcess(
        directory / "dropbox", before_home_assistant.PORT, tls_dir=before_home_assistant.TLS
    )
    with process as server:
        weather = Weather(server.control, share, lot)
        app = str(server.info["app_key"]), str(server.info["app_secret"])
        home = SoakHome(directory / "home", server.control, app)
        connector = aiohttp.TCPConnector(ssl=client_context())
        async with aiohttp.ClientSession(connector=connector) as session:
            story = SoakStory(home, server.control, weather, session, lot)
            try:
                await story.live(backups)
            except* NeverSettledError as errors:
                story.ledger.violation(f"after {story.nights} nights: {errors.exceptions}")
        await home.stop()
        if left := gauges.our_tasks():
            story.ledger.violation(f"tasks of ours after the stop: {left}")
        state = server.control.state()
        for text in [*listener.unexpected, *state["violations"]]:
            story.ledger.violation(text)
        files = server.control.files()
        fates = story.ledger.close(files)
    return Outcome(
        seconds=clock.true_time() - began[0],
        passed=clock.utcnow() - began[1],
        fates=fates,
        story=story,
        home=home,
        harm=weather.harm,
        requests=state["counters"],
        log=listener.expected,
    )


def main() -> int:
    """Run; return the exit code: 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--backups", type=int, default=300, metavar="N", help="how many (300)")
    parser.add_argument("--seed", type=int, metavar="S", help="repeat what was drawn at random")
    parser.add_argument(
        "--fail", type=float, default=0.05, metavar="P", help="share of failing requests (0.05)"
    )
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if asked.seed is None else asked.seed
    say(f"{asked.backups} backups, {asked.fail:.0%} of the requests fail, --seed {seed}")
    with (
        tempfile.TemporaryDirectory(prefix="soak_") as directory,
        asyncio.Runner(loop_factory=clock.PutForwardLoop) as runner,
    ):
        outcome = runner.run(soak(Path(directory), asked.backups, seed, asked.fail))
    return report(outcome)


if __name__ == "__main__":
    sys.exit(main())
