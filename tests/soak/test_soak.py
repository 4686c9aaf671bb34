"""A short soak, so that the long one works when it is wanted."""

from pathlib import Path
import subprocess

import pytest

SOAK = Path(__file__).parents[2] / "scripts" / "soak"
TIMEOUT = 120  # on a busy machine; it takes about 15 seconds


@pytest.mark.e2e
@pytest.mark.timeout(TIMEOUT + 30)
def test_every_backup_of_a_short_soak_is_accounted_for() -> None:
    soak = subprocess.run(
        [SOAK, "--backups", "12", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert soak.returncode == 0, soak.stdout + soak.stderr
    assert "--seed 1" in soak.stdout
    assert "Every backup is accounted for" in soak.stdout
