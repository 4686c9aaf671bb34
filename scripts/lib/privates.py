"""Tests look from outside: none reads a private name of the product, or sets a constant of it."""

import ast
from collections.abc import Iterator
from pathlib import Path

_PRODUCT = "custom_components."
# Where tests reach into the product for all others.
_SUPPORT = "support"
# A file, and a name of the product that it may use all the same.
_ALLOWED = {
    # Has a download ask for what it never would.
    ("dropbox_api/test_download.py", "_Range"),
    ("dropbox_api/test_download.py", "_Ranges"),
    ("dropbox_api/test_download.py", "_end"),
    # Home Assistant's own, which the product overrides.
    ("faults/test_disk.py", "_async_write_data"),
    # Takes a cure out to see that the storm notices, as a mutation would.
    ("faults/test_storm_finds.py", "_verified"),
    ("faults/test_storm_finds.py", "_FREE"),
}


def problems(product: Path, tests: Path) -> Iterator[str]:
    """Yield where a test uses what it should not."""
    trees = [_tree(file) for file in product.rglob("*.py")]
    private = {name for tree in trees for name in _defined(tree) if _is_private(name)}
    hidden = private | {name for tree in trees for name in _constants(tree)}
    for path in sorted(tests.rglob("*.py")):
        file = path.relative_to(tests)
        if file.parts[0] == _SUPPORT:
            continue
        tree = _tree(path)
        own = _defined(tree)
        for node in ast.walk(tree):
            where = f"tests/{file}:{getattr(node, 'lineno', 0)}"
            for name in _used(node):
                if name in private - own and (file.as_posix(), name) not in _ALLOWED:
                    yield f"{where}: {name} is private to the product"
            name = _set_by_name(node)
            if name in hidden - own and (file.as_posix(), name) not in _ALLOWED:
                yield f"{where}: {name} of the product is not a test's to set"


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _defined(tree: ast.Module) -> set[str]:
    """Return all names that a module gives to something, also those of attributes of `self`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def _constants(tree: ast.Module) -> Iterator[str]:
    """Yield the names of a module's constants."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name.isupper():
                    yield name


def _used(node: ast.AST) -> Iterator[str]:
    """Yield the names that are taken from another object or module."""
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls")):
            return
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
            return
        case ast.Attribute(attr=name):
            yield name
        case ast.ImportFrom(module=str(module), names=names) if module.startswith(_PRODUCT):
            yield from (alias.name for alias in names)


def _set_by_name(node: ast.AST) -> str:
    """Return the name that `setattr`, monkeypatch or `patch.object` sets; else ""."""
    match node:
        case ast.Call(
            func=ast.Name(id="setattr") | ast.Attribute(attr="setattr" | "object"), args=[*args]
        ):
            texts = [arg.value for arg in args[:2] if isinstance(arg, ast.Constant)]
            return str(texts[0]).rpartition(".")[2] if texts else ""
    return ""
