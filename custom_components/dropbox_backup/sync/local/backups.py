"""Local backups: list and check them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
import logging
from pathlib import Path

from homeassistant.components.backup import (
    AgentBackup,
    BackupAgent,
    BackupAgentError,
    Folder,
    LocalBackupAgent,
)
from homeassistant.components.backup.config import RetentionParametersDict
from homeassistant.components.backup.manager import BackupManager, BackupManagerState
from homeassistant.core import HomeAssistant
from homeassistant.helpers.hassio import is_hassio

from ...codes import Reason
from ..archive.contents import Contents
from ..archive.metadata import ArchiveError, check_whole, checked, presentable, read_metadata
from ..decide.backup_settings import BackupSettings, Encryption, settings_of
from ..decide.models import BackupId, LocalBackup, Trouble, id_of
from ..decide.plan import Skipped, same_backup
from ..report.problems import UnreadableError, silence_reason, why_of
from .encrypted_source import EncryptedSource
from .local_source import LocalSource, Version
from .sources import as_in_dropbox
from .supervisor import SUPERVISOR_DOMAIN, has_made_backups, supervisor_agents

_LOGGER = logging.getLogger(__name__)

# Only these agents keep backups on this Home Assistant. Asking all would ask every cloud, ours
# included.
_LOCAL_DOMAINS = ("backup", SUPERVISOR_DOMAIN)
# Supervisor's own place comes before its network mounts.
_PREFERRED_AGENTS = ("backup.local", "hassio.local")
# homeassistant/components/hassio/backup.py
_HANDED_OUT = ".cloud_backup"
# homeassistant/components/backup/backup.py
_CORE_FOLDER = "backups"


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found wrong with a version of a file, or None."""

    version: Version
    fault: Reason | None


@dataclass(frozen=True, slots=True)
class LocalListing:
    """The good backups, each once, those that can't be uploaded, and the locations that did not
    answer, with the reason: what they have is not gone.
    """

    good: tuple[LocalBackup, ...]
    bad: tuple[Skipped, ...]
    silent: dict[str, Reason]


class LocalBackups:
    """The backups on this Home Assistant."""

    def __init__(self, hass: HomeAssistant, manager: BackupManager) -> None:
        """Nothing is read yet."""
        self._hass = hass
        self._manager = manager
        self._checked: dict[Path, _Checked] = {}
        self._found: dict[BackupId, Path] = {}
        self._contents: dict[BackupId, tuple[object, Contents | None]] = {}
        # Supervisor's locations, while Home Assistant does not know them.
        self._asked: dict[str, BackupAgent] = {}

    @property
    def idle(self) -> bool:
        """Tell whether no backup is being made, received or restored: what lies there now is
        complete.
        """
        return self._manager.state is BackupManagerState.IDLE

    async def ready(self) -> bool:
        """Tell whether what lies there may be looked at: nothing is being made, or only Home
        Assistant believes so. When Supervisor dies while it makes a backup for Home Assistant, that
        waits for it until it is started again; Supervisor itself lists only what is complete.
        """
        if self._manager.state is not BackupManagerState.CREATE_BACKUP or not is_hassio(self._hass):
            return self.idle
        return not await has_made_backups(self._hass)

    @property
    def agents(self) -> list[BackupAgent]:
        """The agents whose backups lie on this Home Assistant, as far as it knows them."""
        agents = [
            one for one in self._manager.backup_agents.values() if one.domain in _LOCAL_DOMAINS
        ]
        return sorted(agents, key=_preferred_first)

    async def _locations(self, silent: dict[str, Reason]) -> list[BackupAgent]:
        """Return all agents whose backups lie here. If Supervisor's are not known and can't be
        asked for, that is put into `silent`.
        """
        known = self.agents
        self._asked = {}
        if is_hassio(self._hass) and all(one.domain != SUPERVISOR_DOMAIN for one in known):
            try:
                asked = await supervisor_agents(self._hass)
            except Exception as err:  # noqa: BLE001  (its client has errors of its own)
                silent["Supervisor"] = silence_reason(err)
            else:
                self._asked = {one.agent_id: one for one in asked}
        return sorted([*known, *self._asked.values()], key=_preferred_first)

    async def list(self) -> LocalListing:
        """Look at all locations. One that fails is named and left out, unless it is Core's own."""
        good: dict[BackupId, LocalBackup] = {}
        bad: dict[BackupId, Skipped] = {}
        silent: dict[str, Reason] = {}
        for agent in await self._locations(silent):
            try:
                backups = await agent.async_list_backups()
            except Exception as err:  # noqa: BLE001  (Supervisor's client has errors of its own)
                _LOGGER.warning("Can't list the backups of %s: %s", agent.agent_id, err)
                if not isinstance(agent, LocalBackupAgent):
                    silent[agent.agent_id] = silence_reason(err)
                    continue
                backups = [*await self._hass.async_add_executor_job(self._read_folder)]
            for listed in backups:
                backup = presentable(listed)
                backup_id = id_of(backup)
                if backup_id in good:
                    continue
                try:
                    size = await self._check(agent, listed)
                except (ArchiveError, OSError) as err:
                    bad[backup_id] = Skipped(LocalBackup(backup, agent.agent_id), why_of(err))
                else:
                    if size is not None:
                        backup = replace(backup, size=size)
                        good[backup_id] = LocalBackup(backup, agent.agent_id)
        return LocalListing(
            good=tuple(good.values()),
            bad=tuple(one for key, one in bad.items() if key not in good),
            silent=silent,
        )

    async def source_of_copy(
        self, backup: AgentBackup, password: str
    ) -> tuple[AgentBackup, LocalSource | EncryptedSource] | None:
        """Return a backup that Home Assistant hands out as `source` does, from the copy that lies
        here; None if there is none, or if it can't be read.
        """
        agents = [*self.agents, *self._asked.values()]
        if is_hassio(self._hass):
            agents.append(_handed_out_by_supervisor(self._hass))
        for agent in agents:
            try:
                found = presentable(await agent.async_get_backup(backup.backup_id))
                size = await self._check(agent, found)
                if size is not None and same_backup(found, backup):
                    return await self._source_of(agent, replace(found, size=size), password)
            except Exception as err:  # noqa: BLE001  (Supervisor's client has errors of its own)
                _LOGGER.debug("%s can't be read from %s: %s", backup.name, agent.agent_id, err)
        return None

    async def source(
        self, local: LocalBackup, password: str | None
    ) -> tuple[AgentBackup, LocalSource | EncryptedSource]:
        """Return a backup as it will lie in Dropbox, encrypted if there is a password, and its
        bytes: those that were checked when it was listed, and no others.

        What is readable is encrypted, whatever the backup says of itself; what is not goes as it
        is. Raises `BackupAgentError` if its location is gone, or if there is a password and what
        it holds can't be told; and what reading it raises.
        """
        known = {**self._asked, **self._manager.backup_agents}
        agent = known.get(local.agent_id)
        if agent is None:
            raise UnreadableError(Reason.of(Trouble.LOCATION_GONE, location=local.agent_id))
        return await self._source_of(agent, local.backup, password)

    async def _source_of(
        self, agent: BackupAgent, backup: AgentBackup, password: str | None
    ) -> tuple[AgentBackup, LocalSource | EncryptedSource]:
        path, version = None, None
        if isinstance(agent, LocalBackupAgent):
            path = self._path_of(agent, backup)
            version = self._checked[path].version
        source = LocalSource(self._hass, agent, backup, path, version)
        contents = await self._contents_of(source)
        if contents is None:
            if password is not None:
                raise UnreadableError(Trouble.CONTENT_UNKNOWN)
            return backup, source
        return as_in_dropbox(source, backup, contents, password)

    async def _contents_of(self, source: LocalSource) -> Contents | None:
        """Tell what an archive holds, once for each version of it; None if that can't be told."""
        key = id_of(source.backup)
        version = source.version or (source.agent.agent_id, source.backup.date, source.backup.size)
        if (known := self._contents.get(key)) is not None and known[0] == version:
            return known[1]
        try:
            contents = await source.contents()
        except ArchiveError as err:
            _LOGGER.warning("It can't be told what %s holds: %s", source.backup.name, err)
            contents = None
        self._contents[key] = version, contents
        return contents

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

        Home Assistant's own rule: encrypt if there is a key, unless the user switched it off for
        the location.
        """
        if self.settings_for(agent_id).encryption is not Encryption.ON:
            return None
        return self._manager.config.data.create_backup.password

    def settings_for(self, agent_id: str) -> BackupSettings:
        """Return Home Assistant's own settings for a location."""
        return settings_of(self._manager.config.data, agent_id)

    def encrypt_for(self, agent_id: str) -> None:
        """Switch encryption on for a location, in Home Assistant's own settings."""
        self._manager.config.update(agents={agent_id: {"protected": True}})

    def keep_for_ever(self, agent_id: str) -> None:
        """Have Home Assistant delete nothing in a location by its own rules."""
        limits: RetentionParametersDict = {"copies": None, "days": None}
        self._manager.config.update(agents={agent_id: {"retention": limits}})

    async def _check(self, agent: BackupAgent, backup: AgentBackup) -> int | None:
        """Raise `ArchiveError` if the archive is not whole; return its size in bytes, or None if it
        is gone.

        Supervisor lists a backup only when it is whole. Core lists also what a failed backup left
        behind, and whatever somebody wrote into a backup.json; and it looks at sizes only once.
        """
        checked(backup)
        if not isinstance(agent, LocalBackupAgent):
            return backup.size
        try:
            path = self._path_of(agent, backup)
            version = await self._hass.async_add_executor_job(Version.of, path)
        except BackupAgentError, FileNotFoundError:
            return None
        known = self._checked.get(path)
        if known is None or known.version != version:
            fault = await self._hass.async_add_executor_job(_fault_of, path)
            known = self._checked[path] = _Checked(version, fault)
        if known.fault is not None:
            raise ArchiveError(known.fault)
        return version.size

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


def _preferred_first(agent: BackupAgent) -> bool:
    return agent.agent_id not in _PREFERRED_AGENTS


def _handed_out_by_supervisor(hass: HomeAssistant) -> BackupAgent:
    """Return where Supervisor keeps a backup that goes only to other locations, while it does."""
    from homeassistant.components.hassio.backup import (  # noqa: PLC0415  (only there with Supervisor)
        SupervisorBackupAgent,
    )

    return SupervisorBackupAgent(hass, "handed_out", _HANDED_OUT)


def _fault_of(path: Path) -> Reason | None:
    try:
        check_whole(path)
    except ArchiveError as err:
        return err.why
    return None
