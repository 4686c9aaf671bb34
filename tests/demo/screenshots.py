"""`scripts/screenshots`: take the pictures of the documentation, in a real browser.

Sets the integration up by clicking, as its users do, so this also tells when the user interface
has changed under the documentation.
"""

import argparse
import asyncio
from collections.abc import AsyncGenerator
import contextlib
import json
import os
from pathlib import Path
import shutil
import sys
import tempfile
import time

from playwright.async_api import BrowserContext, Page, ViewportSize, async_playwright, expect

from tests.demo.dashboard import add_dashboard
from tests.demo.story import MIB, number
from tests.support.home_assistant import LOCAL, free_port, until
from tests.support.world import DOMAIN, World, world

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NAME = "Dropbox Backup"
SIZE = ViewportSize(width=1280, height=900)
# For a dialog that is long, and best seen as a whole.
TALL = ViewportSize(width=1280, height=1240)
# The usual one, because it is to be seen in the address that users register.
PORT = 8123

# Enough to make the pages look lived in.
BACKUPS = (
    ("Before update of the heat pump", 9 * MIB),
    ("Sunday", 11 * MIB),
    ("Before moving the dashboards", 14 * MIB),
)

# One more, to be seen on its way: slow enough to have a picture taken.
UNDER_WAY = ("Before the big update", 60 * MIB)
_LINE = 60.0
_HALFWAY = 45.0

# Cards animate and icons are fetched after a page has opened.
_CALM = 1500
_TIMEOUT = 30_000


async def take(to: Path, browser: str, directory: Path) -> None:
    """Take all pictures."""
    async with (
        world(directory, port=free_port(PORT), line_mbit=_LINE) as running,
        _browser(browser, running) as context,
    ):
        page = await context.new_page()
        page.set_default_timeout(_TIMEOUT)
        expect.set_options(timeout=_TIMEOUT)
        camera = _Camera(page, running, to)
        await camera.set_up_by_clicking()
        await _live_a_little(running)
        await camera.look_around()


async def _live_a_little(running: World) -> None:
    # Or the Backups page offers to set up backups, and nothing else.
    await running.backups.configure(
        automatic_backups_configured=True,
        create_backup={"agent_ids": [LOCAL], "password": "a key of nobody"},
        schedule={"recurrence": "daily"},
    )
    for name, length in BACKUPS:
        await uploaded(running, await make_backup(running, name, length))
    await uploaded(running, await running.backups.create_automatic())


async def make_backup(running: World, name: str, length: int) -> str:
    """Make a backup of about `length` bytes, in the local location only."""
    data = running.home.config / "www" / "floor_plan.bin"
    await asyncio.to_thread(data.write_bytes, os.urandom(length))
    return await running.backups.create(name)


async def uploaded(running: World, backup: str) -> None:
    """Wait until a backup is in Dropbox."""
    agent = await running.agent()

    async def is_uploaded() -> bool:
        details = await running.backups.details(backup)
        return details is not None and agent in details["agents"]

    await until(is_uploaded, within=120)


class _Camera:
    """Walks through the frontend and takes pictures on the way."""

    def __init__(self, page: Page, running: World, to: Path) -> None:
        self._page = page
        self._running = running
        self._to = to

    async def set_up_by_clicking(self) -> None:
        """Add the integration, from the credentials to the end of the config flow."""
        page = self._page
        await self._open("/config/integrations/dashboard")
        await page.get_by_role("button", name="Add integration").click()
        await page.get_by_placeholder("Search for a brand name").fill(NAME)
        await page.locator("ha-integration-list-item", has_text=NAME).first.click()
        dialog = page.locator("dialog-add-application-credential")
        await dialog.locator("input[name=name]").fill("My Dropbox app")
        await dialog.locator("input[name=clientId]").fill(self._running.dropbox.app_key)
        await page.set_viewport_size(TALL)
        await self._picture("application-credentials")
        await page.set_viewport_size(SIZE)
        await dialog.locator("input[name=clientSecret]").fill(self._running.dropbox.app_secret)
        async with page.expect_popup() as opening:
            await dialog.get_by_role("button", name="Add", exact=True).click()
        await self._allow(await opening.value)
        flow = page.locator("dialog-data-entry-flow")
        submit = flow.get_by_role("button", name="Submit")
        await submit.wait_for()
        await self._picture("config-flow-folder")
        await submit.click()
        await flow.get_by_role("button", name="Finish").click()

    async def _allow(self, popup: Page) -> None:
        allow = popup.get_by_role("button", name="Allow")
        await allow.wait_for()
        async with popup.expect_event("close"):
            await allow.click()

    async def look_around(self) -> None:
        """Take the pictures of all pages that show the integration."""
        await self._open(f"/config/integrations/integration/{DOMAIN}")
        await self._picture("integration")
        await self._options()
        await self._open(f"/config/devices/device/{await self._device()}")
        await self._picture("device")
        await self._open("/config/backup/overview")
        await self._picture("backups-overview")
        await self._open("/config/backup/backups")
        await self._picture("backups")
        await self._page.locator("ha-data-table").get_by_text(BACKUPS[-1][0]).click()
        await self._picture("backup-details")
        await self._uploading()

    async def _options(self) -> None:
        flow = self._page.locator("dialog-data-entry-flow")
        await self._page.get_by_role("button", name="Configure").first.click()
        await flow.get_by_role("button", name="Submit").wait_for()
        await self._picture("options")

    async def _uploading(self) -> None:
        """Take the picture of the dashboard while a backup is on its way."""
        running = self._running
        await self._open(await add_dashboard(running))
        progress = (await running.entities())["upload_progress"]

        async def is_halfway() -> bool:
            return number(await running.client.state(progress)) >= _HALFWAY

        backup = await make_backup(running, *UNDER_WAY)
        await until(is_halfway)
        await self._picture("dashboard")
        await uploaded(running, backup)

    async def _device(self) -> str:
        devices = await self._running.client.ws("config/device_registry/list")
        (device,) = [
            device["id"]
            for device in devices
            if any(identifier[0] == DOMAIN for identifier in device["identifiers"])
        ]
        return str(device)

    async def _open(self, path: str) -> None:
        page = self._page
        await page.goto(self._running.home.url + path)
        await page.locator("home-assistant-main").wait_for(state="attached")
        await expect(page.locator("#ha-launch-screen")).to_have_count(0)
        await expect(page.locator("hass-loading-screen")).to_have_count(0)

    async def _picture(self, name: str) -> None:
        await self._page.wait_for_timeout(_CALM)
        path = self._to / f"{name}.png"
        await self._page.screenshot(path=path)
        sys.stdout.write(f"{path}\n")


@contextlib.asynccontextmanager
async def _browser(executable: str, running: World) -> AsyncGenerator[BrowserContext]:
    """Open a browser in which the owner of the Home Assistant is signed in."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable)
        context = await browser.new_context(
            viewport=SIZE,
            color_scheme="light",
            locale="en-GB",
            timezone_id="Europe/Amsterdam",
            # The local Dropbox's certificate is known to Home Assistant, not to the browser.
            ignore_https_errors=True,
        )
        await context.add_init_script(_signed_in(running))
        try:
            yield context
        finally:
            await browser.close()


def _signed_in(running: World) -> str:
    url = running.home.url
    life = 365 * 24 * 3600
    tokens = {
        "hassUrl": url,
        "clientId": f"{url}/",
        "access_token": running.home.account.token,
        "token_type": "Bearer",
        "refresh_token": "",
        "expires_in": life,
        "expires": int((time.time() + life) * 1000),
        "ha_auth_provider": "homeassistant",
    }
    return (
        f"if (location.origin === {json.dumps(url)})"
        f" localStorage.setItem('hassTokens', JSON.stringify({json.dumps(tokens)}))"
    )


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="DIR", help="where they go")
    parser.add_argument(
        "--browser",
        default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium",
        help="Chromium's or Chrome's executable",
    )
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as directory:
        asyncio.run(take(options.to.resolve(), options.browser, Path(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
