"""Finds the members of a script's objects in its text: of dictionaries, classes of settings, and ``self``."""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator

from autotune.spec.first.functions import Function
from autotune.spec.first.scopes import Scopes, own_nodes

_MADE_OF_KEYWORDS = ("dict", "SimpleNamespace", "Namespace", "EasyDict", "AttrDict", "Munch", "ConfigDict", "create")
_PARSERS = ("cli", "parse", "structured", "instantiate")
"""Functions that make an object of the class that they get: ``tyro.cli(Args)``, ``OmegaConf.structured(Config)``."""


class UnknownValueError(Exception):
    """The script's text does not tell an expression's value; the message is the expression."""


class Records:
    """Finds the expressions that members of objects are bound to; None where the text does not tell."""

    def __init__(
        self,
        scopes: Scopes,
        *,
        meaning: Callable[[ast.Name], ast.expr],
        argument: Callable[[Function, str], ast.expr],
    ) -> None:
        """Prepare to look members up.

        Args:
            scopes: The script's scopes.
            meaning: Gives the expression that a name stands for; raises UnknownValueError where there is not just one.
            argument: Gives the expression that a function's parameter stands for; raises UnknownValueError as well.
        """
        self._scopes = scopes
        self._meaning = meaning
        self._argument = argument
        self._assigned: defaultdict[tuple[str, str], list[ast.expr]] = defaultdict(list)
        for holder, name, value in _assigned_members(scopes.tree):
            self._assigned[holder, name].append(value)
        self._open: set[tuple[int, str]] = set()

    def member(self, owner: ast.expr, name: str) -> ast.expr | None:
        """The expression that ``owner.name`` or ``owner["name"]`` is bound to; None where the text does not tell."""
        key = id(owner), name
        if key in self._open:
            return None
        self._open.add(key)
        try:
            return self._member(owner, name)
        finally:
            self._open.discard(key)

    def _member(self, owner: ast.expr, name: str) -> ast.expr | None:  # noqa: PLR0911, C901 - a kind of owner each
        set_later = self._set_on(owner, name)
        if set_later:
            return set_later[0] if len(set_later) == 1 else None
        match owner:
            case ast.Name(id="self"):
                around = self._scopes.class_around(owner)
                return None if around is None else self._of_class(around, name)
            case ast.Name():
                made = self._made(owner)
                return self._of_annotation(owner, name) if made is None else self.member(made, name)
            case ast.Attribute(value=inner, attr="hparams"):  # Lightning: what __init__ was given
                around = self._scopes.class_around(inner)
                return None if around is None else self._parameter(around, name)
            case ast.Attribute(value=inner, attr=attribute):
                made = self.member(inner, attribute)
                return None if made is None else self.member(made, name)
            case ast.Subscript(value=inner, slice=ast.Constant(value=str() as key)):
                made = self.member(inner, key)
                return None if made is None else self.member(made, name)
            case ast.Dict():
                return _entry(owner, name)
            case ast.Call():
                return self._of_call(owner, name)
            case _:
                return None

    def entries(self, node: ast.expr, *, is_dead: Callable[[ast.AST], bool]) -> dict[str, ast.expr] | None:
        """The entries of a dictionary, updates and assigned keys included; None where the text does not tell."""
        if isinstance(node, ast.Name):
            made = self._made(node)
            found = None if made is None else self.entries(made, is_dead=is_dead)
            if found is None:
                return None
            for call in _updates(self._scopes.tree, node.id):
                if not is_dead(call):
                    found |= self.entries(call.args[0], is_dead=is_dead) or {}
            put = {name: values for (holder, name), values in self._assigned.items() if holder == node.id}
            return found | {name: values[0] for name, values in put.items() if len(values) == 1}
        match node:
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
            case ast.Call(func=ast.Name(id="dict"), args=[]):
                return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
            case _:
                return None

    def returned(self, function: ast.FunctionDef) -> ast.expr | None:
        """The expression that a function returns; None where it has not exactly one ``return``."""
        returns = [node for node in own_nodes(function) if isinstance(node, ast.Return)]
        return returns[0].value if len(returns) == 1 else None

    def _made(self, name: ast.Name) -> ast.expr | None:
        try:
            return self._meaning(name)
        except UnknownValueError:
            return None

    def _of_call(self, call: ast.Call, name: str) -> ast.expr | None:
        function = ast.unparse(call.func).rpartition(".")[2]
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if function in self._scopes.classes:
            return self._of_class(self._scopes.classes[function], name, call=call)
        if function in _MADE_OF_KEYWORDS:
            return given.get(name) or (self.member(call.args[0], name) if call.args else None)
        if function == "field" and isinstance(given.get("default_factory"), ast.Name):
            return self._of_named(given["default_factory"], name)
        if function in _PARSERS and call.args:
            return self._of_named(call.args[0], name)
        if isinstance(call.func, ast.Name) and function in self._scopes.functions:
            made = self.returned(self._scopes.functions[function])
            return None if made is None else self.member(made, name)
        return None

    def _of_named(self, node: ast.expr, name: str) -> ast.expr | None:
        found = self._scopes.classes.get(node.id) if isinstance(node, ast.Name) else None
        return None if found is None else self._of_class(found, name)

    def _of_annotation(self, owner: ast.Name, name: str) -> ast.expr | None:
        """A member of a function's parameter, by the class it is annotated with: ``def main(config: Config)``."""
        for function in self._scopes.functions_around(owner):
            for argument in (*function.args.args, *function.args.kwonlyargs):
                if argument.arg == owner.id:
                    return None if argument.annotation is None else self._of_named(argument.annotation, name)
        return None

    def _of_class(self, cls: ast.ClassDef, name: str, *, call: ast.Call | None = None) -> ast.expr | None:
        """A member of an object of the class: set on ``self``, passed to the constructor, a default, or inherited."""
        on_self = [value for owner, attribute, value in _assigned_members(cls) if (owner, attribute) == ("self", name)]
        if on_self:
            return on_self[0] if len(on_self) == 1 else None
        if call is not None and (given := self._given(cls, call).get(name)) is not None:
            return given
        for node in cls.body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                    return value
                case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                    return value
                case _:
                    pass
        bases = [
            self._scopes.classes[b.id] for b in cls.bases if isinstance(b, ast.Name) and b.id in self._scopes.classes
        ]
        inherited = (self._of_class(base, name) for base in bases if base is not cls)
        return next((value for value in inherited if value is not None), None)

    def _given(self, cls: ast.ClassDef, call: ast.Call) -> dict[str, ast.expr]:
        """The fields that this call sets, for a class without a constructor of its own (a dataclass); else empty."""
        if any(isinstance(node, ast.FunctionDef) and node.name == "__init__" for node in cls.body):
            return {}
        fields = [n.target.id for n in cls.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
        return {**dict(zip(fields, call.args, strict=False)), **named}

    def _parameter(self, cls: ast.ClassDef, name: str) -> ast.expr | None:
        """The expression that a parameter of the constructor stands for; None where the text does not tell."""
        makers = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        try:
            return self._argument(makers[0], name) if makers else None
        except UnknownValueError:
            return None

    def _set_on(self, owner: ast.expr, name: str) -> list[ast.expr]:
        """Expressions assigned to a member of a named object: ``config.lr = 0.1``, ``config["lr"] = 0.1``."""
        if not isinstance(owner, ast.Name) or owner.id == "self":
            return []
        return self._assigned[owner.id, name]


def _assigned_members(tree: ast.AST) -> Iterator[tuple[str, str, ast.expr]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=owner), attr=name)], value=value):
                yield owner, name, value
            case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id=owner), attr=name), value=ast.expr() as value):
                yield owner, name, value
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value=str() as name))], value=value
            ):
                yield owner, name, value
            case ast.AugAssign(target=ast.Attribute(value=ast.Name(id=owner), attr=name)):
                yield owner, name, node.value
                yield owner, name, node.value  # yielded twice, so that it does not count as one value
            case _:
                pass


def _updates(tree: ast.AST, name: str) -> list[ast.Call]:
    """Calls of the form ``settings.update(more)``."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 1]
    return [call for call in calls if ast.unparse(call.func) == f"{name}.update"]


def _entry(table: ast.Dict, name: str) -> ast.expr | None:
    for key, value in zip(table.keys, table.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == name:
            return value
    return None
