"""Finds sentences in an integration's code: what people read belongs into the translations."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re

from scripts.lib.texts_in_code import called

_WORD = re.compile(r"\W*[A-Za-z][A-Za-z'-]+[^\w/]*")

# What these are given is for the log, or for who looks at running tasks and threads.
_FOR_THE_LOG = {"debug", "info", "warning", "error", "exception", "critical", "log"} | {
    "UnexpectedErrors",
    "Thread",
    "async_create_background_task",
    "async_create_task",
    "request",  # of a look at the backups: why, for the log
    "compile",  # a regular expression
}
# Raised where the code itself is wrong, or caught by who asked: nobody is shown what they say.
_INTERNAL = {
    "AssertionError",
    "AttributeError",
    "ModuleNotFoundError",
    "SecureTarError",
    "UntrustedError",
    "ValueError",
}
# The name of a file, of a device, what is stored or sent, and what the log and diagnostics say.
_NO_SENTENCES = {
    "{}/Dropbox Backup test {}.bin",
    "Dropbox {}",
    "retention {} {}",
    "Bearer {}",
    "bytes {}-",
    "{} (request {})",
    "{} to {}",
}


def untranslated(folder: Path) -> Iterator[str]:
    """Yield each literal that looks like a sentence, and is neither for the log nor a comment."""
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).as_posix()
        for line, text in _sentences(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{name}:{line} has a text for people that is not in the translations: {text!r}"


def _sentences(node: ast.AST) -> Iterator[tuple[int, str]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()):
                pass  # documentation
            case ast.Call(func=function) if called(function) in _FOR_THE_LOG | _INTERNAL:
                pass
            case ast.Call(func=ast.Name(id="partial"), args=[function, *_]) if (
                called(function) in _FOR_THE_LOG
            ):
                pass
            case ast.Constant(value=str(text)) if _is_sentence(text):
                yield child.lineno, text
            case ast.JoinedStr(values=values):
                text = "".join(
                    str(one.value) if isinstance(one, ast.Constant) else "{}" for one in values
                )
                if _is_sentence(text):
                    yield child.lineno, text
                for value in values:
                    if isinstance(value, ast.FormattedValue):
                        yield from _sentences(value)
            case _:
                yield from _sentences(child)


def _is_sentence(text: str) -> bool:
    """Tell whether there is a word in it, and something else beside that."""
    tokens = text.split()
    return len(tokens) > 1 and any(map(_WORD.fullmatch, tokens)) and text not in _NO_SENTENCES
