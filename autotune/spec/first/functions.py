"""The functions of a script: which one a place stands in, and what it is called with."""

import ast

_PARSED_NAMES = frozenset({"args", "opt", "options", "opts"})


def function_around(tree: ast.Module, expression: ast.expr) -> ast.FunctionDef | None:
    """The innermost function in whose body the expression stands."""
    found: ast.FunctionDef | None = None
    for node in ast.walk(tree):  # from the outside to the inside
        if isinstance(node, ast.FunctionDef) and any(
            inner is expression for statement in node.body for inner in ast.walk(statement)
        ):
            found = node
    return found


def arguments_of(tree: ast.Module, function: ast.FunctionDef) -> dict[str, ast.expr]:
    """What the function's parameters are: as in its only call, else their defaults.

    A function that is called in several places, or with ``*arguments``, has its defaults.
    """
    parameters = [*function.args.posonlyargs, *function.args.args]
    found = dict(zip([p.arg for p in parameters][::-1], function.args.defaults[::-1], strict=False))
    found |= {
        parameter.arg: default
        for parameter, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        if default is not None
    }
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function.name
    ]
    if len(calls) != 1 or any(isinstance(argument, ast.Starred) for argument in calls[0].args):
        return found
    found |= dict(zip([parameter.arg for parameter in parameters], calls[0].args, strict=False))
    return found | {keyword.arg: keyword.value for keyword in calls[0].keywords if keyword.arg is not None}


def option_names(tree: ast.Module) -> frozenset[str]:
    """Names that hold the options of a command line: those of habit, and what a parser's answer is bound to."""
    bound = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value).partition("(")[0].endswith(("parse_args", "parse_known_args"))
    }
    return _PARSED_NAMES | bound
