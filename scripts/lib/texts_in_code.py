"""Finds the translated texts that an integration's code asks for."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from homeassistant.const import Platform

PLATFORMS = frozenset(platform.value for platform in Platform)
EXCEPTION_ENDINGS = ("Error", "Failed", "NotReady", "NotFound")


@dataclass(frozen=True, slots=True)
class TextUse:
    """One place in the code that names a text in translations/en.json.

    `section` is the path of the text's parent there (`("entity", "sensor")`), `placeholders` are
    the names filled in; None where the code does not tell.
    """

    where: str
    section: tuple[str, ...] | None
    key: str
    placeholders: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class CodeTexts:
    """What the code of one integration says about texts."""

    uses: tuple[TextUse, ...]
    # Steps and abort reasons of flows, by the file that has them.
    steps: tuple[TextUse, ...]
    aborts: tuple[TextUse, ...]
    # Every string in the code: a key that is none of them is used nowhere.
    strings: frozenset[str]


def read(folder: Path) -> CodeTexts:
    """Return what all Python files below `folder` say about texts."""
    uses: list[TextUse] = []
    steps: list[TextUse] = []
    aborts: list[TextUse] = []
    strings: set[str] = set()
    trees = {
        file.relative_to(folder).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
        for file in sorted(folder.rglob("*.py"))
    }
    codes = {name: code for tree in trees.values() for name, code in _codes(tree)}
    uses.extend(TextUse(name, ("common",), code) for name, code in codes.items())
    for name, tree in trees.items():
        uses.extend(_text_uses(tree, name))
        uses.extend(_common_uses(tree, name, codes))
        steps.extend(_keyword_uses(tree, name, "step_id"))
        aborts.extend(_keyword_uses(tree, name, "reason"))
        strings.update(_strings(tree))
    return CodeTexts(tuple(uses), tuple(steps), tuple(aborts), frozenset(strings))


def _text_uses(tree: ast.AST, file: str) -> Iterator[TextUse]:
    platform = file.removesuffix(".py")
    entity = ("entity", platform) if platform in PLATFORMS else None
    for node in ast.walk(tree):
        where = f"{file}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.Call(func=function, keywords=keywords):
                arguments = {keyword.arg: keyword.value for keyword in keywords}
                section = _section(called(function), entity)
                value = arguments.get("translation_key")
                if section and section == entity:  # whose key is its translation key: entity.py
                    value = value or arguments.get("key")
                for key in _texts_of(value):
                    yield TextUse(where, section, key, _placeholders(arguments))
            case ast.Assign(targets=[ast.Name(id="_attr_translation_key")], value=value):
                for key in _texts_of(value):
                    yield TextUse(where, entity, key)


def _codes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the codes that reasons are made of, each with the key of its text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(called(base) == "Code" for base in node.bases):
            for line in node.body:
                match line:
                    case ast.Assign(
                        targets=[ast.Name(id=name)], value=ast.Constant(value=str(key))
                    ):
                        yield f"{node.name}.{name}", key


def _common_uses(tree: ast.AST, file: str, codes: Mapping[str, str]) -> Iterator[TextUse]:
    """Yield where a text of `common` is filled in: by its key, or by its code."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="fill"), args=[ast.Constant(value=str(key))]):
                yield _common_use(node, file, key)
            case ast.Call(
                func=ast.Name(id="Reason") | ast.Attribute(attr="of", value=ast.Name(id="Reason")),
                args=[ast.Attribute(attr=name, value=ast.Name(id=kind))],
            ) if (code := codes.get(f"{kind}.{name}")) is not None:
                yield _common_use(node, file, code)


def _common_use(node: ast.Call, file: str, key: str) -> TextUse:
    names = [keyword.arg for keyword in node.keywords]
    filled = None if None in names else frozenset(name for name in names if name)
    return TextUse(f"{file}:{node.lineno}", ("common",), key, filled)


def _section(called: str, entity: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if called.endswith("create_issue"):
        return ("issues",)
    if called.endswith("SelectorConfig"):
        return ("selector",)
    if called.endswith("Description"):
        return entity
    if called.endswith(EXCEPTION_ENDINGS):
        return ("exceptions",)
    return None


def called(function: ast.expr) -> str:
    """Return the last part of the name of what is called, "" if it has none."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return called(value)
    return ""


def _texts_of(node: ast.expr | None) -> Iterator[str]:
    """Yield the literal text of an expression, or both of a conditional one."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts_of(body)
            yield from _texts_of(orelse)


def _placeholders(arguments: dict[str | None, ast.expr]) -> frozenset[str] | None:
    if None in arguments:  # **something
        return None
    match arguments.get("translation_placeholders"):
        case None | ast.Constant(value=None):
            return frozenset()
        case ast.Dict(keys=keys):
            names = [name for key in keys for name in _texts_of(key)]
            return frozenset(names) if len(names) == len(keys) else None
    return None


def _keyword_uses(tree: ast.AST, file: str, keyword: str) -> Iterator[TextUse]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == keyword:
            for key in _texts_of(node.value):
                yield TextUse(f"{file}:{node.lineno}", None, key)


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                if called(function) == "auto":  # a member of a StrEnum
                    yield name.lower()
