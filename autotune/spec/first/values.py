"""Evaluates expressions of a script as far as its text tells their values; nothing is run."""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from autotune.spec.first.functions import arguments_in, calls_of, options_of
from autotune.spec.first.records import Records, UnknownValueError
from autotune.spec.first.scopes import Binding, Scopes

Value: TypeAlias = bool | int | float | str | tuple["Value", ...] | None

_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}
_CASTS: Mapping[str, Callable[[float], float]] = {"int": int, "float": float, "bool": bool}
_MOST_POWER = 64


class Constants:
    """Evaluates expressions that lead to constants.

    A name is looked up in the function around it, then at the top. A function's parameter has the value
    that all its calls pass, or its default. Attributes and keys are looked up in the classes and
    dictionaries of the script, and options of a command line have their defaults.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._scopes = Scopes(tree)
        self._records = Records(self._scopes, meaning=self._meaning, argument=self._argument)
        self._options = options_of(tree)
        self._open: set[int] = set()
        self._tests: dict[ast.expr, bool | None] = {}

    def value(self, node: ast.expr) -> Value:
        """The expression's value; raises UnknownValueError where it is computed from more than constants."""
        if id(node) in self._open:
            raise UnknownValueError(ast.unparse(node))
        self._open.add(id(node))
        try:
            return self._value(node)
        except RecursionError:
            raise UnknownValueError(ast.unparse(node)) from None
        finally:
            self._open.discard(id(node))

    def at_top(self, name: str) -> ast.expr | None:
        """The expression that the name is bound to at the script's top; None where there is not exactly one."""
        bound = self._alive(self._scopes.bindings(name, self._scopes.tree))
        return bound[0].value if len(bound) == 1 else None

    def maker(self, node: ast.expr) -> ast.expr:
        """The expression that makes an object which a method uses from ``self`` or from a parameter.

        It is followed through other methods, and through calls of the class. ``node`` itself where that leads nowhere.
        """
        seen: set[ast.expr] = set()
        while node not in seen:
            seen.add(node)
            function = next(self._scopes.functions_around(node), None)
            if function is None or self._scopes.owner(function) is None:
                return node
            node = self._brought(node, function) or node
        return node

    def _brought(self, node: ast.expr, method: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.expr | None:
        """The expression that another method assigned to ``self``, or that the method's call passes; else None."""
        try:
            match node:
                case ast.Attribute(value=ast.Name(id="self") as owner, attr=name) if not _puts(method, name):
                    return self._records.member(owner, name)
                case ast.Name(id=name) if any(each.arg == name for each in _parameters(method.args)):
                    return None if self._scopes.bindings(name, method) else self._argument(method, name)
                case _:
                    return None
        except UnknownValueError:
            return None

    def entries(self, node: ast.expr) -> dict[str, ast.expr] | None:
        """The entries of a dictionary of the script, updates included; None where the text does not tell."""
        return self._records.entries(node, is_dead=self.is_dead)

    def is_dead(self, node: ast.AST) -> bool:
        """Whether the node is in a branch that is never taken, with the values that the script has."""
        for parent, below in self._scopes.ancestors(node):
            if not isinstance(parent, ast.If) or below is parent.test:
                continue
            if parent.test not in self._tests:
                self._tests[parent.test] = None  # ends the recursion for a test of names that its own branches bind
                self._tests[parent.test] = self._truth(parent.test)
            is_taken = self._tests[parent.test]
            if is_taken is not None and is_taken != (below in parent.body):
                return True
        return False

    def _value(self, node: ast.expr) -> Value:  # noqa: PLR0911, C901 - a kind of expression each
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as constant):
                return constant
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return tuple(self.value(element) for element in elements)
            case ast.Name():
                return self.value(self._meaning(node))
            case ast.Attribute(attr=name):
                return self._member(node, node.value, name)
            case ast.Subscript(value=owner, slice=ast.Constant(value=str() as key)):
                return self._member(node, owner, key)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return self._computed(op, left, right)
            case ast.BoolOp(op=ast.Or(), values=values):
                return next((value for each in values if (value := self.value(each))), self.value(values[-1]))
            case ast.IfExp(test=test, body=body, orelse=orelse) if (is_true := self._truth(test)) is not None:
                return self.value(body if is_true else orelse)
            case ast.Call():
                return self._called(node)
            case _:
                raise UnknownValueError(ast.unparse(node))

    def _member(self, node: ast.expr, owner: ast.expr, name: str) -> Value:
        """The value of a member of the script's objects and dictionaries, else of an option of the command line."""
        member = self._records.member(owner, name)
        if member is not None:
            return self.value(member)
        if name in self._options and isinstance(owner, ast.Name | ast.Attribute | ast.Call):
            return self.value(self._options[name])
        raise UnknownValueError(ast.unparse(node))

    def _called(self, call: ast.Call) -> Value:
        name = ast.unparse(call.func).rpartition(".")[2]
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if name in _CASTS and len(call.args) == 1:
            return _CASTS[name](self._number(call.args[0]))
        if name == "field" and "default" in given:  # a dataclass
            return self.value(given["default"])
        if name in {"Option", "Argument"} and call.args:  # typer
            return self.value(call.args[0])
        if isinstance(call.func, ast.Name) and name in self._scopes.functions:
            returned = self._records.returned(self._scopes.functions[name])
            if returned is not None:
                return self.value(returned)
        raise UnknownValueError(ast.unparse(call))

    def _meaning(self, node: ast.Name) -> ast.expr:
        """The expression that the name stands for in its place; raises UnknownValueError unless there is just one."""
        for function in self._scopes.functions_around(node):
            bound = self._alive(self._scopes.bindings(node.id, function))
            is_parameter = any(each.arg == node.id for each in _parameters(function.args))
            if is_parameter and not bound:
                return self._argument(function, node.id)
            if is_parameter or bound:
                return _only(bound if not is_parameter else [], node)
        bound = self._alive(self._scopes.bindings(node.id, self._scopes.tree))
        if not bound and not self._scopes.knows(node):
            bound = self._alive([b for f in self._scopes.functions.values() for b in self._scopes.bindings(node.id, f)])
        return _only(bound, node)

    def _argument(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> ast.expr:
        """The expression that a parameter stands for; raises UnknownValueError where calls pass different values."""
        owner = self._scopes.owner(function)
        calls = [call for call in calls_of(function, owner, tree=self._scopes.tree) if not self.is_dead(call)]
        given = [arguments_in(call, function, is_method=owner is not None).get(name) for call in calls]
        default = arguments_in(None, function, is_method=owner is not None).get(name) or self._options.get(name)
        expressions = [expression for each in given or [None] if (expression := each or default) is not None]
        if not expressions or len(expressions) < len(given):
            raise UnknownValueError(f"{name}, which nothing in the text gives {function.name}")
        first, *others = expressions
        if others and any(self.value(other) != self.value(first) for other in others):
            raise UnknownValueError(f"{name}, which differs between the calls of {function.name}")
        return first

    def _alive(self, bindings: Sequence[Binding]) -> list[Binding]:
        return (
            [binding for binding in bindings if not self.is_dead(binding.place)] if len(bindings) > 1 else [*bindings]
        )

    def _truth(self, test: ast.expr) -> bool | None:
        """Whether a condition is true; None where the text does not tell."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._truth(operand)
                return None if inner is None else not inner
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                pair = self._settled(left), self._settled(right)
                return None if None in pair else _COMPARISONS[type(op)](*pair)
            case _:
                known = self._settled(test)
                return None if known is None else bool(known[0])

    def _settled(self, node: ast.expr) -> tuple[Value] | None:
        try:
            return (self.value(node),)
        except UnknownValueError:
            return None

    def _computed(self, op: ast.operator, left: ast.expr, right: ast.expr) -> float:
        one, other = self._number(left), self._number(right)
        try:
            if isinstance(op, ast.Pow) and abs(other) <= _MOST_POWER:
                power = math.pow(one, other)
                return int(power) if power.is_integer() else power
            return _OPERATORS[type(op)](one, other)
        except (ArithmeticError, KeyError):
            raise UnknownValueError(f"{ast.unparse(left)} with {ast.unparse(right)}") from None

    def _number(self, node: ast.expr) -> float:
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnknownValueError(ast.unparse(node))
        return value


def _puts(method: ast.AST, name: str) -> bool:
    """Whether the method itself sets ``self.name``."""
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node) == f"self.{name}"
        for node in ast.walk(method)
    )


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


def _only(bindings: Sequence[Binding], node: ast.Name) -> ast.expr:
    if len(bindings) != 1 or bindings[0].value is None:
        raise UnknownValueError(node.id)
    return bindings[0].value
