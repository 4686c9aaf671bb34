"""The SDK is loaded without the memory nobody needs, and stays whole for everybody else."""

import os
from pathlib import Path
import runpy
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parents[2]

LOAD = """
import sys
import homeassistant.components.backup, homeassistant.helpers.config_entry_oauth2_flow
def rss():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
before = rss()
import custom_components.dropbox_backup
from custom_components.dropbox_backup import backup, config_flow, sensor, services
print(rss() - before)
assert "dropbox.team_log" not in sys.modules
"""

USE = """
import threading
from custom_components.dropbox_backup.dropbox_api import sdk
import dropbox
assert "dropbox.base" not in __import__("sys").modules
found = []
threads = [threading.Thread(target=lambda: found.append(dropbox.Dropbox)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
import dropbox.dropbox_client
assert found == [dropbox.dropbox_client.Dropbox] * 8, found
assert dropbox.files is sdk.files and dropbox.exceptions.ApiError and dropbox.__version__
dropbox.Dropbox("token").close()
from dropbox import *
assert not hasattr(dropbox, "nonsense")
print("usable")
"""

ALREADY_THERE = """
import dropbox
from custom_components.dropbox_backup.dropbox_api import sdk
assert sdk.files is dropbox.files and type(dropbox).__name__ == "module"
print("shared")
"""


def _run(code: str) -> str:
    # A process of its own: what is loaded once stays loaded.
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_loading_the_integration_adds_at_most_25_mib() -> None:
    assert float(_run(LOAD)) <= 25


def test_another_integration_can_still_use_the_whole_sdk() -> None:
    assert _run(USE) == "usable"


def test_an_sdk_that_was_loaded_before_is_used_as_it_is() -> None:
    assert _run(ALREADY_THERE) == "shared"


def run_module(name: str) -> dict[str, Any]:
    name = f"custom_components.dropbox_backup.dropbox_api.{name}"
    return runpy.run_path(f"{ROOT / name.replace('.', '/')}.py", run_name=name)


def load_anew() -> dict[str, Any]:
    run_module("lazy_sdk")["register"]()
    return run_module("sdk")


def test_the_package_loads_what_it_is_asked_for_and_nothing_before() -> None:
    with patch.dict(sys.modules):
        for name in [one for one in sys.modules if one.partition(".")[0] == "dropbox"]:
            del sys.modules[name]
        sdk = load_anew()
        dropbox = sys.modules["dropbox"]

        assert dropbox.files is sdk["files"]
        assert "dropbox.team" not in sys.modules
        with pytest.raises(AttributeError):
            dropbox.__wrapped__  # noqa: B018  (tools ask for such names)
        assert dropbox.team is sys.modules["dropbox.team"], "a part alone"
        assert "dropbox.dropbox_client" not in sys.modules
        assert dropbox.Dropbox is sys.modules["dropbox.dropbox_client"].Dropbox
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            dropbox.nonsense  # noqa: B018


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with patch.dict(sys.modules):
        del sys.modules["dropbox"]
        with pytest.raises(ModuleNotFoundError, match="No module named 'dropbox'"):
            load_anew()
