"""Cuts out the statements of a script that make one of its values, such as its data or its model."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from typing_extensions import override

from autotune.spec.first.functions import arguments_of, function_around, option_names
from autotune.spec.first.records import UnknownValueError
from autotune.spec.first.values import Constants

_MOVES = ("to", "cuda", "cpu")
"""Methods that move a tensor or a model to a device; they are left out, since trials do that."""


_METHODS = ("setup", "model", "loss", "metrics", "optimizer", "forward", "evaluate", "collate", "train_data", "knobs")
"""Names of a task's own methods; attributes of ``self`` with such a name are renamed, to keep the methods visible."""
_PARSES = ("parse_args", "parse_known_args")


@dataclass(frozen=True)
class Slice:
    """An expression with the statements before it that it needs, in their order."""

    statements: tuple[ast.stmt, ...]
    expression: ast.expr

    @property
    def names(self) -> frozenset[str]:
        """All names in the statements and the expression."""
        nodes = [node for part in (*self.statements, self.expression) for node in ast.walk(part)]
        return frozenset(node.id for node in nodes if isinstance(node, ast.Name))


def slice_before(
    tree: ast.Module, expression: ast.expr, *, constants: Constants, entered: frozenset[str] = frozenset()
) -> Slice:
    """The expression with the statements it needs, from the script's top and from the function around it.

    A loop or a condition is taken whole. Moves to a device are left out, and options of a
    command line become their defaults. A parameter of the function becomes the argument of its only call,
    or its default. Functions in ``entered`` are not entered again.
    """
    settle = _Settle(constants, options=option_names(tree))
    imported = _imported(tree)
    plain = settle.visit(ast.parse(ast.unparse(expression), mode="eval").body)
    needed = _reads(plain) - imported
    taken: list[ast.stmt] = []
    for statement in reversed([s for s in _visible(tree, expression) if s.lineno < expression.lineno]):
        if isinstance(statement, _NOT_TAKEN) or (statement in tree.body and is_constant(statement)):
            continue
        if _parses_arguments(statement):
            continue
        if _writes(statement) & needed:
            kept = settle.visit(ast.parse(ast.unparse(statement)).body[0])
            if not _is_idle(kept):
                taken.append(kept)
                needed |= _reads(kept) - imported
    given = _given(tree, expression, names=needed, constants=constants, entered=entered)
    statements = {ast.unparse(statement): statement for statement in (*given, *reversed(taken))}
    return Slice(tuple(statements.values()), plain)


def _given(
    tree: ast.Module, expression: ast.expr, *, names: set[str], constants: Constants, entered: frozenset[str]
) -> list[ast.stmt]:
    """Statements that bind the parameters of the function around the expression to their values."""
    function = function_around(tree, expression)
    if function is None or function.name in entered:
        return []
    found: list[ast.stmt] = []
    for name, value in arguments_of(tree, function).items():
        if name in names:
            part = slice_before(tree, value, constants=constants, entered=entered | {function.name})
            binding = ast.parse(f"{name} = {ast.unparse(part.expression)}").body[0]
            found += [*part.statements, *([] if _is_idle(binding) else [binding])]
    return found


def _parses_arguments(statement: ast.stmt) -> bool:
    """Whether the statement parses a command line, which would fail inside a task, on autotune's own options."""
    return not isinstance(statement, ast.FunctionDef) and any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PARSES
        for node in ast.walk(statement)
    )


_NOT_TAKEN = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Return)


def is_constant(statement: ast.stmt) -> bool:
    """Whether it is an assignment without a call, such as ``WIDTH = 32``; at the script's top it is copied as it is."""
    return isinstance(statement, ast.Assign) and not any(isinstance(node, ast.Call) for node in ast.walk(statement))


def _imported(tree: ast.Module) -> set[str]:
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for statement in statements for alias in statement.names}


class _Settle(ast.NodeTransformer):
    def __init__(self, constants: Constants, *, options: frozenset[str]) -> None:
        self._constants = constants
        self._options = options

    @override
    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in self._options:
            try:
                return ast.parse(repr(self._constants.value(node)), mode="eval").body
            except UnknownValueError:
                return node
        if isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr in _METHODS:
            node.attr += "_"
        self.generic_visit(node)
        return node

    @override
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _MOVES and _is_move(node):
                return value
            case ast.Call(func=ast.Attribute(attr="compile"), args=[model, *_]):
                return model
            case _:
                return node


def _is_move(call: ast.Call) -> bool:
    text = " ".join(map(ast.unparse, (*call.args, *(keyword.value for keyword in call.keywords))))
    return not text or any(word in text for word in ("device", "cuda", "cpu", "memory_format", "channels_last"))


def _is_idle(statement: ast.stmt) -> bool:
    """Whether the statement does nothing, such as ``x = x``, which is left of a move to a device."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=other)):
            return name == other
        case ast.Expr(value=ast.Name()):
            return True
        case _:
            return False


def _visible(tree: ast.Module, expression: ast.expr) -> Iterator[ast.stmt]:
    """The script's own statements, then those of each block around the expression."""
    block: Sequence[ast.stmt] = tree.body
    while True:
        yield from block
        around = next((s for s in block if any(node is expression for node in ast.walk(s))), None)
        blocks = [getattr(around, name, []) for name in ("body", "orelse", "finalbody")]
        inner = next((b for b in blocks if any(node is expression for s in b for node in ast.walk(s))), None)
        if inner is None:
            return
        block = inner


def _reads(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _writes(statement: ast.stmt) -> set[str]:
    """Names that the statement binds, or whose object it changes by a method call or an assignment to a member."""
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return set()
    bound = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            bound.add(name)
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name)) | ast.Attribute(value=ast.Name(id=name))]):
            bound.add(name)
        case _:
            pass
    return bound
