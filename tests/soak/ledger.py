"""The books: what was made, where it is, and if it is gone, who took it and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
import tarfile
from typing import Any

from homeassistant.components.backup import AgentBackup
from homeassistant.util import dt as dt_util

from custom_components.dropbox_backup.codes import Reason
from custom_components.dropbox_backup.sync.decide.plan import WhySkipped
from custom_components.dropbox_backup.sync.report.state import State
from tests.soak.home import Told
from tests.support.dropbox_server import hash_file

_RETENTION = "older than the newest "


class Fate(StrEnum):
    """What can become of a backup. Everything else is a loss."""

    INTACT = "in Dropbox, intact"
    RETENTION = "deleted by retention, with the reason"
    USER = "deleted by the user"
    SKIPPED = "not uploaded, with the reason"
    REFUSED = "damaged, refused with the reason"
    LOST = "LOST"


@dataclass(slots=True)
class Account:
    """One backup's page. `content_hash` is unknown if it never lay on this Home Assistant."""

    name: str
    backup_id: str = ""
    date: str = ""
    size: int = 0
    content_hash: str | None = None
    damaged: bool = False
    present: bool = False
    arrived: bool = False
    deleted_by_user: bool = False
    deleted_because: str | None = None
    skipped_because: Reason | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so, now that nothing is under way.

    `files`: all in the backup folder, as the local Dropbox's control API lists them. `told`: what
    the event entity said since the last time.
    """

    files: list[dict[str, Any]]  # JSON
    local: Mapping[str, AgentBackup]
    state: State
    keep: int
    told: Iterable[Told]


class Ledger:
    """All accounts; and `violations` of what we promise, in words."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.foreign: dict[str, str] = {}  # content hashes by path
        self.violations: list[str] = []
        self.told: Counter[str] = Counter()

    def made(self, name: str, backup: AgentBackup | None, path: Path | None) -> Account:
        """Open an account, with what lies on this Home Assistant if anything does."""
        account = self.accounts[name] = Account(name)
        if backup is not None and path is not None:
            account.backup_id = backup.backup_id
            account.date = backup.date
            account.size = backup.size
            account.content_hash = hash_file(path)
        return account

    def violation(self, text: str) -> None:
        self.violations.append(text)

    # Balancing

    def balance(self, facts: Facts) -> None:
        """Compare what is so with what must be so."""
        for one in facts.told:
            self.told[one.kind] += 1
            account = self.accounts.get(one.name)
            if one.kind == "uploaded" and account is not None:
                account.arrived = True
            if one.kind != "deleted":
                continue
            if account is None:
                self.violation(f"{one.name} is none of ours and was deleted: {one.reason}")
            elif one.reason and one.reason.startswith(_RETENTION):
                account.deleted_because = one.reason
        present = self._files_of_ours(facts)
        self._check_foreign(facts)
        for account in self.accounts.values():
            self._compare(account, present, facts)
        self._check_state(present, facts)

    def _files_of_ours(self, facts: Facts) -> dict[str, dict[str, Any]]:
        present: dict[str, dict[str, Any]] = {}
        for file in facts.files:
            name = _name_of(file)
            if file["path"] in self.foreign or name not in self.accounts:
                continue
            if name in present:
                self.violation(f"{name} is in Dropbox twice")
            present[name] = file
        return present

    def _check_foreign(self, facts: Facts) -> None:
        there = {file["path"]: file["content_hash"] for file in facts.files}
        for path, content in self.foreign.items():
            if there.get(path) != content:
                self.violation(f"{path} is not ours, and was touched")
        self.foreign = {path: content for path, content in self.foreign.items() if path in there}

    def _compare(
        self, account: Account, present: Mapping[str, dict[str, Any]], facts: Facts
    ) -> None:
        file = present.get(account.name)
        if file is not None:
            self._check_file(account, file)
            account.present = account.arrived = True
            account.deleted_because = None
            account.deleted_by_user = False
            return
        if account.present:
            self._check_loss(account, facts)
        account.present = False
        if account.name in facts.local:
            self._check_reason(account, facts)

    def _check_file(self, account: Account, file: dict[str, Any]) -> None:
        if account.content_hash is None:
            account.content_hash = file["content_hash"]
            account.size = file["size"]
            read_every_member(Path(file["path_on_disk"]))
        if file["content_hash"] != account.content_hash:
            self.violation(f"{account.name} in Dropbox is not what was made")
        if account.damaged:
            self.violation(f"{account.name} is damaged and was uploaded all the same")

    def _check_loss(self, account: Account, facts: Facts) -> None:
        if account.deleted_by_user:
            return
        if account.deleted_because is None:
            self.violation(f"{account.name} is gone from Dropbox, and nobody said why")
            return
        newer = self._newer_in_dropbox(account, facts)
        if facts.keep == 0 or newer < facts.keep:
            self.violation(
                f"{account.name} was deleted ({account.deleted_because}) although only {newer} "
                f"newer ones are there and {facts.keep} are to be kept"
            )

    def _check_reason(self, account: Account, facts: Facts) -> None:
        """Check why what lies here is not in Dropbox."""
        reason = _reasons(facts.state).get(account.backup_id)
        account.skipped_because = reason
        if reason is None:
            self.violation(f"{account.name} lies here, is not in Dropbox, and nobody says why")
        elif reason.code is WhySkipped.SURPLUS:
            if self._newer_in_dropbox(account, facts) < facts.keep:
                self.violation(f"{account.name} is not uploaded for a wrong reason: {reason}")
        elif reason.code is WhySkipped.DISMISSED:
            if not account.deleted_by_user:
                self.violation(f"{account.name} was never deleted on purpose")
        elif not account.damaged:
            self.violation(f"{account.name} is not uploaded: {reason}")

    def _newer_in_dropbox(self, account: Account, facts: Facts) -> int:
        dates = (
            date_of(one.backup)
            for one in facts.state.backups
            if one.owner == facts.state.instance_id and one.verified
        )
        mine = dt_util.parse_datetime(account.date, raise_on_error=True)
        return sum(date > mine for date in dates)

    def _check_state(self, present: Mapping[str, dict[str, Any]], facts: Facts) -> None:
        """Check that Home Assistant shows what is there."""
        shown = {one.backup.name: one for one in facts.state.backups}
        for name, file in present.items():
            one = shown.get(name)
            if one is None:
                self.violation(f"{name} is in Dropbox and Home Assistant does not show it")
                continue
            account = self.accounts[name]
            account.backup_id, account.date = one.backup.backup_id, one.backup.date
            if one.verified is None or one.owner != facts.state.instance_id:
                self.violation(f"{name} is not known to be ours and verified")
            if one.file.rev != file["rev"]:
                self.violation(f"{name} is shown in another revision than the one in Dropbox")
        for name in shown.keys() & self.accounts.keys() - present.keys():
            self.violation(f"{name} is shown and is not in Dropbox")
        if facts.keep and not facts.state.unconfirmed and len(present) > facts.keep:
            self.violation(f"{len(present)} backups are in Dropbox, {facts.keep} were to be kept")

    # Closing

    def close(self, files: Iterable[dict[str, Any]]) -> Counter[Fate]:
        """Read every byte that is in Dropbox; return how many backups had which fate."""
        for file in files:
            account = self.accounts.get(_name_of(file))
            if account is not None and hash_file(Path(file["path_on_disk"])) != (
                account.content_hash
            ):
                self.violation(f"{account.name} in Dropbox is damaged")
        fates: Counter[Fate] = Counter()
        for account in self.accounts.values():
            fate = _fate_of(account)
            fates[fate] += 1
            if fate is Fate.LOST:
                self.violation(f"{account.name} is not accounted for: {account}")
        return fates


def date_of(backup: AgentBackup) -> Any:
    """Return when a backup was made."""
    return dt_util.parse_datetime(backup.date, raise_on_error=True)


def _fate_of(account: Account) -> Fate:
    if account.present:
        return Fate.INTACT
    if account.damaged and account.skipped_because:
        return Fate.REFUSED
    if account.deleted_by_user:
        return Fate.USER
    if account.arrived and account.deleted_because:
        return Fate.RETENTION
    if not account.arrived and account.skipped_because:
        return Fate.SKIPPED
    return Fate.LOST


def _reasons(state: State) -> dict[str, Reason]:
    """Return why backups are not uploaded, by id."""
    skipped = [*(state.plan.skipped if state.plan else ()), *state.refused]
    return {one.local.backup.backup_id: one.reason for one in skipped}


def _name_of(file: dict[str, Any]) -> str:
    """Return the backup's name: no name of the soak's has an underscore."""
    name: str = file["path"].rpartition("/")[2]
    return name.partition("_")[0]


def read_every_member(path: Path) -> None:
    """Raise `tarfile.TarError` unless the archive, and the compressed one in it, can be read."""
    with tarfile.open(path) as outer:
        for member in outer:
            inner = outer.extractfile(member)
            if inner is None or not member.name.endswith(".tar.gz"):
                continue
            with tarfile.open(fileobj=inner, mode="r|gz") as tar:
                for one in tar:
                    if (content := tar.extractfile(one)) is not None:
                        content.read()
