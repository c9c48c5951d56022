"""Drafts a task from a plain PyTorch script."""

import ast
import builtins
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autotune.spec.first.reader import loaders_of
from autotune.spec.first.script import Script
from autotune.spec.first.slices import Slice, is_constant, slice_before
from autotune.spec.first.values import Constants
from autotune.spec.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class TaskDraft:
    """The task's text, and what is left for a person to do in it."""

    text: str
    is_classification: bool
    missing: tuple[str, ...]
    """Methods that raise NotImplementedError until they are written."""
    unbound: tuple[str, ...] = ()
    """Names that the task uses but does not define, since the script's text does not tell what they are."""


@dataclass(frozen=True)
class Loss:
    """The loss that a script trains with."""

    function: ast.expr | None
    """The function that is called with outputs and targets; None for plain cross-entropy, a task's default."""
    is_classification: bool


def draft_task(script: Script, *, path: Path) -> TaskDraft:
    """The script's data, model and loss as a task; parts that its text does not tell are left for the user."""
    constants = Constants(script.tree)
    datasets = [data for call in loaders_of(script.tree) if (data := _dataset(call)) is not None]
    made = [slice_before(script.tree, constants.maker(data), constants=constants) for data in datasets[:2]]
    model = _model(script.tree)
    model_slice = slice_before(script.tree, constants.maker(model), constants=constants) if model is not None else None
    loss = _loss(script.tree)
    slices = [*made, *([model_slice] if model_slice else [])]
    used: list[ast.AST] = [part for each in slices for part in (*each.statements, each.expression)]
    used += [loss.function] if loss.function else []
    parts = [
        f'"""The training of {path.name} as a task: read from its text by `autotune init`, to be checked by you."""',
        "",
        *_imports(script, used=used, path=path),
        *(["import torch", "from torch.utils.data import random_split"] if len(made) == 1 else []),
        "",
        "from autotune.training import Task",
        "",
        *_definitions(script, used=used),
        "",
        "class MyTask(Task):",
        *_data_lines(made),
        "",
        *_model_lines(model_slice),
        *_loss_lines(loss),
    ]
    missing = (*(() if made else ("train_data", "validation_data")), *(() if model_slice else ("model",)))
    text = "\n".join(parts) + "\n"
    return TaskDraft(text, is_classification=loss.is_classification, missing=missing, unbound=_unbound(text))


def _unbound(text: str) -> tuple[str, ...]:
    *above, task = ast.parse(text).body
    known = {"__file__", "__name__", *dir(builtins)}
    for statement in above:
        known |= {n.name for n in [statement] if isinstance(n, ast.FunctionDef | ast.ClassDef)} | _bound_in(statement)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            known |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
            if any(alias.name == "*" for alias in statement.names):
                return ()
    assert isinstance(task, ast.ClassDef)
    found: dict[str, None] = {}
    on_self = [n for n in ast.walk(task) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"]
    put = {node.attr for node in on_self if isinstance(node.ctx, ast.Store)}
    found |= {f"self.{node.attr}": None for node in on_self if node.attr not in put}
    for method in task.body:
        inner = {n.arg for n in ast.walk(method) if isinstance(n, ast.arg)} | _bound_in(method)
        found |= dict.fromkeys(sorted(_read_in([method]) - inner - known))
    return tuple(found)


def _data_lines(made: Sequence[Slice]) -> list[str]:
    if not made:
        return [*_stub("train_data", "no DataLoader was found"), "", *_stub("validation_data", "neither was another")]
    lines = [
        "    def setup(self):",
        "        # Runs once, before trials are forked: what all of them share, on the CPU.",
    ]
    statements = dict.fromkeys(ast.unparse(statement) for part in made for statement in part.statements)
    lines += [f"        {line}" for statement in statements for line in statement.splitlines()]
    lines.append(f"        self.train_set = {ast.unparse(made[0].expression)}")
    if len(made) > 1:
        lines.append(f"        self.validation_set = {ast.unparse(made[1].expression)}")
    else:
        lines += [
            "        # The script has no second DataLoader: a fifth of its data is held out.",
            "        parts = random_split(self.train_set, [0.8, 0.2], generator=torch.Generator().manual_seed(0))",
            "        self.train_set, self.validation_set = parts",
        ]
    return [
        *lines,
        "",
        "    def train_data(self, params):",
        "        return self.train_set",
        "",
        "    def validation_data(self, params):",
        "        return self.validation_set",
    ]


def _model_lines(model: Slice | None) -> list[str]:
    if model is None:
        return _stub("model", "no optimizer over model.parameters() was found")
    statements = [line for statement in model.statements for line in ast.unparse(statement).splitlines()]
    return [
        "    def model(self, params):",
        "        # To search a number of it, put params.NAME in its place, and NAME under learning in the spec.",
        *(f"        {line}" for line in statements),
        f"        return {ast.unparse(model.expression)}",
    ]


def _loss_lines(loss: Loss) -> list[str]:
    if loss.function is None:
        return []
    lines = [
        "",
        "    def loss(self, outputs, targets):",
        f"        return {ast.unparse(loss.function)}(outputs, targets)",
    ]
    if loss.is_classification:
        return lines
    return [
        *lines,
        "",
        "    def metrics(self, outputs, targets):",
        "        return {}  # val_loss is recorded anyway; the default is the accuracy of a classification",
    ]


def _stub(name: str, why: str) -> list[str]:
    return [f"    def {name}(self, params):", f'        raise NotImplementedError("write this: {why}")']


def _model(tree: ast.Module) -> ast.expr | None:
    """``model`` of the first optimizer's ``model.parameters()``."""
    classes = {facts.class_name for facts in OPTIMIZERS.values()}
    for call in _calls(tree, classes):
        for node in ast.walk(call.args[0]) if call.args else ():
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name() | ast.Attribute() as model, attr="parameters" | "named_parameters"
                    )
                ):
                    return model if ast.unparse(model) != "self" else _made(tree, around=call)
                case _:
                    continue
    return None


def _made(tree: ast.Module, *, around: ast.Call) -> ast.expr | None:
    """The script's call of the class that ``around`` stands in, for a module that makes its own optimizer."""
    classes = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(inner is around for inner in ast.walk(node))
    }
    return next(_calls(tree, classes), None)


def _loss(tree: ast.Module) -> Loss:
    """What the script's first loss is."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        where, _, name = ast.unparse(call.func).rpartition(".")
        if name == "cross_entropy" or (name == "CrossEntropyLoss" and not call.args and not call.keywords):
            return Loss(None, is_classification=True)
        if name.endswith("Loss"):
            return Loss(call, is_classification=name == "CrossEntropyLoss")
        if name.endswith("_loss") and where in {"F", "functional", "nn.functional", "torch.nn.functional"}:
            return Loss(call.func, is_classification=name == "nll_loss")
    return Loss(None, is_classification=True)


def _imports(script: Script, *, used: Sequence[ast.AST], path: Path) -> list[str]:
    names = _names(script, used=used)
    kept = [line for statement in script.tree.body if (line := _import_line(statement, names=names))]
    has_neighbours = any(_is_neighbour(statement, folder=path.absolute().parent) for statement in script.tree.body)
    reach = ["import sys", "", f"sys.path.insert(0, {str(path.absolute().parent)!r})  # the script's own modules", ""]
    return [*(reach if has_neighbours else []), *dict.fromkeys(kept)]


def _import_line(statement: ast.stmt, *, names: set[str]) -> str | None:
    """The import with those of its names that are needed; None where none is needed."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return None
    needed = [a for a in statement.names if (a.asname or a.name).partition(".")[0] in names or a.name == "*"]
    if not needed or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
        return None
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names=needed))
    return ast.unparse(ast.ImportFrom(module=statement.module, names=needed, level=statement.level))


def _is_neighbour(statement: ast.stmt, *, folder: Path) -> bool:
    """Whether the statement imports a module that lies beside the script."""
    match statement:
        case ast.ImportFrom(module=str() as module):
            names = [module]
        case ast.Import(names=aliases):
            names = [alias.name for alias in aliases]
        case _:
            return False
    tops = [name.partition(".")[0] for name in names]
    return any((folder / f"{top}.py").exists() or (folder / top / "__init__.py").exists() for top in tops)


def _definitions(script: Script, *, used: Sequence[ast.AST]) -> list[str]:
    """Classes, functions and constants of the script that the task needs, as they stand there."""
    names = _names(script, used=used)
    lines: list[str] = []
    for statement in script.tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name in names:
            lines += ["", *_source(script, statement), ""]
        elif is_constant(statement) and _bound_in(statement) & names:
            lines.append(ast.unparse(statement))
    return lines


def _source(script: Script, statement: ast.FunctionDef | ast.ClassDef) -> list[str]:
    first = min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])
    return script.text.splitlines()[first - 1 : statement.end_lineno]


def _names(script: Script, *, used: Sequence[ast.AST]) -> set[str]:
    """All names that the parts read, and all that the script's definitions behind those names read."""
    names = _read_in(used)
    definitions = {s.name: s for s in script.tree.body if isinstance(s, ast.FunctionDef | ast.ClassDef)}
    constants = [s for s in script.tree.body if is_constant(s)]
    while True:
        found = _read_in([definitions[name] for name in names if name in definitions])
        found |= _read_in([s for s in constants if _bound_in(s) & names])
        if found <= names:
            return names
        names |= found


def _bound_in(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _read_in(parts: Sequence[ast.AST]) -> set[str]:
    return {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}


def _calls(tree: ast.Module, names: Collection[str]) -> Iterator[ast.Call]:
    """Calls of functions or classes with these names, in the order of the text."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if ast.unparse(call.func).rpartition(".")[2] in names:
            yield call


def _dataset(call: ast.Call) -> ast.expr | None:
    if call.args:
        return call.args[0]
    return next((keyword.value for keyword in call.keywords if keyword.arg == "dataset"), None)
