"""A real Home Assistant at a local Dropbox, whose power can be cut at any moment."""

import asyncio
from collections.abc import AsyncGenerator
import contextlib
from dataclasses import dataclass
import hashlib
import json
import logging
import math
from pathlib import Path
import random
import tarfile
from typing import Any, Self

import aiohttp

from custom_components.dropbox_backup.dropbox_api.upload.upload import Lane, UploadPool
from custom_components.dropbox_backup.sync.decide.file_names import CATALOG_NAME
from tests.support.dropbox_server import Fault, hash_file
from tests.support.home_assistant import JsonObject, until
from tests.support.home_assistant.backups import LOCAL
from tests.support.world import DOMAIN, World, world

_LOGGER = logging.getLogger(__name__)

MIB = 1 << 20

# So slow that 64 MiB take three seconds and a half: time enough to be interrupted.
LINE_MBIT = 160.0
_BYTES_PER_SECOND = LINE_MBIT * 1e6 / 8

# A retention of one: every new backup has the one before it deleted, so that this is tested too.
_KEEP = 1

_SETTLED_WITHIN = 60.0
_REQUEST_WITHIN = 30.0
_LOOK_AGAIN = 0.01

_KEY = "test-key-test-key"

_SEND = "files/upload_session/append_v2"
_SEND_SMALL = "files/upload"


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup as it lies in Home Assistant's own folder."""

    backup_id: str
    path: Path
    size: int
    content_hash: str


def bytes_in_flight() -> int:
    """Return how much may be on its way when the power goes: sent, and not yet noted as sent."""
    lane = Lane(UploadPool())
    return lane.pool.chunk_size * lane.pool.slots.free


class House:
    """Home Assistant, signed in; and what it has to have in Dropbox."""

    def __init__(self, running: World) -> None:
        self.kills = 0
        self._world = running
        self._home = running.home
        self._dropbox = running.dropbox.control
        self._entities: dict[str, str] = {}
        self._made: list[Archive] = []
        self._safe: dict[int, float] = {}  # since when a chunk at an offset is not to be sent again
        self._newest = 0  # of the nights whose backup was seen in Dropbox
        self._encrypts = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, directory: Path) -> AsyncGenerator[Self]:
        """Start both programs, sign in, and have Home Assistant write that down."""
        async with world(directory, line_mbit=LINE_MBIT) as running:
            house = cls(running)
            await house._sign_in()
            yield house

    async def _sign_in(self) -> None:
        entry = await self._world.sign_in()
        options = await self._world.flows.options(entry["entry_id"])
        await self._world.flows.answer_options(options, keep=_KEEP)
        await until(self._is_loaded, within=_SETTLED_WITHIN)
        self._entities = await self._world.entities()
        # An orderly stop writes everything, which otherwise happens up to ten seconds late.
        await self._home.stop()
        await self._home.start()

    async def _is_loaded(self) -> bool:
        [entry] = await self._world.client.config_entries(DOMAIN)
        return bool(entry["state"] == "loaded")

    # What the user does

    async def make_backup(self, size: int) -> Archive:
        """Have Home Assistant make a backup with `size` bytes that no compression makes smaller.

        The one before is removed from Home Assistant, not from Dropbox.
        """
        for earlier in self._made:
            earlier.path.unlink(missing_ok=True)
        self._dropbox.clear_log()
        self.kills = 0
        self._safe.clear()
        filling = self._home.config / "filling.bin"
        filling.write_bytes(random.randbytes(size))
        backup_id = await self._world.backups.create(f"Night {len(self._made) + 1}")
        path = self._world.backups.local_file(backup_id)
        archive = Archive(backup_id, path, path.stat().st_size, hash_file(path))
        self._made.append(archive)
        return archive

    async def encrypt_from_now_on(self) -> None:
        """Set an encryption key. What lies on Home Assistant stays as it is: it is encrypted on its
        way to Dropbox.
        """
        await self._world.backups.configure(create_backup={"agent_ids": [LOCAL], "password": _KEY})
        self._encrypts = True
        await self._home.stop()  # writes it down
        await self._home.start()

    # Power cuts

    async def cut_power_after(self, seconds: float) -> None:
        """Kill Home Assistant so many seconds after it has begun to send, and start it again."""
        await self._begun_to_send()
        await asyncio.sleep(seconds)
        await self._cut_power()

    async def cut_power_at(self, fault: Fault) -> None:
        """Kill Home Assistant when a request is where the fault holds it, and start it again."""
        self._dropbox.add_fault(fault)
        await self._soon(
            lambda: any(self._is_held(one, fault) for one in self._dropbox.log(fault.route)),
            f"{fault.route} is held",
        )
        await self._cut_power()

    @staticmethod
    def _is_held(request: JsonObject, fault: Fault) -> bool:
        if fault.kind.value not in request["faults"] or request["duration"]:
            return False
        if fault.when == "after":
            return bool(request["processed"])
        return bool(request["bytes_received"] >= fault.after_bytes)

    async def _begun_to_send(self) -> None:
        """Wait until Home Assistant sends, or has no reason to any more."""
        before = len(self._sending())
        await self._soon(
            lambda: len(self._sending()) > before or self._is_in_dropbox(self._made[-1]),
            "an upload has begun",
        )

    async def _cut_power(self) -> None:
        await self._home.kill()
        self._take_note_of_what_is_safe()
        self.kills += 1
        _LOGGER.info(
            "Killed when %d of %d bytes were sent", self._bytes_sent(), self._made[-1].size
        )
        self._dropbox.clear_faults()
        self.check_dropbox()
        await self._home.start()

    def _take_note_of_what_is_safe(self) -> None:
        """Note which chunks Home Assistant has written down as acknowledged.

        How many may be acknowledged and not yet written down is bounded by `check_arrived`.
        """
        now = self._dropbox.state()["clock"]
        for session in self._sessions():
            for index in (*range(session["arrived"]), *(ahead for ahead, _ in session["ahead"])):
                self._safe.setdefault(index * session["chunk_size"], now)

    async def _soon(self, condition: Any, wanted: str) -> None:
        try:
            async with asyncio.timeout(_REQUEST_WITHIN):
                while not condition():  # noqa: ASYNC110  (the other side is a process)
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise AssertionError(f"not within {_REQUEST_WITHIN:.0f} s: {wanted}") from None

    # What must be so

    def seconds_to_send(self, archive: Archive) -> float:
        """Return how long it will take to send what is missing, and to note that it was sent."""
        missing = max(0, archive.size - self._bytes_sent())
        return missing / _BYTES_PER_SECOND + 0.5

    def check_dropbox(self) -> None:
        """Check what must be so at any moment: all archives are whole, the newest one stays."""
        nights = [self._night_of(file) for file in self._tars()]
        assert None not in nights, "an archive in Dropbox is none of ours"
        assert len(set(nights)) == len(nights), "a backup is in Dropbox twice"
        newest = max((night for night in nights if night is not None), default=0)
        assert newest >= self._newest, "the newest good backup was deleted"
        self._newest = newest

    async def check_arrived(self, archive: Archive) -> None:
        """Check what must be so at last: one copy, the same, proven, and nothing else left over."""
        await self._settled(archive)
        self.check_dropbox()
        [tar] = self._tars()
        assert archive.backup_id in tar["path"]
        await self._check_content(archive, Path(tar["path_on_disk"]))
        assert archive.path.exists(), "local backups are Home Assistant's own business"
        others = {Path(file["path"]).name for file in self._dropbox.files()} - {
            Path(tar["path"]).name
        }
        assert others == {CATALOG_NAME}
        self._check_catalog(archive, Path(tar["path"]), tar["content_hash"])
        again = [
            one
            for one in self._dropbox.log(_SEND)
            if one["time"] > self._safe.get(_offset(one), math.inf)
        ]
        assert again == [], "what had arrived was sent again"
        assert self._bytes_sent() <= tar["size"] + self.kills * bytes_in_flight()
        await self._check_home_assistant(archive)

    async def _check_content(self, archive: Archive, stored: Path) -> None:
        if not self._encrypts:
            assert hash_file(stored) == archive.content_hash
            return
        assert _inner(stored) != _inner(archive.path), "it is not encrypted"
        decrypted = self._home.config / "decrypted.tar"
        agent = await self._world.agent()
        await self._world.backups.download(archive.backup_id, agent, decrypted, password=_KEY)
        assert _inner(decrypted) == _inner(archive.path)

    def _check_catalog(self, archive: Archive, tar: Path, content_hash: str) -> None:
        text = self._dropbox.read(str(tar.with_name(CATALOG_NAME)))
        catalog = json.loads(text)["backups"]
        assert list(catalog) == [tar.name]
        entry = catalog[tar.name]
        assert entry["content_hash"] == content_hash
        assert entry["backup"]["backup_id"] == archive.backup_id
        assert entry["verified"]
        assert entry["owner"]

    async def _check_home_assistant(self, archive: Archive) -> None:
        details = await self._world.backups.details(archive.backup_id)
        assert details is not None
        assert len(details["agents"]) == 2, "here and in Dropbox"
        assert self._home.problems_of(DOMAIN) == []
        assert self._dropbox.state()["violations"] == []
        # The one that is used up goes together with its backup.
        assert {one["backup_id"] for one in self._sessions()} <= {archive.backup_id}

    def _sessions(self) -> list[JsonObject]:
        """Return the open upload sessions that Home Assistant has written down."""
        storage = self._home.config / ".storage"
        (journal,) = (one for one in storage.glob(f"{DOMAIN}.*") if one.suffix != ".listing")
        sessions: list[JsonObject] = json.loads(journal.read_text())["data"]["sessions"]
        return sessions

    async def _settled(self, archive: Archive) -> None:
        shown: dict[str, Any] = {}
        fine: set[tuple[str, str | None]] = {("up_to_date", None)}
        if not self._encrypts:  # which is known of what was uploaded in one go
            fine.add(("needs_attention", "not_encrypted"))

        async def sensors_are_right() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                shown.update(await self._sensors())
            return (
                (shown.get("status"), shown["problem_kind"]) in fine
                and shown["waiting"] == "0"
                and float(shown["upload_progress"]) == 0
                and shown["backups_in_dropbox"] == "1"
                and shown["backups"] == {archive.backup_id: True}
            )

        try:
            await until(sensors_are_right, within=_SETTLED_WITHIN)
        except TimeoutError:
            problems = "\n".join(str(one) for one in self._home.problems_of(DOMAIN))
            raise AssertionError(
                f"{archive.backup_id} did not arrive and settle: {shown}\n{problems}"
            ) from None

    async def _sensors(self) -> dict[str, Any]:
        """Return the states, and which backups are listed and whether they are verified."""
        states = await self._world.client.states()
        found: dict[str, Any] = {
            key: states[entity]["state"]
            for key, entity in self._entities.items()
            if entity in states
        }
        listed = states[self._entities["backups_in_dropbox"]]["attributes"].get("backups", [])
        return found | {
            "problem_kind": states[self._entities["problem"]]["attributes"].get("kind"),
            "backups": {one["backup_id"]: one["verified"] for one in listed},
        }

    # What the local Dropbox has seen

    def _tars(self) -> list[JsonObject]:
        return [file for file in self._dropbox.files() if file["path"].endswith(".tar")]

    def _is_in_dropbox(self, archive: Archive) -> bool:
        night = self._made.index(archive) + 1
        return any(self._night_of(file) == night for file in self._tars())

    def _night_of(self, file: JsonObject) -> int | None:
        """Return which of the backups a file is: by its content, or, if it was encrypted on its
        way, by its name.
        """
        for night, one in enumerate(self._made, start=1):
            if file["content_hash"] == one.content_hash:
                return night
            if self._encrypts and one.backup_id in file["path"]:
                return night
        return None

    def _sending(self) -> list[JsonObject]:
        """Return the requests that carried parts of archives."""
        small = [one for one in self._dropbox.log(_SEND_SMALL) if ".tar" in str(one["argument"])]
        return self._dropbox.log(_SEND) + small

    def _bytes_sent(self) -> int:
        return sum(one["bytes_received"] for one in self._sending())


def _inner(archive: Path) -> str:
    """Return a hash of the archive in the archive: Home Assistant's own files."""
    with tarfile.open(archive) as outer:
        file = outer.extractfile("homeassistant.tar.gz")
        assert file is not None
        return hashlib.sha256(file.read()).hexdigest()


def _offset(request: JsonObject) -> int:
    """Return where in the archive a chunk belongs."""
    offset: int = json.loads(request["argument"])["cursor"]["offset"]
    return offset
