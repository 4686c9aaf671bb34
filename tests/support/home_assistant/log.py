"""Read what Home Assistant wrote to its console."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import re

_RECORD = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\S*) "
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) "
    r"\((?P<thread>[^)]*)\) \[(?P<logger>[^\]]+)\] (?P<text>.*)"
)

# So it looks before Home Assistant has set logging up, and while it unpacks a backup.
_EARLY_RECORD = re.compile(
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<logger>[\w.]+):(?P<text>.*)"
)

_BAD = {"WARNING", "ERROR", "CRITICAL"}

# It may contain spaces.
_QUOTED_PATH = re.compile(r"""(["'])/[^"'\n]*\1""")

# Home Assistant says this of every custom integration.
_SAID_OF_ALL = "We found a custom integration"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record; `text` may have several lines, such as a traceback."""

    time: str
    level: str
    logger: str
    text: str

    def __str__(self) -> str:
        return f"{self.time} {self.level} [{self.logger}] {self.text}"


def read_log(path: Path) -> Iterator[LogRecord]:
    """Yield the records of a console log, and what was printed outside of any record as errors.

    The latter is how an interpreter's own traceback looks.
    """
    head: re.Match[str] | None = None
    lines: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        if match := _RECORD.fullmatch(line) or _EARLY_RECORD.fullmatch(line):
            yield from _record(head, lines)
            head, lines = match, [match["text"]]
        elif line.startswith("Traceback (") and head is not None and head["level"] not in _BAD:
            # Only errors come with one; this was printed, and has nothing to do with the record.
            yield from _record(head, lines)
            head, lines = None, [line]
        else:
            lines.append(line)
    yield from _record(head, lines)


def _record(head: re.Match[str] | None, lines: list[str]) -> Iterator[LogRecord]:
    text = "\n".join(lines)
    if head is not None:
        yield LogRecord(head.groupdict().get("time") or "", head["level"], head["logger"], text)
    elif text.strip():
        yield LogRecord("", "ERROR", "", text)


def problems_of(domain: str, path: Path) -> list[LogRecord]:
    """Return every warning and error that the integration `domain` logged, or that is about it.

    Those by others include blocking calls in the event loop, uses of deprecated API, failed
    set-ups, exceptions of forgotten tasks, and backups that its agent refused.
    """
    return [
        record
        for record in read_log(path)
        if record.level in _BAD
        and is_about(domain, record.logger, record.text)
        and _SAID_OF_ALL not in record.text
    ]


def is_about(domain: str, logger: str, text: str) -> bool:
    """Tell whether a record comes from the integration `domain`, or from its code, or names it.

    A folder of that name is somebody's cache, home or checkout, and may stand in any traceback.
    """
    if domain in logger.split("."):
        return True
    name = re.escape(domain)
    # An environment may lie below a checkout that was made there.
    of_ours = rf"(?:custom_components|\.storage)/{name}\b(?![^\"'\n]*/site-packages/)"
    by_name = rf"(?<![\w/-]){name}(?![\w.-]*/)"
    return bool(re.search(of_ours, text) or re.search(by_name, _QUOTED_PATH.sub("", text)))
