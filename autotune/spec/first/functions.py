"""Finds the function around an expression of a script, and the arguments that the script calls it with."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

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
    """The expressions that the function's parameters stand for: those of its only call, else the defaults.

    The defaults hold for a function that is called in several places, or with ``*arguments``.
    """
    calls = calls_of(function, None, tree=tree)
    return arguments_in(calls[0] if len(calls) == 1 else None, function, is_method=False)


def calls_of(function: Function, owner: ast.ClassDef | None, *, tree: ast.Module) -> list[ast.Call]:
    """The script's calls of the function: of a method those on ``self``, of a constructor those of its class."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if owner is None:
        return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == function.name]
    if function.name == "__init__":
        return [call for call in calls if ast.unparse(call.func).rpartition(".")[2] == owner.name]
    return [call for call in calls if ast.unparse(call.func) == f"self.{function.name}"]


def arguments_in(call: ast.Call | None, function: Function, *, is_method: bool) -> dict[str, ast.expr]:
    """The expression that the call passes for each parameter, else its default; with ``call`` None, all defaults."""
    parameters = [*function.args.posonlyargs, *function.args.args][is_method:]
    found = dict(zip([p.arg for p in parameters][::-1], function.args.defaults[::-1], strict=False))
    found |= {
        parameter.arg: default
        for parameter, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        if default is not None
    }
    if call is None or any(isinstance(argument, ast.Starred) for argument in call.args):
        return found
    found |= dict(zip([parameter.arg for parameter in parameters], call.args, strict=False))
    return found | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def options_of(tree: ast.Module) -> Mapping[str, ast.expr]:
    """Defaults of the command line's options (argparse, click, absl), by the name that holds the option's value."""
    return dict(option for call in ast.walk(tree) if isinstance(call, ast.Call) for option in _options_in(call))


def _options_in(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Names and defaults of the options that the call declares."""
    maker = ast.unparse(call.func).rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
    flags = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if maker == "set_defaults":
        yield from given.items()
    elif maker.startswith("DEFINE_") and flags and len(call.args) > 1:
        yield flags[0], call.args[1]
    elif maker in {"add_argument", "option"} and flags:
        default = _default_in(given)
        if default is not None:
            yield _holder_of(flags, given), default


def _holder_of(flags: Sequence[str], given: Mapping[str, ast.expr]) -> str:
    """The name that holds an option's value: its ``dest``, else made of its first long flag, else of its first one."""
    dest = given.get("dest")
    if isinstance(dest, ast.Constant) and isinstance(dest.value, str):
        return dest.value
    flag = next((name for name in flags if name.startswith("--")), flags[0])
    return flag.partition("/")[0].lstrip("-").replace("-", "_")


def _default_in(given: Mapping[str, ast.expr]) -> ast.expr | None:
    """The default of an option with these arguments; that of a switch is what it does not store. None without one."""
    if "default" in given:
        return given["default"]
    match given.get("action"):
        case ast.Constant(value="store_true"):
            return ast.Constant(value=False)
        case ast.Constant(value="store_false"):
            return ast.Constant(value=True)
        case _:
            return None


def option_names(tree: ast.Module) -> frozenset[str]:
    """Names of variables that hold parsed options: the usual ones, and those that ``parse_args()`` is assigned to."""
    bound = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value).partition("(")[0].endswith(("parse_args", "parse_known_args"))
    }
    return _PARSED_NAMES | bound
