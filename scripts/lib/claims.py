"""What an integration's code says against its answers to the quality scale."""

import ast
from collections.abc import Iterator
from pathlib import Path

from scripts.lib.texts_in_code import EXCEPTION_ENDINGS, called


def untranslated_exceptions(folder: Path) -> Iterator[str]:
    """Yield where a face, a module of the folder itself, raises an exception of Home Assistant
    without a translated text.
    """
    for file in sorted(folder.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        home_assistants = set(_imported_exceptions(tree))
        for node in ast.walk(tree):
            match node:
                case ast.Raise(exc=ast.Call(func=function, keywords=keywords)) if called(
                    function
                ) in home_assistants and not {"translation_key", None} & {
                    keyword.arg for keyword in keywords
                }:
                    yield f"{file.name}:{node.lineno} raises an error without translation_key"
                case ast.Raise(exc=ast.Name(id=name)) if name in home_assistants:
                    yield f"{file.name}:{node.lineno} raises an error without translation_key"


def setup_without_runtime_data(folder: Path) -> Iterator[str]:
    """Yield a reason if `async_setup_entry` itself does not set the entry's `runtime_data`."""
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "async_setup_entry":
            for part in ast.walk(node):
                match part:
                    case ast.Assign(targets=[ast.Attribute(attr="runtime_data")]):
                        return
    yield "async_setup_entry does not set entry.runtime_data"


def _imported_exceptions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("homeassistant."):
            for name in node.names:
                if name.name.endswith(EXCEPTION_ENDINGS):
                    yield name.asname or name.name
