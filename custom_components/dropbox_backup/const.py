"""Constants of the Dropbox Backup integration."""

from datetime import timedelta
from typing import Final

DOMAIN: Final = "dropbox_backup"

CONF_IMPLEMENTATION: Final = "auth_implementation"  # Home Assistant's own name for the app
CONF_FOLDER: Final = "folder"
CONF_UPLOAD_AUTOMATICALLY: Final = "upload_automatically"
CONF_CHECK_INTERVAL: Final = "check_interval"  # hours
CONF_KEEP: Final = "keep"
CONF_ALARM_AFTER: Final = "alarm_after"  # days
CONF_SPEED_LIMIT: Final = "speed_limit"  # Mbit/s, 0 sets none
CONF_HOURS_FROM: Final = "hours_from"  # a time of day; without both of them, always
CONF_HOURS_TO: Final = "hours_to"
CONF_CHUNKS_AT_ONCE: Final = "chunks_at_once"

DEFAULT_FOLDER: Final = "/HomeAssistant/Backups"
ROOT_FOLDER: Final = "/"  # as people write it; Dropbox's own form is the empty text
DEFAULT_UPLOAD_AUTOMATICALLY: Final = True
DEFAULT_CHECK_INTERVAL: Final = 24
DEFAULT_KEEP: Final = 10
DEFAULT_ALARM_AFTER: Final = 3

# Beside the event entity: the activity can say of an event which backup it is about.
EVENT_BACKUP: Final = "dropbox_backup_event"

# How long what we know of an account is kept after it was removed. The texts name it, too.
NOTES_KEPT_FOR: Final = timedelta(days=30)

SCOPES: Final = (
    "account_info.read",
    "files.metadata.read",
    "files.content.read",
    "files.content.write",
)
