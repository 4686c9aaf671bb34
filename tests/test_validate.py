"""The validator finds each fault that is put into a small integration without faults."""

from collections.abc import Callable
import json
from pathlib import Path
import struct
from typing import Any

from homeassistant import components
from homeassistant.const import MAJOR_VERSION, MINOR_VERSION
import pytest
import yaml

from scripts import validate
from scripts.lib import privates

MANIFEST = {
    "domain": "made_up",
    "name": "Made up",
    "categories": ["computers_network.cloud_developer_tools"],
    "codeowners": ["@somebody"],
    "config_flow": True,
    "connectivity": ["cloud"],
    "dependencies": ["backup"],
    "documentation": "https://example.com",
    "integration_type": "service",
    "iot_class": "cloud_polling",
    "issue_tracker": "https://example.com/issues",
    "requirements": ["dropbox==12.2.4"],
    "version": "0.1.0",
}
ENGLISH = {
    "config": {
        "step": {
            "user": {"data": {"path": "Folder"}, "data_description": {"path": "Where backups go."}}
        },
        "abort": {"no_space": "There is no space left."},
    },
    "entity": {"sensor": {"state": {"name": "State", "state": {"idle": "Idle", "busy": "Busy"}}}},
    "exceptions": {"too_big": {"message": "{name} is too big."}},
    "issues": {"full": {"title": "{account} is full", "description": "Delete something."}},
    "selector": {"reason": {"options": {"age": "Age"}}},
    "services": {
        "clean": {
            "name": "Clean",
            "description": "Cleans up.",
            "fields": {"reason": {"name": "Reason", "description": "Why."}},
        }
    },
}
ICONS = {
    "entity": {"sensor": {"state": {"default": "mdi:cloud", "state": {"busy": "mdi:upload"}}}},
    "services": {"clean": {"service": "mdi:broom"}},
}
SERVICES = {
    "clean": {
        "fields": {
            "reason": {"selector": {"select": {"options": ["age"], "translation_key": "reason"}}}
        }
    }
}
CODE = {
    "__init__.py": """
async def async_setup_entry(hass, entry):
    entry.runtime_data = 1
""",
    "config_flow.py": """
def flow(self):
    self.async_show_form(step_id="user")
    return self.async_abort(reason="no_space")
""",
    "sensor.py": """
DESCRIPTION = SensorEntityDescription(key="state")
""",
    "services.py": """
NAME = "clean"
def clean(hass, account):
    ir.async_create_issue(
        hass, "made_up", "1", translation_key="full", translation_placeholders={"account": account}
    )
    raise ServiceValidationError(
        translation_key="too_big", translation_placeholders={"name": account}
    )
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an integration without faults."""
    folder = tmp_path / "made_up"
    (folder / "translations").mkdir(parents=True)
    (folder / "brand").mkdir()
    write(folder / "manifest.json", MANIFEST)
    write(folder / "translations" / "en.json", ENGLISH)
    write(folder / "translations" / "de.json", ENGLISH)
    write(folder / "icons.json", ICONS)
    write(folder / "services.yaml", SERVICES)
    onedrive = Path(components.__path__[0]) / "onedrive" / "quality_scale.yaml"
    rules = yaml.safe_load(onedrive.read_text())["rules"]
    answers = dict.fromkeys(rules, "done") | {"strict-typing": "todo"}
    write(folder / "quality_scale.yaml", {"rules": answers})
    for name, text in CODE.items():
        (folder / name).write_text(text)
    for name, size in validate.BRAND_SIZES.items():
        header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", size, size)
        (folder / "brand" / name).write_bytes(header)
    return folder


def write(file: Path, tree: dict[str, Any]) -> None:
    dump = json.dumps if file.suffix == ".json" else yaml.safe_dump
    file.write_text(dump(tree))


def change(name: str, *path: str, value: Any) -> Callable[[Path], None]:
    """Return what sets one value in a file of the integration, or removes it (None)."""

    def apply(folder: Path) -> None:
        file = folder / name
        tree = yaml.safe_load(file.read_text())  # JSON is YAML
        place = tree
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        write(file, tree)

    return apply


def code(name: str, text: str) -> Callable[[Path], None]:
    """Return what adds a line to a file of the integration."""

    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a") as file:
            file.write(text + "\n")

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def test_an_integration_without_faults_has_no_problems(folder: Path) -> None:
    assert list(validate.problems(folder)) == []


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("sync/engine.py", "import dropbox.files", "sdk.py imports the SDK"),
        ("sensor.py", "from dropbox import users", "sdk.py imports the SDK"),
        ("dropbox_api/calls.py", "import stone", "sdk.py imports the SDK"),
        ("sync/engine.py", "from ..dropbox_api.sdk import files", "knows the SDK's types"),
        ("sensor.py", "from .dropbox_api import sdk", "knows the SDK's types"),
        ("sync/engine.py", 'x = err.reason.endswith("file")', "reads Dropbox's tags"),
        ("sync/engine.py", 'x = "conflict" in err.reason', "reads Dropbox's tags"),
        ("sensor.py", 'x = err.reason == "full"', "reads Dropbox's tags"),
        ("sensor.py", 'x = err.has("full")', "reads Dropbox's tags"),
        ("sensor.py", "x = err.tags[0]", "reads Dropbox's tags"),
    ],
)
def test_the_border_to_dropbox_holds(folder: Path, name: str, line: str, problem: str) -> None:
    code(name, line)(folder)
    assert any(problem in found for found in validate.problems(folder))


def test_what_speaks_dropbox_may_read_its_tags(folder: Path) -> None:
    code("dropbox_api/sdk.py", "from dropbox import files")(folder)
    code("dropbox_api/calls.py", 'from .sdk import files\nclosed = err.has("closed")')(folder)
    assert list(validate.problems(folder)) == []


def test_an_anchor_in_yaml_is_no_service(folder: Path) -> None:
    change("services.yaml", ".shared", value={"required": True})(folder)
    assert list(validate.problems(folder)) == []


EN = "translations/en.json"
SET_ELSEWHERE = """
async def async_setup_entry(hass, entry):
    start(entry)
def start(entry):
    entry.runtime_data = 1
"""
CODES = """
class Why(Code):
    OLD = "old"
    FAR = "far"
NOW = Reason.of(Why.OLD)
"""
COMMON = {"old_one": "{days} day old", "old_other": "{days} days old"}
SENTENCE = """
def why(name):
    return f"{name} was not found"
"""
FOR_THE_LOG = """
_LOGGER.info("Nobody was at home")
raise ValueError("This is a bug of ours")
WORDS = {"never": "no_sentence"}
"""
PLAIN_ERROR = """
from homeassistant.exceptions import HomeAssistantError
def press():
    raise HomeAssistantError("No")
"""


def test_what_is_for_the_log_needs_no_translation(folder: Path) -> None:
    code("sync.py", FOR_THE_LOG)(folder)
    assert list(validate.problems(folder)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ({**COMMON, "far": "far"}, "the text old needs the placeholder days"),
        (COMMON, "has no text far in common"),
        ({"old_one": "old", "far": "far"}, "old_one is there without old_other"),
    ],
)
def test_a_code_has_a_text_and_all_that_it_is_about(
    folder: Path, text: dict[str, str], problem: str
) -> None:
    code("sync.py", CODES)(folder)
    change(EN, "common", value=text)(folder)
    change("translations/de.json", "common", value=text)(folder)
    assert problem in "; ".join(validate.problems(folder))


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (change("manifest.json", "version", value=None), "required key not provided at 'version'"),
        (change("manifest.json", "version", value="new"), "no version"),
        (code("sync.py", SENTENCE), "sync.py:3 has a text for people"),
        (change("manifest.json", "domain", value="other"), "not the folder's name"),
        (change("manifest.json", "after_dependencies", value=["hassio"]), "not in order"),
        pytest.param(
            change("manifest.json", "categories", value=["backups"]),
            "no category backups",
            marks=pytest.mark.skipif(
                (MAJOR_VERSION, MINOR_VERSION) < (2026, 11),
                reason="Home Assistant 2026.10 has no list of categories",
            ),
        ),
        (change("manifest.json", "connectivity", value=["wire"]), "'connectivity[0]'"),
        (change("manifest.json", "dependencies", value=["nothing"]), "no integration nothing"),
        (change("manifest.json", "requirements", value=["dropbox>=12"]), "'requirements[0]'"),
        (remove("config_flow.py"), "config_flow.py is missing"),
        (remove("icons.json"), "services.yaml: clean is missing in icons.json"),
        (lambda folder: (folder / "icons.json").write_text("{"), "icons.json: Expecting"),
        (lambda folder: (folder / "services.yaml").write_text("a: ["), "services.yaml: while"),
        (change(EN, "config", "abort", "no_space", value="See www.dropbox.com."), "has a URL"),
        (change(EN, "config", "abort", "no_space", value="<b>Full</b>"), "HTML"),
        (change(EN, "config", "abort", "no_space", value=" Full"), "begins or ends with space"),
        (change(EN, "config", "abort", "no_space", value="[%key:a%]"), "another text"),
        (change(EN, "config", "abort", "no_space", value="'{name}'"), "single quotes"),
        (change(EN, "config", "step", "user", "data", value={}), "describes path, without a name"),
        (change(EN, "config", "steps", value={}), "steps"),
        (change(EN, "title", value="Title"), "de.json: title is missing"),
        (change("translations/de.json", "title", value="Name"), "title is not in English"),
        (
            change("translations/de.json", "exceptions", "too_big", "message", value="Zu gross."),
            "exceptions.too_big.message has other placeholders",
        ),
        (change(EN, "exceptions", "too_big", value=None), "no text too_big in exceptions"),
        (change(EN, "issues", "full", value=None), "services.py:4: translations/en.json has no"),
        (change(EN, "entity", "sensor", "state", value=None), "no text state in entity.sensor"),
        (
            change(EN, "exceptions", "too_big", "message", value="{name} has {size}."),
            "the text too_big needs the placeholder size",
        ),
        (change(EN, "exceptions", "old", value={"message": "Old."}), "nothing uses exceptions.old"),
        (change(EN, "selector", "old", value={"options": {}}), "nothing uses selector.old"),
        (change(EN, "config", "step", "user", value=None), "no step user for this flow"),
        (change(EN, "config", "abort", "no_space", value=None), "no abort no_space for this flow"),
        (code("other_flow.py", 'show_form(step_id="lost")'), "other_flow.py:1: translations/en"),
        (change("services.yaml", "other", value={}), "other is named nowhere in the code"),
        (change("services.yaml", "other", value={}), "other is missing in icons.json"),
        (change(EN, "services", "clean", "fields", value={}), "reason is missing in its fields"),
        (
            change("services.yaml", "clean", "fields", "reason", "selector", value={"menu": {}}),
            "services.yaml: clean: field reason: ",
        ),
        (change("icons.json", "services", "clean", value={"icon": "mdi:broom"}), "has no service"),
        (change("icons.json", "entity", "sensor", "state", "default", value="cloud"), "default"),
        (
            change("icons.json", "entity", "sensor", "state", "state", value={"gone": "mdi:a"}),
            "sensor.state has no state gone",
        ),
        (change("icons.json", "entity", "sensor", "x", value={}), "there is no entity sensor.x"),
        (change("icons.json", "entity", value={}), "there is no icon of the entity sensor.state"),
        (
            change("quality_scale.yaml", "rules", "brands", value=None),
            "Home Assistant's rules: brands is missing in quality_scale.yaml",
        ),
        (change("quality_scale.yaml", "rules", "mine", value="done"), "mine is missing in Home"),
        (
            change("quality_scale.yaml", "rules", "brands", value={"status": "exempt"}),
            "quality_scale.yaml: ",
        ),
        (remove("quality_scale.yaml"), "quality_scale.yaml is missing"),
        (
            change("quality_scale.yaml", "rules", "strict-typing", value="done"),
            "strict-typing is not done: dropbox==12.2.4 has no py.typed",
        ),
        (
            lambda folder: (folder / "__init__.py").write_text(SET_ELSEWHERE),
            "runtime-data is not done: async_setup_entry does not set entry.runtime_data",
        ),
        (
            code("button.py", PLAIN_ERROR),
            "exception-translations is not done: button.py:4 raises",
        ),
        (remove("brand/icon.png"), "brand/icon.png is missing"),
        (lambda folder: (folder / "brand/icon.png").write_bytes(bytes(24)), "0 x 0 pixels"),
        (code("sensor.py", '_attr_translation_key = "gone"'), "no text gone in entity.sensor"),
        (
            code("sensor.py", 'x = SensorEntityDescription(key="size", translation_key="gone")'),
            "sensor.py:3: translations/en.json has no text gone in entity.sensor",
        ),
        (code("services.py", 'call(translation_key="gone")'), "no text gone in anywhere"),
        (
            code("services.py", 'x = f(translation_key="too_big" if big else "too_small")'),
            "no text too_small",
        ),
        (
            code("dropbox_api/calls.py", "from ..sync.decide.plan import Plan"),
            "dropbox_api/calls.py:1: dropbox_api may not import from sync.decide",
        ),
        (
            code("dropbox_api/upload/source.py", "import homeassistant.core"),
            "dropbox_api may not import homeassistant",
        ),
        (
            code("sync/decide/plan.py", "from ..remote import folder"),
            "sync.decide may not import from sync.remote",
        ),
        (
            code("sync/decide/plan.py", "from pathlib import Path"),
            "sync.decide may not import pathlib",
        ),
        (
            code("sync/engine.py", "from ..sensor import DESCRIPTION"),
            "sync may not import from the faces (sensor)",
        ),
        (
            code("sync/engine.py", "from homeassistant.helpers import selector"),
            "sync may not import homeassistant.helpers.selector",
        ),
        (code("untrusted.py", "from .const import DOMAIN"), "untrusted is for all"),
        (code("sync/new/one.py", "from .other import X"), "does not say what sync.new may import"),
        (
            lambda folder: (
                code("sync/one.py", "from . import two")(folder),
                code("sync/two.py", "from .one import One")(folder),
            ),
            "imports in a circle: sync.one -> sync.two -> sync.one",
        ),
    ],
)
def test_a_fault_is_found(folder: Path, fault: Callable[[Path], object], problem: str) -> None:
    fault(folder)
    assert problem in "\n".join(validate.problems(folder))


def test_the_workflow_tests_the_versions_that_are_promised(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup").write_text("newest_ha=2026.11.0\n")
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    matrix = {"home-assistant": ["2026.10.4", "2026.11.0"]}
    workflow = {"jobs": {"test": {"strategy": {"matrix": matrix}}}}
    write(tmp_path / ".github" / "workflows" / "test.yml", workflow)
    write(tmp_path / "hacs.json", {"homeassistant": "2026.10.4"})
    assert list(validate.version_problems(tmp_path)) == []
    write(tmp_path / "hacs.json", {"homeassistant": "2026.10.0"})
    assert "oldest in hacs.json (2026.10.0)" in "".join(validate.version_problems(tmp_path))


def test_hacs_json_must_name_the_archive_that_a_release_has(tmp_path: Path) -> None:
    file = tmp_path / "hacs.json"
    right = {
        "name": "Made up",
        "homeassistant": "2026.10.0",
        "zip_release": True,
        "filename": "made_up.zip",
    }
    write(file, right)
    assert list(validate.hacs_problems(file)) == []
    write(file, right | {"filename": "made_up.tar"})
    assert "filename" in "".join(validate.hacs_problems(file))


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ("assert clock._hand == 1", "_hand is private"),
        ("clock.turn(1)._hand = 2", "_hand is private"),
        ("from custom_components.made_up.clock import _SPEED", "_SPEED is private"),
        ("monkeypatch.setattr(clock, '_SPEED', 2)", "_SPEED of the product is not"),
        ("monkeypatch.setattr('custom_components.made_up.clock._SPEED', 2)", "_SPEED of the"),
        ("monkeypatch.setattr(clock, 'SIZE', 2)", "SIZE of the product is not"),
        ("assert clock.SIZE == 1", None),
        ("assert other._not_of_ours == 1", None),
        ("class Mine:\n    def one(self): self._hand = 1\nMine()._hand = 2", None),
    ],
)
def test_tests_leave_alone_what_is_private(
    folder: Path, tmp_path: Path, test: str, problem: str | None
) -> None:
    (folder / "clock.py").write_text(
        "_SPEED = 1\nSIZE = 1\nclass Clock:\n    def __init__(self): self._hand = 1\n"
    )
    (tmp_path / "tests" / "support").mkdir(parents=True)
    (tmp_path / "tests" / "support" / "one.py").write_text("clock._hand = 1")
    (tmp_path / "tests" / "test_one.py").write_text(test)
    found = list(privates.problems(folder, tmp_path / "tests"))
    assert [one for one in found if problem and problem in one] == found
    assert len(found) == (problem is not None)
