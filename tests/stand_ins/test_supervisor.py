"""The stand-in Supervisor answers as the real one does, so that no defect hides behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, MultipartWriter
import pytest

from tests.support.supervisor import (
    ALL_FOLDERS,
    APP_TOKEN,
    CLOUD,
    TOKEN,
    Contents,
    JobError,
    Supervisor,
    parts,
)

type Asking = Callable[..., Awaitable[tuple[int, Any]]]


class HomeAssistant:
    """What Supervisor says to Home Assistant."""

    def __init__(self) -> None:
        """Nothing was said."""
        self.events: list[dict[str, Any]] = []
        self.commands: list[str] = []

    async def command(self, name: str) -> None:
        """Take a command."""
        self.commands.append(name)


@pytest.fixture
def core() -> HomeAssistant:
    """Listen to Supervisor."""
    return HomeAssistant()


@pytest.fixture
async def supervisor(
    core: HomeAssistant, tmp_path: Path, socket_enabled: None
) -> AsyncIterator[Supervisor]:
    """Run a Supervisor."""
    directory = tmp_path / "supervisor"
    async with Supervisor(directory, core.events.append, core.command, grace=0.1) as running:
        yield running


@pytest.fixture
async def ask(supervisor: Supervisor) -> AsyncIterator[Asking]:
    """Ask it over HTTP; the answer is the status and JSON or text."""
    async with ClientSession() as session:

        async def ask(
            method: str, path: str, token: str | None = TOKEN, **more: Any
        ) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            url = f"http://127.0.0.1:{supervisor.port}/{path}"
            async with session.request(method, url, headers=headers, **more) as answer:
                if answer.content_type == "application/json":
                    return answer.status, await answer.json()
                return answer.status, await answer.text()

        yield ask


async def test_a_full_backup_tells_home_assistant_when_to_hold_still_and_of_every_job(
    core: HomeAssistant, supervisor: Supervisor
) -> None:
    supervisor.add_mount("nas")
    core.events.clear()
    made = await supervisor.make_backup(
        Contents(full=True, addons=("core_ssh", "core_samba"), folders=ALL_FOLDERS)
    )

    assert core.commands == ["backup/start", "backup/end"]
    states = [one["data"]["state"] for one in core.events if one["event"] == "supervisor_update"]
    assert states == ["freeze", "running"]
    jobs = [one["data"] for one in core.events if one["event"] == "job"]
    assert 40 <= len(jobs) <= 50
    top = [job for job in jobs if job["parent_id"] is None]
    assert top[0]["done"] is None
    assert (top[-1]["stage"], top[-1]["done"]) == ("await_addon_restarts", True)
    assert top[-1]["reference"] == made.slug
    assert not any("child_jobs" in job for job in jobs)
    assert list(made.paths) == ["nas"], "the first share is the default"


async def test_its_archives_are_as_the_real_ones(supervisor: Supervisor) -> None:
    contents = Contents(
        addons=("core_ssh",), folders=ALL_FOLDERS, supervisor=True, password="correct horse"
    )
    made = await supervisor.make_backup(contents)
    archive = await asyncio.to_thread(made.path().read_bytes)
    found = await asyncio.to_thread(parts, archive, "correct horse")
    assert list(found) == [
        *("homeassistant.tar.gz", "core_ssh.tar.gz", "share.tar.gz", "addons_local.tar.gz"),
        *("ssl.tar.gz", "media.tar.gz", "supervisor.tar.gz"),
    ]


async def test_one_backup_at_a_time(ask: Asking, supervisor: Supervisor) -> None:
    supervisor.packing.clear()
    _, first = await ask("POST", "backups/new/partial", json={"folders": ["ssl"]})
    assert first["result"] == "ok"
    begun = asyncio.create_task(supervisor.make_backup(Contents()))
    await asyncio.sleep(0.05)

    status, answer = await ask("POST", "backups/new/full")
    assert status == 400
    assert answer["message"].endswith("system is not running - freeze")
    supervisor.packing.set()
    await begun
    _, jobs = await ask("GET", "jobs/info")
    names = [job["name"] for job in jobs["data"]["jobs"]]
    assert names.count("backup_manager_partial_backup") == 2, "finished ones are kept"


@pytest.mark.parametrize(
    ("token", "path", "status", "text"),
    [
        (None, "backups", 401, "401: Unauthorized"),
        ("wrong", "backups", 403, "403: Forbidden"),
        (TOKEN, "no/such/path", 404, "404: Not Found"),
    ],
)
async def test_what_is_no_business_of_its_is_refused_in_plain_text(
    ask: Asking, token: str | None, path: str, status: int, text: str
) -> None:
    assert await ask("GET", path, token) == (status, text)


async def test_refusals_with_their_reasons(ask: Asking, supervisor: Supervisor) -> None:
    made = await supervisor.make_backup(Contents(password="correct horse"))
    path = f"backups/{made.slug}"

    status, answer = await ask("POST", "backups/new/full", json={"surprise": 1})
    assert (status, answer["message"][:22]) == (400, "extra keys not allowed")
    status, answer = await ask("POST", "backups/new/full", json={"location": "attic"})
    assert (status, answer["error_key"]) == (404, "mount_not_found_error")
    status, answer = await ask("GET", f"{path}/download?location=attic")
    assert (status, answer["message"]) == (400, f"Backup {made.slug} is not in location attic")
    status, answer = await ask("GET", f"{path}/download?location={CLOUD}", APP_TOKEN)
    assert status == 403
    status, answer = await ask(
        "POST", f"{path}/restore/partial", json={"password": "wrong", "homeassistant": True}
    )
    assert (status, answer["message"]) == (400, f"Invalid password for backup {made.slug}")
    with MultipartWriter("form-data") as rubbish:
        rubbish.append(b"rubbish")
        status, answer = await ask("POST", "backups/new/upload", data=rubbish)
    assert (status, answer["message"]) == (400, "Unknown error, see Supervisor logs")
    assert (await ask("GET", "backups/12345678/info"))[0] == 404


async def test_the_same_file_name_twice_is_refused(ask: Asking, supervisor: Supervisor) -> None:
    wanted = {"homeassistant": True, "filename": "mine.tar"}
    assert (await ask("POST", "backups/new/partial", json=wanted))[0] == 200
    status, answer = await ask("POST", "backups/new/partial", json=wanted)
    assert (status, answer["message"][:40]) == (400, "An error occurred while making backup, c")
    [made] = supervisor.store.backups.values()
    assert made.path().name == "mine.tar"


async def test_another_backup_with_the_same_id_is_not_taken(
    ask: Asking, supervisor: Supervisor, tmp_path: Path
) -> None:
    made = await supervisor.make_backup(Contents())
    archive = await asyncio.to_thread(made.path().read_bytes)
    for content, status in ((archive, 200), (archive.replace(b"2026.11.0", b"2026.12.0"), 400)):
        with MultipartWriter("form-data") as form:
            form.append(content)
            answered, answer = await ask("POST", "backups/new/upload", data=form)
        assert answered == status
    assert answer["message"].startswith("Cannot import backup")


async def test_a_download_is_a_file_that_can_be_asked_for_in_part(
    supervisor: Supervisor,
) -> None:
    made = await supervisor.make_backup(Contents())
    archive = await asyncio.to_thread(made.path().read_bytes)
    url = f"http://127.0.0.1:{supervisor.port}/backups/{made.slug}/download"
    async with ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        async with session.get(url) as answer:
            assert await answer.read() == archive
            wanted = ("Content-Length", "Accept-Ranges", "ETag", "Last-Modified")
            assert all(name in answer.headers for name in wanted)
            etag = answer.headers["ETag"]
        headers = {"Range": "bytes=1000-", "If-Range": etag}
        async with session.get(url, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (206, archive[1000:])
        async with session.get(url, headers={"Range": f"bytes={len(archive)}-"}) as answer:
            assert answer.status == 416


async def test_what_has_vanished_is_noticed_when_it_is_fetched(
    ask: Asking, supervisor: Supervisor
) -> None:
    made = await supervisor.make_backup(Contents())
    made.path().unlink()
    assert await ask("GET", f"backups/{made.slug}/download") == (404, "")
    assert (await ask("GET", "backups"))[1]["data"]["backups"] == []


async def test_fields_of_a_backup(ask: Asking, supervisor: Supervisor) -> None:
    supervisor.add_mount("nas")
    made = await supervisor.make_backup(Contents(password="secret"), "nas", CLOUD)
    size = made.path().stat().st_size
    for one in (
        (await ask("GET", "backups"))[1]["data"]["backups"][0],
        (await ask("GET", f"backups/{made.slug}/info"))[1]["data"],
    ):
        assert one["size_bytes"] == size
        assert one["location"] == "nas"
        assert one["protected"] is True
        assert one["location_attributes"] == {"nas": {"protected": True, "size_bytes": size}}


async def test_a_supervisor_that_starts_answers_but_refuses(
    ask: Asking, core: HomeAssistant, supervisor: Supervisor
) -> None:
    await supervisor.kill()
    core.events.clear()
    await supervisor.start(ready=False)
    status, answer = await ask("GET", "backups")
    assert (status, answer["message"]) == (400, "System is not ready with state: setup")
    supervisor.ready()
    assert (await ask("GET", "backups"))[0] == 200
    assert core.events[-1]["data"] == {"state": "running"}


async def test_a_supervisor_that_dies_while_it_packs_never_ends_it(
    core: HomeAssistant, supervisor: Supervisor
) -> None:
    supervisor.packing.clear()
    made = asyncio.create_task(supervisor.make_backup(Contents()))
    while not core.commands:  # noqa: ASYNC110  (there is nothing else to wait for)
        await asyncio.sleep(0.01)
    await supervisor.kill()
    with pytest.raises(asyncio.CancelledError):
        await made
    assert core.commands == ["backup/start"]
    with pytest.raises(JobError):
        await supervisor.make_backup(Contents())


async def test_a_freeze_is_over_with_the_thaw(core: HomeAssistant, ask: Asking) -> None:
    assert (await ask("POST", "backups/freeze"))[0] == 200
    ended = [one["data"] for one in core.events if one["event"] == "job"][-1]
    assert (ended["name"], ended["done"]) == ("backup_manager_freeze_all", True)
    assert core.commands == ["backup/start"], "it is frozen now, although that job has ended"
    assert (await ask("POST", "backups/thaw"))[0] == 200
    assert core.commands == ["backup/start", "backup/end"]
