"""What an alarm depends on when all is well, and when it is not."""

from dataclasses import replace
from datetime import time, timedelta

from custom_components.dropbox_backup.dropbox_api.types import Space
from custom_components.dropbox_backup.sync.decide.upload_window import Hours
from custom_components.dropbox_backup.sync.report.alarm import AlarmInput
from tests.support.backups import FIRST_DAY, local, remote

DAY = timedelta(days=1)
NOW = FIRST_DAY + 30 * DAY
FINE = AlarmInput(
    now=NOW,
    after=3 * DAY,
    ours=[remote(29)],
    waiting=[],
    not_wanted=[],
    refused=[],
    unconfirmed=[],
    missed=None,
    watching_since=FIRST_DAY,
    writable=True,
    problem=None,
    failing_since=None,
    moved=None,
    moving_since=None,
    paused=False,
    hours=None,
    space=Space(used=0, total=10**9),
)
OVERDUE = replace(FINE, ours=[remote(20)], waiting=[local(28)])
AT_NIGHT = Hours(time(1), time(6))
