"""Definitions of ``training/`` as text, so that a script holds the very code that trained, not a copy of it."""

import ast
import re
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_LINT = re.compile(r"  # (?:noqa|type: ignore).*$", re.MULTILINE)
_OVERRIDE = re.compile(r"^ *@override\n", re.MULTILINE)


def piece(module: str, *names: str) -> str:
    """The source of top-level classes, functions and constants of a module such as ``training.rng``, in this order.

    The source is read without importing the module, so that torch is not imported. Decorators are kept, except
    ``override``.
    """
    found = _definitions(module)
    text = "\n\n\n".join(found[name] for name in names)
    return _OVERRIDE.sub("", _LINT.sub("", text))


@cache
def _definitions(module: str) -> dict[str, str]:
    path = _ROOT.joinpath(*module.split(".")).with_suffix(".py")
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found: dict[str, str] = {}
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                first = node.lineno
            case _:
                continue
        assert node.end_lineno is not None
        found[name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found
