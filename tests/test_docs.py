"""What the documentation names is there, and the map of the folders is complete."""

from collections.abc import Iterator
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
