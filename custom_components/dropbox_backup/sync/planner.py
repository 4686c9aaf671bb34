"""Makes the plan from what is known now."""

from collections.abc import Sequence, Set as AbstractSet
from dataclasses import replace
from functools import partial

from homeassistant.core import HomeAssistant

from .decide.models import BackupId, LocalBackup
from .decide.plan import Plan, make_plan
from .pruner import Pruner
from .remote.folder import BackupFolder
from .storage.journal import Journal
from .upload.gate import Gate


class Planner:
    """Gathers what the plan depends on."""

    def __init__(
        self,
        hass: HomeAssistant,
        folder: BackupFolder,
        journal: Journal,
        gate: Gate,
        pruner: Pruner,
        instance_id: str,
    ) -> None:
        """Keep where that is known."""
        self._hass = hass
        self._folder = folder
        self._journal = journal
        self._gate = gate
        self._pruner = pruner
        self._instance_id = instance_id

    async def plan(
        self,
        local: Sequence[LocalBackup],
        *,
        unproven: AbstractSet[BackupId] = frozenset(),
        unlike: AbstractSet[BackupId] = frozenset(),
    ) -> Plan:
        """Return what to do now with these local backups; what the others are, says `make_plan`.

        With a thousand backups that takes a moment of a small board, so it is a thread's.
        """
        policy, notes = self._gate.policy, self._journal.notes
        if notes.everything_wanted:
            policy = replace(policy, upload_automatically=True)
        begun = {
            backup_id
            for backup_id, session in notes.sessions.items()
            if session.arrived or session.ahead
        }
        return await self._hass.async_add_executor_job(
            partial(
                make_plan,
                local,
                self._folder.backups,
                policy,
                self._instance_id,
                dismissed=frozenset(notes.dismissed),
                unproven=frozenset(unproven),
                unlike=frozenset(unlike),
                wanted=frozenset(notes.wanted),
                begun=begun,
                declined=self._pruner.declined,
            )
        )
