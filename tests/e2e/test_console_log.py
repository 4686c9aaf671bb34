"""The log check that the other tests here rely on finds what it should, and only that."""

from pathlib import Path

import pytest

from tests.home_assistant import problems_of

NOISE = """\
INFO:homeassistant.backup_restore:Restoring /x/dropbox_backup/config/backups/a.tar
2026-11-22 21:26:45.473+00:00 WARNING (MainThread) [homeassistant.bootstrap] Skipping pip
2026-11-22 21:26:45.500+00:00 WARNING (SyncWorker_0) [homeassistant.loader] We found a custom \
integration dropbox_backup which has not been tested by Home Assistant.
2026-11-22 21:26:46.000+00:00 INFO (MainThread) [custom_components.dropbox_backup] Uploaded
"""


OWN = "2026-11-22 21:26:47.000+00:00 ERROR (MainThread) [custom_components.dropbox_backup.sync] No"
NAMES_US = """\
2026-11-22 21:26:47.000+00:00 WARNING (MainThread) [homeassistant.util.loop] Detected blocking \
call to open by custom integration 'dropbox_backup'"""
PASSES_THROUGH_US = """\
2026-11-22 21:26:47.000+00:00 ERROR (MainThread) [homeassistant] Error doing job
Traceback (most recent call last):
  File "/config/custom_components/dropbox_backup/watch.py", line 1, in watch"""
NOT_LOGGED = """\
Traceback (most recent call last):
  File "/config/custom_components/dropbox_backup/watch.py", line 1, in watch"""


@pytest.mark.parametrize("problem", [OWN, NAMES_US, PASSES_THROUGH_US, NOT_LOGGED])
def test_problem_among_noise_is_found(tmp_path: Path, problem: str) -> None:
    log = tmp_path / "console.log"
    log.write_text(f"{NOISE}{problem}\n{NOISE}")

    assert len(problems_of("dropbox_backup", log)) == 1


def test_noise_is_no_problem(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text(NOISE.replace("/x/dropbox_backup", str(tmp_path)))

    assert problems_of("dropbox_backup", log) == []
