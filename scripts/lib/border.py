"""The border to Dropbox: only dropbox_api knows the SDK, and what Dropbox's tags mean."""

import ast
from collections.abc import Iterator
from pathlib import Path

_INSIDE = "dropbox_api"
# The one module that imports the SDK, and what it imports: it comes with the runtime of its
# generated code.
_SDK_MODULE = f"{_INSIDE}/sdk.py"
_SDK = frozenset({"dropbox", "stone"})
_TEXT_METHODS = frozenset({"endswith", "find", "partition", "split", "startswith"})


def problems(folder: Path) -> Iterator[str]:
    """Yield where the SDK is imported, or Dropbox's tags are read, and should not be."""
    for path in sorted(folder.rglob("*.py")):
        file = path.relative_to(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = None
            if file.as_posix() != _SDK_MODULE:
                found = _sdk(node)
            if file.parts[0] != _INSIDE:
                found = found or _sdk_module(node) or _tag(node)
            if found:
                yield f"{file.as_posix()}:{getattr(node, 'lineno', 0)}: {found}"


def _sdk(node: ast.AST) -> str | None:
    """Tell of an import of the SDK itself."""
    match node:
        case ast.Import(names=names):
            packages = {name.name.partition(".")[0] for name in names}
        case ast.ImportFrom(module=str(module), level=0):
            packages = {module.partition(".")[0]}
        case _:
            return None
    return f"only {_SDK_MODULE} imports the SDK" if packages & _SDK else None


def _sdk_module(node: ast.AST) -> str | None:
    """Tell of an import of the module that has it."""
    match node:
        case ast.ImportFrom(module=module, names=names):
            targets = {f"{module or ''}.{name.name}" for name in names} | {module or ""}
            if any(f".{target}.".endswith(f".{_INSIDE}.sdk.") for target in targets):
                return f"only {_INSIDE} knows the SDK's types: others have {_INSIDE}/types.py"
    return None


def _tag(node: ast.AST) -> str | None:
    """Tell of a tag of Dropbox that is looked for in an error."""
    match node:
        case ast.Attribute(value=ast.Attribute(attr="reason"), attr=method):
            found = method in _TEXT_METHODS
        case ast.Compare(left=left, comparators=[right]):
            sides = (left, right)
            found = any(
                isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides
            ) and any(isinstance(side, ast.Attribute) and side.attr == "reason" for side in sides)
        case ast.Call(func=ast.Attribute(attr="has"), args=[ast.Constant(value=str()), *_]):
            found = True
        case ast.Attribute(attr="tags"):
            found = True
        case _:
            found = False
    return f"only {_INSIDE} reads Dropbox's tags: ask for the kind of the error" if found else None
