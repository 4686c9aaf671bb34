"""Local backups: list them, and read them as they are to be uploaded."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
import logging
from pathlib import Path
from typing import Any

from homeassistant.components.backup import (
    AgentBackup,
    BackupAgent,
    BackupAgentError,
    Folder,
    LocalBackupAgent,
)
from homeassistant.components.backup.manager import BackupManager, BackupManagerState
from homeassistant.components.backup.util import EncryptedBackupStreamer
from homeassistant.core import HomeAssistant
from homeassistant.helpers.hassio import is_hassio

from .archive import ArchiveError, backup_from_dict, check_whole, read_metadata
from .models import BackupId, LocalBackup, id_of
from .plan import Skipped
from .problems import text_of

_LOGGER = logging.getLogger(__name__)

# Only these agents' backups lie on this Home Assistant; asking all would ask every cloud, us
# included.
_LOCAL_DOMAINS = ("backup", "hassio")
# Supervisor's own place comes before its network mounts.
_PREFERRED_AGENTS = ("backup.local", "hassio.local")
# homeassistant/components/backup/backup.py
_CORE_FOLDER = "backups"
_READ_SIZE = 1024 * 1024
_STALLED_AFTER = 300.0

type OpenStream = Callable[[], Coroutine[Any, Any, AsyncIterator[bytes]]]


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found wrong with a version (size and time of change) of a file, or None."""

    version: tuple[int, int]
    fault: str | None


@dataclass(frozen=True, slots=True)
class LocalListing:
    """The good backups, each once, those that can't be uploaded, and the locations that did not
    answer, with the reason: what they have is not gone.
    """

    good: tuple[LocalBackup, ...]
    bad: tuple[Skipped, ...]
    silent: dict[str, str]


class LocalBackups:
    """The backups on this Home Assistant."""

    def __init__(self, hass: HomeAssistant, manager: BackupManager) -> None:
        """Nothing is read yet."""
        self._hass = hass
        self._manager = manager
        self._checked: dict[Path, _Checked] = {}
        self._found: dict[BackupId, Path] = {}

    @property
    def idle(self) -> bool:
        """Tell whether no backup is being made, received or restored: what lies there now is
        complete.
        """
        return self._manager.state is BackupManagerState.IDLE

    @property
    def agents(self) -> list[BackupAgent]:
        """The agents whose backups lie on this Home Assistant."""
        agents = [
            one for one in self._manager.backup_agents.values() if one.domain in _LOCAL_DOMAINS
        ]
        return sorted(agents, key=lambda one: one.agent_id not in _PREFERRED_AGENTS)

    async def list(self) -> LocalListing:
        """Look at all locations. One that fails is named and left out, unless it is Core's own."""
        good: dict[BackupId, LocalBackup] = {}
        bad: dict[BackupId, Skipped] = {}
        silent: dict[str, str] = {}
        agents = self.agents
        if is_hassio(self._hass) and all(agent.domain != "hassio" for agent in agents):
            silent["Supervisor"] = "its locations are not known yet"
        for agent in agents:
            try:
                backups = await agent.async_list_backups()
            except Exception as err:  # noqa: BLE001  (Supervisor's client has errors of its own)
                _LOGGER.warning("Can't list the backups of %s: %s", agent.agent_id, err)
                if not isinstance(agent, LocalBackupAgent):
                    silent[agent.agent_id] = text_of(err)
                    continue
                backups = [*await self._hass.async_add_executor_job(self._read_folder)]
            for listed in backups:
                backup = _presentable(listed)
                backup_id = id_of(backup)
                if backup_id in good:
                    continue
                try:
                    exists = await self._check(agent, listed)
                except (ArchiveError, OSError) as err:
                    bad[backup_id] = Skipped(LocalBackup(backup, agent.agent_id), str(err))
                else:
                    if exists:
                        good[backup_id] = LocalBackup(backup, agent.agent_id)
        return LocalListing(
            good=tuple(good.values()),
            bad=tuple(one for key, one in bad.items() if key not in good),
            silent=silent,
        )

    def source(
        self, local: LocalBackup, password: str | None
    ) -> tuple[AgentBackup, LocalSource | EncryptedSource]:
        """Return a backup as it will lie in Dropbox, encrypted if there is a password, and its
        bytes.

        Raises `BackupAgentError` if its location is gone.
        """
        agent = self._manager.backup_agents.get(local.agent_id)
        if agent is None:
            raise BackupAgentError(f"The location {local.agent_id} is not there any more")
        path = self._path_of(agent, local.backup) if isinstance(agent, LocalBackupAgent) else None
        source = LocalSource(self._hass, agent, local.backup, path)
        if local.backup.protected or password is None:
            return local.backup, source
        streamer = EncryptedBackupStreamer(self._hass, local.backup, source.open, password)
        return streamer.backup(), EncryptedSource(streamer, source)

    async def create(self, own_agent_id: str) -> None:
        """Start a backup as the user has set up automatic ones, or a complete one; return when it
        has begun.

        It lands where the user wants automatic backups, and at least on this Home Assistant or in
        Dropbox. Raises
        `HomeAssistantError` when Home Assistant can't make a backup now.
        """
        settings = self._manager.config.data.create_backup
        configured = bool(settings.agent_ids)
        here = [agent.agent_id for agent in self.agents]
        agent_ids = list(settings.agent_ids)
        if not {own_agent_id, *here} & set(agent_ids):
            agent_ids.append(here[0] if here else own_agent_id)
        supervised = is_hassio(self._hass)
        await self._manager.async_initiate_backup(
            agent_ids=agent_ids,
            include_addons=settings.include_addons,
            include_all_addons=settings.include_all_addons or (supervised and not configured),
            include_database=settings.include_database,
            include_folders=list(Folder)
            if supervised and not configured
            else settings.include_folders,
            include_homeassistant=True,
            name=settings.name,
            password=settings.password,
            with_automatic_settings=configured,
        )

    def password_for(self, agent_id: str) -> str | None:
        """Return the key to encrypt with when a backup goes to this agent, or None if it is to go
        as it is.

        Home Assistant's own rule (`BackupManager._async_upload_backup`): encrypt if there is a key,
        unless the user switched it off for the location.
        """
        config = self._manager.config.data
        agent = config.agents.get(agent_id)
        if agent is not None and not agent.protected:
            return None
        return config.create_backup.password

    async def _check(self, agent: BackupAgent, backup: AgentBackup) -> bool:
        """Raise `ArchiveError` if the archive is not whole; return whether it is still there.

        Supervisor lists a backup only when it is whole. Core lists also what a failed backup left
        behind, and whatever somebody wrote into a backup.json.
        """
        backup_from_dict(backup.as_dict())
        if not isinstance(agent, LocalBackupAgent):
            return True
        try:
            path = self._path_of(agent, backup)
            stat = await self._hass.async_add_executor_job(path.stat)
        except BackupAgentError, FileNotFoundError:
            return False
        version = (stat.st_size, stat.st_mtime_ns)
        known = self._checked.get(path)
        if known is None or known.version != version:
            fault = await self._hass.async_add_executor_job(_fault_of, path)
            known = self._checked[path] = _Checked(version, fault)
        if known.fault is not None:
            raise ArchiveError(known.fault)
        return True

    def _path_of(self, agent: LocalBackupAgent, backup: AgentBackup) -> Path:
        """Return where an archive lies. Raises `BackupAgentError` if it is gone."""
        try:
            return agent.get_backup_path(backup.backup_id)
        except BackupAgentError:
            if (path := self._found.get(id_of(backup))) is None:
                raise
            return path

    def _read_folder(self) -> Sequence[AgentBackup]:
        """Return what lies in Core's folder, read by ourselves: Core's agent lists nothing at all
        when it stumbles over one archive, such as one with a folder that it does not know.
        Blocking.
        """
        backups: dict[BackupId, AgentBackup] = {}
        for path in sorted(Path(self._hass.config.path(_CORE_FOLDER)).glob("*.tar")):
            try:
                with path.open("rb") as file:
                    backup = read_metadata(file, path.stat().st_size)
            except (ArchiveError, OSError) as err:
                _LOGGER.warning("%s can't be uploaded: %s", path.name, err)
                continue
            backups[id_of(backup)] = backup
            self._found[id_of(backup)] = path
        return list(backups.values())


def _presentable(backup: AgentBackup) -> AgentBackup:
    """Return the backup with text where Core passes on whatever is in a backup.json."""
    return replace(
        backup, backup_id=str(backup.backup_id), name=str(backup.name), date=str(backup.date)
    )


def _fault_of(path: Path) -> str | None:
    try:
        check_whole(path)
    except ArchiveError as err:
        return str(err)
    return None


@dataclass(slots=True)
class LocalSource:
    """A local archive as it lies there: a file of Core, or a stream of Supervisor.

    `failure` is what broke the last reading.
    """

    hass: HomeAssistant
    agent: BackupAgent
    backup: AgentBackup
    path: Path | None
    failure: Exception | None = None

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.backup.size

    async def open(self) -> AsyncIterator[bytes]:
        """Return the bytes as Home Assistant's streamers want them."""
        return self.read()

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive. Raises `OSError` or `BackupAgentError` if it is gone or can't be
        read.
        """
        self.failure = None
        if self.path is not None:
            reading = _read_file(self.hass, self.path)
        else:
            reading = _read_stream(lambda: self.agent.async_download_backup(self.backup.backup_id))
        try:
            async with aclosing(reading) as stream:
                async for piece in stream:
                    yield piece
        except (BackupAgentError, OSError) as err:
            self.failure = err
            raise
        except Exception as err:
            # Supervisor's client lets errors of its own and of its connection through.
            self.failure = BackupAgentError(f"It can't be read: {text_of(err)}")
            raise self.failure from err


@dataclass(slots=True)
class StreamSource:
    """An archive that Home Assistant hands out, as often as it is asked for."""

    open_stream: OpenStream
    size: int

    def read(self) -> AsyncGenerator[bytes]:
        """Yield the archive."""
        return _read_stream(self.open_stream)


@dataclass(slots=True)
class EncryptedSource:
    """An archive that is encrypted on its way out.

    One object gives the same bytes at every reading, another object gives others: Home Assistant
    draws new keys.
    """

    streamer: EncryptedBackupStreamer
    plain: LocalSource

    @property
    def size(self) -> int:
        """Bytes of the encrypted archive."""
        return self.streamer.size()

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the encrypted archive. Raises what reading the plain one raises."""
        try:
            async with aclosing(_read_stream(self.streamer.open_stream)) as stream:
                async for piece in stream:
                    yield piece
        finally:
            # Without it the thread that encrypts may wait for a reader for ever.
            await self.streamer.wait()
        if self.plain.failure is not None:
            # The thread ends early then, and keeps to itself why.
            raise self.plain.failure


async def _read_file(hass: HomeAssistant, path: Path) -> AsyncGenerator[bytes]:
    file = await hass.async_add_executor_job(path.open, "rb")
    try:
        while data := await hass.async_add_executor_job(file.read, _READ_SIZE):
            yield data
    finally:
        await asyncio.shield(hass.async_add_executor_job(file.close))


async def _read_stream(open_stream: OpenStream) -> AsyncGenerator[bytes]:
    # Supervisor's streams have no timeout of their own: one that stands still would do so for ever.
    async with asyncio.timeout(_STALLED_AFTER):
        stream = await open_stream()
    try:
        pieces = aiter(stream)
        while True:
            async with asyncio.timeout(_STALLED_AFTER):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    except TimeoutError as err:
        raise BackupAgentError("Home Assistant stopped sending the backup") from err
    finally:
        # Home Assistant 2026.10 leaves closing to the agent. Not every stream can be closed.
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()
