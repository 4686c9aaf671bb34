"""Every mutant of a source text. Pure."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
import difflib
from itertools import pairwise
import re

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),  # codespell:ignore notin
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
# What they say is no promise; that they are made is not tested either.
_UNTESTED = re.compile(r"_LOGGER\.")

type _Span = tuple[int, int]
type _Edit = tuple[_Span, str]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A source text with one fault. `lines`: those (from 1) of the statement that has it, one of
    which runs whenever the fault can show; none if it runs while the module is imported.
    """

    source: str
    line: int
    lines: range | None
    diff: str


def mutants_of(source: str) -> list[Mutant]:
    """Return all mutants, in the order of their lines."""
    encoded = source.encode()
    tree = ast.parse(source)
    seen = {ast.dump(tree)}
    found = []
    for lines, ((start, end), text) in sorted(
        _Edits(encoded).of(tree), key=lambda one: (one[1], str(one[0]))
    ):
        mutated = (encoded[:start] + text.encode() + encoded[end:]).decode()
        try:
            shape = ast.dump(ast.parse(mutated))
            compile(mutated, "mutant", "exec")
        except SyntaxError:
            continue  # such as a `yield` whose function has no other
        if shape not in seen:
            seen.add(shape)
            line = encoded.count(b"\n", 0, start) + 1
            found.append(Mutant(mutated, line, lines, _diff(source, mutated)))
    return found


def _diff(source: str, mutated: str) -> str:
    lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


class _Edits:
    """Finds what can be changed in a source text."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def of(
        self, node: ast.AST, lines: range | None = None, *, runs: bool = False
    ) -> Iterator[tuple[range | None, _Edit]]:
        """Yield every edit with the lines of its statement, if that runs after the import."""
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            lines = _head(node) if runs else None
        for edit in self._here(node, runs=runs):
            yield lines, edit
        for name, value in ast.iter_fields(node):
            # What the type checker sees, or would.
            if name in {"annotation", "returns", "type_params", "decorator_list"}:
                continue
            children = value if isinstance(value, list) else [value]
            is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            for child in children:
                if isinstance(child, ast.AST) and not self._is_left_out(child):
                    yield from self.of(child, lines, runs=runs or (is_function and name == "body"))

    def _is_left_out(self, node: ast.AST) -> bool:
        match node:
            case ast.TypeAlias() | ast.Assert():  # both speak to the type checker alone
                return True
            case ast.Call():
                return bool(_UNTESTED.match(self._text(node)))
            case ast.Expr():
                return self._is_left_out(node.value)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                return True
        return False

    def _here(self, node: ast.AST, *, runs: bool) -> Iterator[_Edit]:
        if isinstance(node, ast.stmt):
            yield from self._statement(node, runs=runs)
        else:
            yield from self._expression(node)
        if isinstance(node, (ast.If, ast.While, ast.IfExp)):
            yield from self._condition(node.test)

    def _statement(self, node: ast.stmt, *, runs: bool) -> Iterator[_Edit]:
        match node:
            case ast.AugAssign():
                yield from self._between(node.target, node.value, *self._augmented(node))
                yield self._span(node), "pass"
            case ast.Return(value=ast.expr() as value):
                yield self._span(value), "None"
            case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
                yield self._span(node), "pass"
            case ast.Expr(value=ast.Call() | ast.Await()) if runs:
                yield self._span(node), "pass"
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
                yield self._span(node), "pass"

    def _expression(self, node: ast.AST) -> Iterator[_Edit]:
        match node:
            case ast.Compare():
                yield from self._comparison(node)
            case ast.BoolOp():
                yield from self._boolean(node)
            case ast.UnaryOp(op=ast.Not()):
                yield self._span(node), f"({self._text(node.operand)})"
            case ast.BinOp():
                yield from self._between(node.left, node.right, *_ARITHMETIC.get(type(node.op), ()))
            case ast.Constant():
                yield from self._constant(node)
            case ast.comprehension():
                for condition in node.ifs:
                    yield self._span(condition), "True"
                    yield from self._condition(condition)
            case ast.ExceptHandler(type=ast.Tuple(elts=caught)):
                for one, other in pairwise([*caught, caught[0]]):
                    yield self._span(one), self._text(other)

    def _comparison(self, node: ast.Compare) -> Iterator[_Edit]:
        operands = [node.left, *node.comparators]
        for (left, right), operator in zip(pairwise(operands), node.ops, strict=True):
            old, replacements = _COMPARISONS[type(operator)]
            for new in replacements:
                yield from self._between(left, right, old, new)

    def _boolean(self, node: ast.BoolOp) -> Iterator[_Edit]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        # An operand that changes nothing is one that might as well be missing.
        neutral = "True" if old == "and" else "False"
        for operand in node.values:
            yield self._span(operand), neutral
        for left, right in pairwise(node.values):
            yield from self._between(left, right, old, new)

    def _condition(self, test: ast.expr) -> Iterator[_Edit]:
        """Turn round what no other fault does."""
        if not isinstance(test, (ast.Compare, ast.UnaryOp, ast.Constant)):
            yield self._span(test), f"(not ({self._text(test)}))"

    def _constant(self, node: ast.Constant) -> Iterator[_Edit]:
        match node.value:
            case bool():
                yield self._span(node), str(not node.value)
            case int() | float():
                yield self._span(node), str(node.value + 1)

    @staticmethod
    def _augmented(node: ast.AugAssign) -> tuple[str, ...]:
        return tuple(f"{operator}=" for operator in _ARITHMETIC.get(type(node.op), ()))

    def _between(self, left: ast.expr, right: ast.expr, *operators: str) -> Iterator[_Edit]:
        """Replace the operator between two operands, if it has a counterpart."""
        if not operators:
            return
        old, new = operators
        start, end = self._span(left)[1], self._span(right)[0]
        text = self._source[start:end].decode()
        if text.count(old) == 1:
            yield (start, end), text.replace(old, new)

    def _span(self, node: ast.expr | ast.stmt) -> _Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()


def _head(node: ast.stmt | ast.ExceptHandler) -> range:
    """Return the lines of a statement without those of the statements in it."""
    inner = (
        child.lineno
        for child in ast.walk(node)
        if child is not node and isinstance(child, (ast.stmt, ast.ExceptHandler))
    )
    end = next(inner, (node.end_lineno or node.lineno) + 1)
    return range(node.lineno, max(end, node.lineno + 1))
