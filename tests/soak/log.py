"""What was logged, told apart: what bad lines and careless users explain, and what nothing does."""

from collections import Counter
import logging
import re
from typing import override

from custom_components.dropbox_backup.const import DOMAIN
from tests.support.home_assistant import is_about

_EXPECTED = {
    "Home Assistant's note on custom integrations": r"We found a custom integration dropbox_backup",
    "Dropbox away: said once": r"Backups can't be uploaded to Dropbox now: dropbox away",
    "Dropbox full: said once": r"Backups can't be uploaded to Dropbox now: no room left",
    "a damaged archive refused": r"The backup Night-\d+ can't be uploaded: ",
    "a damaged archive that Home Assistant can't read": r"Unable to read backup .*/Night-\d+_",
    # Dropbox's tokens live for hours; here the next may be gone with the very next request.
    "two tokens in a row expired at once": r"Backups can't be uploaded to Dropbox now: "
    r".*expired_access_token",
    "the folder vanished": r"The backup folder is gone from Dropbox; it is made again",
    "setup put off": r"Config entry 'Soak' for dropbox_backup integration not ready yet",
    "Dropbox away at the start: said": r"Dropbox can't be reached, it is tried again: ",
    "token not renewed at once": r"Token request for dropbox_backup failed",
}


class Listener(logging.Handler):
    """Counts what is expected; `unexpected` is everything else of ours, and every error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.expected: Counter[str] = Counter()
        self.unexpected: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        for name, pattern in _EXPECTED.items():
            if re.match(pattern, text):
                self.expected[name] += 1
                return
        ours = is_about(DOMAIN, record.name, text)
        if ours or record.levelno >= logging.ERROR:
            said = self.format(record)  # with the traceback
            self.unexpected.append(f"{record.levelname} [{record.name}] {said}")
