"""The demo is what the README promises, so it has to work for everyone, every time."""

from pathlib import Path
import subprocess

import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "demo"

# Five starts of Home Assistant, on a busy machine.
TIMEOUT = 300


@pytest.mark.e2e
@pytest.mark.timeout(TIMEOUT + 30)
def test_backup_makes_its_way_to_dropbox_and_back(tmp_path: Path) -> None:
    demo = subprocess.run(
        [DEMO, "--once", "--size", "20M", "--keep", tmp_path / "demo"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "is the same, byte for byte" in demo.stdout
    assert "marker.txt reads again: as it was when the backup was made" in demo.stdout
    assert "no warning and no error of the integration" in demo.stdout
    summary = demo.stdout.splitlines()[-1]
    assert summary.startswith("All of it worked. A backup of ")
    assert "was restored from there after its local copy was lost" in summary
