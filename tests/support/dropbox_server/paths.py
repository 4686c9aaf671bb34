"""Dropbox's path rules. A *display* path keeps its case; a *key* is its lower-cased form."""

from __future__ import annotations

from dataclasses import dataclass
import re
import unicodedata

MAX_NAME_LENGTH = 255
# Files that Dropbox never stores (help page "files that won't sync").
_DISALLOWED = frozenset(
    {
        "desktop.ini",
        "thumbs.db",
        ".ds_store",
        "icon\r",
        ".dropbox",
        ".dropbox.attr",
        ".dropbox.cache",
    }
)
_TEMPORARY = re.compile(r"^(~\$|\.~|~.*\.tmp$)", re.IGNORECASE)


@dataclass(slots=True)
class PathRefusedError(Exception):
    """A path that cannot be used; `tag` is `malformed_path` or `disallowed_name`."""

    tag: str
    path: str

    def __str__(self) -> str:
        """Tag and path."""
        return f"{self.tag}: {self.path!r}"


def key(path: str) -> str:
    """Return the case-insensitive identity of a path."""
    return path.lower()


def parent(path: str) -> str:
    """Return the path above; the root's is the root, `""`."""
    return path.rpartition("/")[0]


def name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def ancestors(path: str) -> list[str]:
    """List the folders above `path` from the top down, without the root."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: index + 1]) for index in range(len(parts))]


def is_within(path_key: str, folder_key: str) -> bool:
    """Tell whether `path_key` lies below `folder_key` (not the folder itself)."""
    return path_key.startswith(folder_key + "/")


def check_readable(path: str) -> None:
    """Raise PathRefusedError(malformed_path) for a path that can name nothing."""
    for part in path.split("/")[1:]:
        if _malformed(part):
            raise PathRefusedError("malformed_path", path)


def check_writable(path: str) -> None:
    """Raise PathRefusedError for a path that Dropbox would not create."""
    check_readable(path)
    for part in path.split("/")[1:]:
        if part.lower() in _DISALLOWED or _TEMPORARY.match(part):
            raise PathRefusedError("disallowed_name", path)


def _malformed(part: str) -> bool:
    return (
        not part
        or part in {".", ".."}
        or len(part) > MAX_NAME_LENGTH
        or "\\" in part
        # Dropbox's web and desktop clients cannot hold a name that ends in a space.
        or part.endswith(" ")
        or any(unicodedata.category(char) in {"Cc", "Cs"} for char in part)
    )


def numbered(path: str, number: int) -> str:
    """`/a/x.tar` -> `/a/x (2).tar`: the name that `autorename` picks for mode `add`."""
    return _with_suffix(path, f" ({number})")


def conflicted(path: str, number: int) -> str:
    """`/a/x.tar` -> `/a/x (conflicted copy).tar`: the name for mode `update`."""
    return _with_suffix(
        path, " (conflicted copy)" if number == 1 else f" (conflicted copy {number})"
    )


def _with_suffix(path: str, suffix: str) -> str:
    folder, base = parent(path), name(path)
    stem, dot, extension = base.rpartition(".")
    return f"{folder}/{stem}{suffix}.{extension}" if dot and stem else f"{folder}/{base}{suffix}"
