"""The log check that the other tests here rely on finds what it should, and only that."""

from pathlib import Path

import pytest

from tests.support.home_assistant import problems_of

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


TASK_OF_OURS = """\
2026-11-22 21:26:47.000+00:00 ERROR (MainThread) [homeassistant] Error doing job: Task exception \
was never retrieved (<Task finished coro=<Worker.run() done, defined at \
/home/dropbox_backup/x/custom_components/dropbox_backup/sync/reconciler.py:250>>)"""
BACKUP_REFUSED = """\
2026-11-22 21:26:47.000+00:00 ERROR (MainThread) [homeassistant.components.backup.manager] Upload \
failed for dropbox_backup.b956bf49870c: no room"""
STORAGE_BROKEN = """\
2026-11-22 21:26:47.000+00:00 ERROR (MainThread) [homeassistant.helpers.storage] Error writing \
/config/.storage/dropbox_backup.01KAPV: No space left on device"""
PROBLEMS = {
    "own": OWN,
    "names us": NAMES_US,
    "passes through us": PASSES_THROUGH_US,
    "not logged": NOT_LOGGED,
    "task of ours": TASK_OF_OURS,
    "backup refused": BACKUP_REFUSED,
    "storage broken": STORAGE_BROKEN,
}

# Errors of others where a folder happens to have our name: a home, a cache, a checkout.
FOLDERS = [
    "/home/somebody/.cache/dropbox_backup/python3.14/usr/lib/python3.14",
    "/home/dropbox_backup/project/.venv/lib/python3.14/site-packages/haffmpeg",
    "/home/my dropbox_backup home/.venv/lib/python3.14/site-packages/haffmpeg",
    "/config/custom_components/dropbox_backup/.venv/lib/python3.14/site-packages/haffmpeg",
]
OF_OTHERS = """\
2026-11-22 21:26:47.000+00:00 ERROR (MainThread) [haffmpeg.core] FFmpeg fails [Errno 2] No such \
file or directory: '{folder}/ffmpeg'
Traceback (most recent call last):
  File "{folder}/core.py", line 130, in open
    self._proc = await asyncio.create_subprocess_exec(
FileNotFoundError: [Errno 2] No such file or directory: '{folder}/ffmpeg'
"""


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_problem_among_noise_is_found(tmp_path: Path, problem: str) -> None:
    log = tmp_path / "console.log"
    log.write_text(f"{NOISE}{problem}\n{NOISE}")

    assert len(problems_of("dropbox_backup", log)) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_of_our_name_in_an_error_of_others_is_no_problem(
    tmp_path: Path, folder: str
) -> None:
    log = tmp_path / "console.log"
    log.write_text(OF_OTHERS.format(folder=folder))

    assert problems_of("dropbox_backup", log) == []


def test_noise_is_no_problem(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text(NOISE.replace("/x/dropbox_backup", str(tmp_path)))

    assert problems_of("dropbox_backup", log) == []
