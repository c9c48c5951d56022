"""A task's own file, as it can stand in a script that has no autotune."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autotune.errors import RunError
from autotune.spec.source import find_source

STOOD_IN = frozenset({"Task", "TaskKnob", "InfeasibleError", "Trial", "Parameters", "Batch", "Scalar", "count_samples"})
"""Names of autotune that a script defines itself, under the same name."""


@dataclass(frozen=True, kw_only=True)
class TaskSource:
    """A task's module, ready to be written into a script."""

    text: str
    """The module's text without imports of autotune and without its ``if __name__ == "__main__"`` block."""
    name: str
    """Name of the task's class or function."""
    kind: Literal["class", "function"]
    path: Path
    names: frozenset[str]
    """Names that the module binds at its top, without those that a script imports just as it does."""
    modules: tuple[str, ...]
    """Top-level packages that it imports."""
    roots: tuple[Path, ...] = ()
    """The folder that its own package is imported from; none for a file that is in no package."""


def read_task_source(reference: str) -> TaskSource:
    """The source of a task named ``package.module:Name`` or ``path/to/file.py:Name``; nothing is imported.

    Raises:
        RunError: There is no such file or name, or it needs parts of autotune that a script lacks.
    """
    location, _, name = reference.rpartition(":")
    path = _find(reference)
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    kinds = {node.name: type(node) for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    if name not in kinds:
        raise RunError(f"task {reference}: a script needs the task to be defined in {path}, got none there; move it")
    package = ""
    if not location.endswith(".py"):
        package = location if path.name == "__init__.py" else location.rpartition(".")[0]
    own = (
        {package.partition(".")[0]} if any(isinstance(n, ast.ImportFrom) and n.level for n in ast.walk(tree)) else set()
    )
    return TaskSource(
        text=_without_autotune(text, tree=tree, reference=reference, package=package),
        name=name,
        kind="class" if kinds[name] is ast.ClassDef else "function",
        path=path,
        names=frozenset(_top_names(tree)),
        roots=(path.parents[package.count(".") + 1],) if package else (),
        modules=tuple(sorted((_modules(tree) | own) - {"autotune", "__future__"} - sys.stdlib_module_names)),
    )


def _find(reference: str) -> Path:
    path = find_source(reference)
    if path is None:
        raise RunError(f"task {reference}: a script repeats its source, got no file of it; go where it can be imported")
    return path


def _without_autotune(text: str, *, tree: ast.Module, reference: str, package: str) -> str:
    lines = text.split("\n")  # as the parser counts them: splitlines would cut at a form feed, too
    programs = [node for node in tree.body if _is_program(node)]
    alone = {inner for program in programs for inner in ast.walk(program) if inner is not program}
    for node in ast.walk(tree):
        if node in alone:
            continue
        match node:
            case ast.Import() if any(alias.name.partition(".")[0] == "autotune" for alias in node.names):
                raise _refusal(reference, "import autotune", line=node.lineno)
            case ast.ImportFrom(module="__future__"):
                _replace(lines, node, "")
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] == "autotune" and not node.level:
                _replace(lines, node, _stand_ins(node, reference=reference))
            case ast.ImportFrom() if node.level:
                _replace(lines, node, _absolute(node, package=package, reference=reference))
            case ast.If() if node in programs:
                _replace(lines, node, "pass")
            case _:
                pass
    return "\n".join(lines).strip()


def _is_program(node: ast.stmt) -> bool:
    """Whether it is an ``if __name__ == "__main__"`` block, which runs only when the module is the program."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and "__name__" in ast.unparse(node.test)


def _stand_ins(node: ast.ImportFrom, *, reference: str) -> str:
    for alias in node.names:
        if alias.name not in STOOD_IN:
            raise _refusal(reference, f"{node.module}.{alias.name}", line=node.lineno)
    renamed = [f"{alias.asname} = {alias.name}" for alias in node.names if alias.asname not in {None, alias.name}]
    return "; ".join(renamed) or ("pass" if node.col_offset else "")


def _absolute(node: ast.ImportFrom, *, package: str, reference: str) -> str:
    parts = package.split(".")[: len(package.split(".")) - (node.level - 1)]
    if not package or not parts:
        raise _refusal(reference, "an import relative to its package", line=node.lineno)
    names = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in node.names)
    return f"from {'.'.join([*parts, *([node.module] if node.module else [])])} import {names}"


def _replace(lines: list[str], node: ast.stmt, text: str) -> None:
    """Replace the statement by the text; the number of lines is kept, so that other nodes' lines stay right."""
    assert node.end_lineno is not None
    for line in range(node.lineno - 1, node.end_lineno):
        lines[line] = ""
    lines[node.lineno - 1] = " " * node.col_offset + text if text else ""


def _refusal(reference: str, what: str, *, line: int) -> RunError:
    names = ", ".join(sorted(STOOD_IN))
    return RunError(
        f"task {reference}: a script without autotune can stand in for {names}, got {what} in line {line}; "
        "use --format json, or train it with `autotune trial replay`"
    )


def _top_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(module=module, names=aliases) if (module or "").partition(".")[0] != "autotune":
                names |= {alias.asname or alias.name for alias in aliases if not _is_of_torch(module, alias)}
            case ast.Import(names=aliases):
                names |= {alias.asname for alias in aliases if alias.asname}
            case _:
                pass
    return names


def _is_of_torch(module: str | None, alias: ast.alias) -> bool:
    """Whether a name is imported from torch under its own name, so that a script's own imports bind the same."""
    return alias.asname in {None, alias.name} and (module or "").partition(".")[0] == "torch"


def _modules(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
