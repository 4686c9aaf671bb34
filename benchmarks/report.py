"""What a benchmark found, in Markdown, and its place in docs/performance.md."""

from dataclasses import dataclass, field
import re

from benchmarks.plot import Chart
from benchmarks.stage import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "performance.md"
FAILED = "failed"
_BUDGET = re.compile(
    r"^\*\*Budget\*\* (?P<text>.+): (?P<measured>.+) \((?P<verdict>met|missed)\)$", re.MULTILINE
)


@dataclass(slots=True)
class Report:
    """The findings of one benchmark; each is printed when it is known."""

    name: str
    parts: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)

    def table(self, title: str, header: list[str], rows: list[list[str]]) -> None:
        """Add a table under a title."""
        self.text(f"_{title}_\n\n{table(header, rows)}")

    def text(self, markdown: str) -> None:
        """Add a paragraph."""
        self.parts.append(markdown)
        print(f"\n{markdown}", flush=True)

    def budget(self, text: str, measured: str, *, met: bool) -> None:
        """Hold a figure against its budget."""
        self.text(f"**Budget** {text}: {measured} ({'met' if met else 'missed'})")

    @property
    def markdown(self) -> str:
        """Everything, as it goes into the document."""
        return "\n\n".join(self.parts)

    def save(self, footer: str) -> None:
        """Write all of it into the document and the images beside it."""
        for chart in self.charts:
            chart.draw()
        write_section(self.name, f"{self.markdown}\n\n{footer}")


def write_section(name: str, markdown: str) -> None:
    """Put text between the markers of a section of the document, and bring the overview of the
    budgets up to date.

    Raises `ValueError` when the document has no such markers.
    """
    text = _replaced(DOCUMENT.read_text(encoding="utf-8"), name, markdown)
    rows = [
        [match["text"], match["measured"], match["verdict"]] for match in _BUDGET.finditer(text)
    ]
    if rows:
        text = _replaced(text, "budgets", table(["budget", "measured", ""], rows))
    DOCUMENT.write_text(text, encoding="utf-8")


def _replaced(text: str, name: str, markdown: str) -> str:
    begin, end = f"<!-- bench: {name} -->", f"<!-- end: {name} -->"
    head, found, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{DOCUMENT.name} has no place for {name}")
    return f"{head}{begin}\n\n{markdown}\n\n{end}{tail}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
