"""Which expressions a script's names are bound to, in each function and at the top."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Scope: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Module
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Binding:
    """One place that binds a name."""

    place: ast.AST
    value: ast.expr | None
    """The expression that is bound; None where there is none in the text: a loop's variable, ``x += 1``."""


class Scopes:
    """The functions and classes of a script, and which names each of them binds."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.classes: Mapping[str, ast.ClassDef] = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
        self.functions: Mapping[str, ast.FunctionDef] = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        self._known: dict[Scope, Mapping[str, list[Binding]]] = {}

    def knows(self, node: ast.AST) -> bool:
        """Whether the node is a part of the script, below its top."""
        return node in self._parents

    def ancestors(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Each node around ``node`` with its child on the way there, from the inside to the outside."""
        while (parent := self._parents.get(node)) is not None:
            yield parent, node
            node = parent

    def functions_around(self, node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Functions whose bodies hold the node, from the inside to the outside; a default is not in the body."""
        for parent, below in self.ancestors(node):
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and below in parent.body:
                yield parent

    def class_around(self, node: ast.AST) -> ast.ClassDef | None:
        """The innermost class around the node."""
        return next((parent for parent, _ in self.ancestors(node) if isinstance(parent, ast.ClassDef)), None)

    def owner(self, function: ast.AST) -> ast.ClassDef | None:
        """The class that the function is a method of; None for a plain function."""
        parent = self._parents.get(function)
        return parent if isinstance(parent, ast.ClassDef) else None

    def bindings(self, name: str, scope: Scope) -> list[Binding]:
        """Where this scope itself binds the name; parameters don't count."""
        if scope not in self._known:
            self._known[scope] = self._bindings(scope)
        return self._known[scope].get(name, [])

    def _bindings(self, scope: Scope) -> Mapping[str, list[Binding]]:
        """Where the scope binds each name; what a function declares ``global`` is bound at the script's top."""
        if isinstance(scope, ast.Module):
            bound = [*_bindings_in(scope), *_bound_by_functions(scope)]
        else:
            borrowed = _global_names(scope)
            bound = [(name, binding) for name, binding in _bindings_in(scope) if name not in borrowed]
        found: defaultdict[str, list[Binding]] = defaultdict(list)
        for name, binding in bound:
            found[name].append(binding)
        return found


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a body, without those of functions and classes within."""
    waiting = list(getattr(scope, "body", []))
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, _INNER):
            waiting = [*ast.iter_child_nodes(node), *waiting]


def _bound_by_functions(tree: ast.Module) -> Iterator[tuple[str, Binding]]:
    """The names that the script's functions declare ``global``, where they bind them."""
    for function in ast.walk(tree):
        borrowed = _global_names(function) if isinstance(function, ast.FunctionDef) else set()
        if borrowed:
            yield from ((name, binding) for name, binding in _bindings_in(function) if name in borrowed)


def _bindings_in(scope: ast.AST) -> Iterator[tuple[str, Binding]]:
    told: set[ast.AST] = set()
    for node in own_nodes(scope):
        if isinstance(node, _COMPREHENSIONS):  # a comprehension's variables belong to itself
            told.update(n for each in node.generators for n in ast.walk(each.target))
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            told.add(node.target)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in told:
            yield node.id, Binding(node, None)
        for target, value in _assignments(node):
            if isinstance(target, ast.Name):
                told.add(target)
                yield target.id, Binding(node, value)


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _unpacked(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield target, value
        case _:
            pass


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The single assignments in one of tuples: ``a, b = 1, 2`` gives two."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value


def _global_names(function: ast.AST) -> set[str]:
    return {name for node in own_nodes(function) if isinstance(node, ast.Global) for name in node.names}
