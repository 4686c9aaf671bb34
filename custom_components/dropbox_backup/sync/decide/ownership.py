"""Whose a backup is. Pure.

An archive says which Home Assistant made it. Archives that Supervisor made on its own do not: such
a backup belongs to who uploaded it, by the catalog, or, if that is lost, by the journal's note of
the content hash. Only what is proven to be ours is ever deleted by rules.
"""

from collections.abc import Callable
from dataclasses import dataclass

from homeassistant.components.backup import AgentBackup

from .models import BackupId, id_of


def made_by(backup: AgentBackup) -> str | None:
    """Return the id of the Home Assistant that made the backup, if the archive says so."""
    instance = backup.extra_metadata.get("instance_id")
    return instance if isinstance(instance, str) else None


def owner_of(backup: AgentBackup, instance_id: str) -> str:
    """Return whom a backup belongs to that the Home Assistant with `instance_id` uploads."""
    return made_by(backup) or instance_id


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the journal of the Home Assistant with `instance_id` proves. `uploaded` returns the
    content hash that it uploaded for a backup id.
    """

    instance_id: str
    uploaded: Callable[[BackupId], str | None]

    def uploaded_here(self, backup: AgentBackup, content_hash: str) -> bool:
        """Tell whether this very content was uploaded, and so verified, by us."""
        return self.uploaded(id_of(backup)) == content_hash

    def owner(self, backup: AgentBackup, content_hash: str, noted: str | None) -> str | None:
        """Return whom a backup in Dropbox belongs to, None if nothing proves it. `noted`: what the
        catalog says.
        """
        if noted is None and self.uploaded_here(backup, content_hash):
            return self.instance_id
        return noted
