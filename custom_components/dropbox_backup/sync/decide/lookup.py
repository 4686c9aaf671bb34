"""Which backups a person means: by their ids, or by names that only one backup has. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from homeassistant.components.backup import AgentBackup

from .models import BackupId, id_of


@dataclass(frozen=True, slots=True)
class Meant:
    """`ids`: what was found, in the order in which it was given, each once. `unknown`: what is
    neither an id nor a name. `ambiguous`: the backups that share a name, by that name.
    """

    ids: tuple[BackupId, ...]
    unknown: tuple[str, ...] = ()
    ambiguous: tuple[tuple[str, tuple[AgentBackup, ...]], ...] = ()


def look_up(given: Iterable[str], backups: Iterable[AgentBackup]) -> Meant:
    """Return which backups are meant. What is an id is never taken for a name."""
    by_id = {id_of(one): one for one in backups}
    by_name: dict[str, list[AgentBackup]] = {}
    for one in by_id.values():
        by_name.setdefault(one.name, []).append(one)
    ids: dict[BackupId, None] = {}
    unknown: list[str] = []
    ambiguous: dict[str, tuple[AgentBackup, ...]] = {}
    for text in given:
        named = by_name.get(text, [])
        if BackupId(text) in by_id:
            ids[BackupId(text)] = None
        elif len(named) == 1:
            ids[id_of(named[0])] = None
        elif named:
            ambiguous[text] = tuple(named)
        else:
            unknown.append(text)
    return Meant(tuple(ids), tuple(unknown), tuple(ambiguous.items()))
