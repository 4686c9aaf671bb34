"""Which folder of the integration may import which others: one way only, and never in a circle."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# A folder -> those it may import from, besides itself. `""` is the integration's own folder, with
# the faces, which may import from everywhere.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "dropbox_api": frozenset(),
    "dropbox_api.upload": frozenset({"dropbox_api"}),
    "sync.decide": frozenset(),
    "sync.archive": frozenset({"sync.decide"}),
    "sync.report": frozenset({"dropbox_api", "sync.decide"}),
    "sync.storage": frozenset({"dropbox_api.upload", "sync.archive", "sync.decide"}),
    "sync.local": frozenset(
        {"dropbox_api", "dropbox_api.upload", "sync.archive", "sync.decide", "sync.report"}
    ),
    "sync.remote": frozenset(
        {
            "dropbox_api",
            "dropbox_api.upload",
            "sync.archive",
            "sync.decide",
            "sync.report",
            "sync.storage",
        }
    ),
}
MAY_IMPORT["sync.upload"] = MAY_IMPORT["sync.remote"] | {"sync.local", "sync.remote"}
MAY_IMPORT["sync"] = MAY_IMPORT["sync.upload"] | {"sync.upload"}
MAY_IMPORT[""] = frozenset(MAY_IMPORT)
# These import nothing of the integration, and everything may import them.
FOR_ALL = frozenset({"codes", "const", "untrusted", "waits"})

# A folder, with those in it -> packages of others that it must not import.
_FACES = (
    "homeassistant.config_entries",
    "homeassistant.data_entry_flow",
    "homeassistant.helpers.entity",
    "homeassistant.helpers.entity_platform",
    "homeassistant.helpers.issue_registry",
    "homeassistant.helpers.selector",
    "homeassistant.helpers.service",
    "homeassistant.helpers.translation",
)
_IO = ("aiohttp", "asyncio", "homeassistant.core", "io", "os", "pathlib", "shutil", "threading")
MUST_NOT_IMPORT: dict[str, tuple[str, ...]] = {
    "dropbox_api": ("homeassistant",),
    "sync": _FACES,
    "sync.decide": _IO,
}


def problems(folder: Path) -> Iterator[str]:
    """Yield each import that points the wrong way, and each circle."""
    modules = {
        ".".join(file.relative_to(folder).with_suffix("").parts): file
        for file in sorted(folder.rglob("*.py"))
    }
    arrows: dict[str, set[str]] = {}
    for module, file in modules.items():
        for line, imported in _imports(module, file):
            where = f"{file.relative_to(folder)}:{line}"
            if imported.startswith("."):
                target = _module_of(imported[1:], modules)
                arrows.setdefault(module, set()).add(target)
                yield from _wrong_arrow(where, module, target)
            else:
                yield from _wrong_package(where, module, imported)
    yield from _circles(arrows)


def _wrong_arrow(where: str, module: str, target: str) -> Iterator[str]:
    room, other = _folder_of(module), _folder_of(target)
    if room not in MAY_IMPORT:
        yield f"{where}: scripts/lib/arrows.py does not say what {room} may import"
    elif module in FOR_ALL:
        yield f"{where}: {module} is for all, and may import nothing of the integration"
    elif target not in FOR_ALL and other != room and other not in MAY_IMPORT[room]:
        yield f"{where}: {room} may not import from {other or 'the faces'} ({target})"


def _wrong_package(where: str, module: str, imported: str) -> Iterator[str]:
    for room, packages in MUST_NOT_IMPORT.items():
        if _is_in(module, room):
            for package in packages:
                if _is_in(imported, package):
                    yield f"{where}: {room} may not import {package}"


def _is_in(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def _folder_of(module: str) -> str:
    return module.rpartition(".")[0]


def _module_of(imported: str, modules: Mapping[str, Path]) -> str:
    """Return the module that a dotted name is, or is in."""
    for name in (imported, f"{imported}.__init__".lstrip("."), _folder_of(imported)):
        if name in modules:
            return name
    return f"{_folder_of(imported)}.__init__".lstrip(".")


def _imports(module: str, file: Path) -> Iterator[tuple[int, str]]:
    """Yield what a module imports, with the lines: of the integration with a dot in front."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(level=0, module=str(name)):
                yield node.lineno, name
                yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)
            case ast.ImportFrom(level=level, module=name):
                parts = module.split(".")[:-level]
                parts += [name] if name else []
                yield from (
                    (node.lineno, "." + ".".join([*parts, alias.name])) for alias in node.names
                )


def _circles(arrows: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Yield each circle of modules that is met first when they are followed in order."""
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> Iterator[str]:
        if module in path:
            yield f"imports in a circle: {' -> '.join([*path[path.index(module) :], module])}"
        elif module not in done:
            for target in sorted(arrows.get(module, ())):
                yield from follow(target, [*path, module])
            done.add(module)

    for module in sorted(arrows):
        yield from follow(module, [])
