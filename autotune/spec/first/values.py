"""What an expression of a script is worth, as far as its text alone tells; nothing is ever run."""

import ast
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str | tuple["Value", ...] | None

_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class UnknownValueError(Exception):
    """The text alone does not tell; the message is the expression."""


class Constants:
    """Names of a script that have one value: assigned once, a key of such a dictionary, or an option's default."""

    def __init__(self, tree: ast.Module) -> None:
        self._assigned = _assigned_once(tree)
        self._options = dict(_options(tree))
        self._open: set[str] = set()

    def value(self, node: ast.expr) -> Value:  # noqa: PLR0911 - a kind of expression each
        """The expression's value; raises UnknownValueError where it is computed from more than constants."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as constant):
                return constant
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return tuple(self.value(element) for element in elements)
            case ast.Name(id=name) if name in self._assigned:
                return self._named(name, self._assigned[name])
            case ast.Attribute(value=ast.Name(), attr=name) if name in self._options:
                return self._named(f".{name}", self._options[name])
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)):
                return self.value(self._entry(node, name, key))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._computed(type(op), left, right)
        raise UnknownValueError(ast.unparse(node))

    def _computed(self, op: type[ast.operator], left: ast.expr, right: ast.expr) -> float:
        try:
            return _OPERATORS[op](self._number(left), self._number(right))
        except ZeroDivisionError:
            raise UnknownValueError(f"{ast.unparse(left)} by {ast.unparse(right)}") from None

    def _named(self, name: str, node: ast.expr) -> Value:
        if name in self._open:
            raise UnknownValueError(name)
        self._open.add(name)
        try:
            return self.value(node)
        finally:
            self._open.discard(name)

    def _number(self, node: ast.expr) -> float:
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnknownValueError(ast.unparse(node))
        return value

    def _entry(self, node: ast.expr, name: str, key: str) -> ast.expr:
        table = self._assigned.get(name)
        if isinstance(table, ast.Dict):
            for entry, value in zip(table.keys, table.values, strict=True):
                if isinstance(entry, ast.Constant) and entry.value == key:
                    return value
        raise UnknownValueError(ast.unparse(node))


def _assigned_once(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the whole script binds exactly once, by a plain assignment."""
    bound = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not _is_load(node))
    bound.update(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if bound[name] == 1:
                found[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if bound[name] == 1:
                found[name] = value
            case _:
                pass
    return found


def _options(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Options of argparse with their defaults, by the attribute that holds them."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=names, keywords=keywords):
                given = {keyword.arg: keyword.value for keyword in keywords}
                flags = [name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)]
                flag = next((name for name in flags if name.startswith("--")), flags[0] if flags else "")
                if "default" in given:
                    yield flag.lstrip("-").replace("-", "_"), given["default"]
                elif isinstance(given.get("action"), ast.Constant) and ast.unparse(given["action"]) == "'store_true'":
                    yield flag.lstrip("-").replace("-", "_"), ast.Constant(value=False)
            case _:
                pass


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)
