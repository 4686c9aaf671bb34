"""What the documentation names is there, and what it lists is complete."""

from collections.abc import Iterator
import json
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "custom_components" / "dropbox_backup"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
MAP = ROOT / "docs" / "architecture.md"


def described(document: Path) -> str:
    """Return a document, unless it tells of the past or of Home Assistant's own files."""
    others = ("CHANGELOG.md", "upstream-addons-local.md")
    return "" if document.name in others else document.read_text(encoding="utf-8")


def files_of_the_map() -> Iterator[str]:
    """Yield the modules that the map shows, by their paths in the integration."""
    text = MAP.read_text(encoding="utf-8").partition("custom_components/dropbox_backup/\n")[2]
    folders: list[tuple[int, str]] = []
    for line in text.partition("\ntests/")[0].splitlines():
        indent = len(line) - len(line.lstrip())
        while folders and folders[-1][0] >= indent:
            folders.pop()
        if folder := re.match(r" +(\w+)/ ", line):
            folders.append((indent, folder[1]))
        path = "".join(f"{name}/" for _, name in folders)
        names = re.match(r" +((?:\w+\.py(?:, )?)+)", line)
        yield from (path + name for name in re.findall(r"\w+\.py", names[1] if names else ""))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_files_that_a_document_names_are_there(document: Path) -> None:
    names = re.findall(r"`(?:\.\./)?([\w/]+\.py)\b", described(document))
    beside = (ROOT, PACKAGE, PACKAGE / "sync", ROOT / "tests")

    def is_there(name: str) -> bool:
        if "/" in name or name.startswith("test_"):
            return any((folder / name).is_file() for folder in beside)
        return any(PACKAGE.rglob(name)) or (ROOT / "scripts" / name).is_file()

    assert [name for name in dict.fromkeys(names) if not is_there(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", described(document))
    assert [link for link in dict.fromkeys(links) if not (document.parent / link).exists()] == []


def test_the_map_shows_every_module_where_it_lies() -> None:
    shown = set(files_of_the_map())
    there = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py")}
    assert shown <= there
    missing = {name for name in there - shown if not name.endswith("__init__.py")}
    # Home Assistant prescribes the names of most faces.
    assert {name for name in missing if "/" in name} == set()


def rows(document: Path, heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables below a heading."""
    below = document.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    for line in re.split(r"\n##? ", below)[0].splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" |")]


def test_what_the_table_of_decisions_names_first_is_in_the_file() -> None:
    for question, file, by in list(rows(MAP, "## Where is it decided?"))[2:]:
        code = (PACKAGE / file.strip("`")).read_text(encoding="utf-8")
        name = re.findall(r"`(\w+)`", by)[0]
        assert re.search(rf"^(?:(?:async )?def |class )?{name}\b", code, re.MULTILINE), question


def test_readme_lists_every_option_entity_and_kind_of_problem() -> None:
    texts = json.loads((PACKAGE / "translations" / "en.json").read_text(encoding="utf-8"))
    page = texts["options"]["step"]["init"]
    parts = (page, *page["sections"].values())
    expected = {name for part in parts for name in part["data"].values()}
    for platform, entities in texts["entity"].items():
        expected |= {f"`{platform}` {entity['name']}" for entity in entities.values()}
    problem = texts["entity"]["binary_sensor"]["problem"]["state_attributes"]
    expected |= {f"`{kind}`" for kind in problem["kind"]["state"]}
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    listed = [line.split("|")[1] for line in lines if line.startswith("| ")]
    assert {name for name in expected if not any(name in one for one in listed)} == set()
