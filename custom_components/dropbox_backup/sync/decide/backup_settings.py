"""What Home Assistant's own backup settings do to backups in Dropbox. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from homeassistant.components.backup.config import BackupConfigData, ScheduleRecurrence

_DAYS_OF_A_WEEK = 7


class Encryption(StrEnum):
    """Whether new backups are encrypted on their way. Users' automations see these values."""

    ON = "on"
    NO_KEY = "no_key"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """The settings of one location, Dropbox.

    `copies`, `days`: how many automatic backups Home Assistant leaves there, and for how long; None
    sets no limit. `days_with_backup`: on how many days of a week it makes one.
    """

    encryption: Encryption
    copies: int | None = None
    days: int | None = None
    days_with_backup: int = _DAYS_OF_A_WEEK

    def beats(self, keep: int) -> bool:
        """Tell whether Home Assistant deletes what is to be kept; `keep`: so many backups, 0 all.

        Of automatic backups it leaves as few as the stricter of its two limits says, whatever we
        keep; it has no say in any others.
        """
        limits = [limit for limit in (self.copies, self._left_by_age) if limit is not None]
        return bool(limits) and (keep == 0 or min(limits) < keep)

    @property
    def by_age(self) -> bool:
        """Tell whether age is the stricter limit."""
        return self.copies is None or (
            self._left_by_age is not None and self._left_by_age < self.copies
        )

    @property
    def _left_by_age(self) -> int | None:
        if self.days is None:
            return None
        return self.days * self.days_with_backup // _DAYS_OF_A_WEEK


NOT_ENCRYPTED = "not_encrypted"


def retention_beats(settings: BackupSettings) -> str:
    """Return what a person accepts by leaving Home Assistant's limits as they are."""
    return f"retention {settings.copies} {settings.days}"


def concerns(settings: BackupSettings, keep: int) -> set[str]:
    """Return what there is to accept. What was accepted under other settings does not count."""
    found = set()
    if settings.encryption is not Encryption.ON:
        found.add(NOT_ENCRYPTED)
    if settings.beats(keep):
        found.add(retention_beats(settings))
    return found


def settings_of(config: BackupConfigData, agent_id: str) -> BackupSettings:
    """Return the settings that hold for a location: its own, or else those for all of them.

    Home Assistant's own rules: `BackupManager._async_upload_backup` for encryption,
    `delete_backups_exceeding_configured_count` and `RetentionConfig` for what is deleted.
    """
    agent = config.agents.get(agent_id)
    retention = (agent.retention if agent else None) or config.retention
    custom = config.schedule.recurrence is ScheduleRecurrence.CUSTOM_DAYS
    return BackupSettings(
        encryption=_encryption(config, agent_id),
        copies=retention.copies,
        days=retention.days,
        # Without a schedule, automations make them as often as they like.
        days_with_backup=len(config.schedule.days) if custom else _DAYS_OF_A_WEEK,
    )


def _encryption(config: BackupConfigData, agent_id: str) -> Encryption:
    if config.create_backup.password is None:
        return Encryption.NO_KEY
    agent = config.agents.get(agent_id)
    return Encryption.OFF if agent is not None and not agent.protected else Encryption.ON
