"""A document → a StudySpec, section by section."""

import re
from pathlib import Path

from autotune.events import Scalar
from autotune.spec.budgets import EXAMPLE_BUDGET, read_budget
from autotune.spec.builtin import list_spaces, task_of
from autotune.spec.checkpoints import read_checkpoints
from autotune.spec.conditions import check_conditions
from autotune.spec.confirming import read_confirm
from autotune.spec.deadlines import read_deadlines
from autotune.spec.learning import check_learning, is_number
from autotune.spec.limits import declared_values
from autotune.spec.model import Checkpoints, Choice, Confirm, Deadlines, Parameter, StudySpec
from autotune.spec.names import is_name, nearest
from autotune.spec.node import Node
from autotune.spec.objectives import read_objectives
from autotune.spec.parameters import read_parameter
from autotune.spec.policies import read_pruner, read_sampler, read_speed_search

TOP_KEYS = (
    "task",
    "objective",
    "objectives",
    "budget",
    "sampler",
    "pruner",
    "learning",
    "speed",
    "speed_search",
    "baseline",
    "deadlines",
    "checkpoints",
    "seed",
    "device",
    "log_model",
    "confirm",
)
"""Keys of a study spec, in the order in which a person reads them."""

_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,4})?")
_LARGEST_SEED = 2**32 - 1
_EXAMPLE_PARAMETERS = "{lr: {low: 1e-4, high: 1, log: true}}"
_EXAMPLE_KNOBS = "{num_workers: {low: 0, high: auto}}"
_AUTO_PARAMETERS = ("num_workers", "torch_threads")


def read_spec(root: Node, *, folder: Path, needs_search: bool = True) -> StudySpec:
    """The whole spec.

    Args:
        root: The spec's document.
        folder: What a task's relative path starts from.
        needs_search: Refuse a spec that leaves nothing to search, which no study could be of.

    Raises:
        SpecError: It breaks a rule that needs neither the machine nor the task to be checked.
    """
    fields = root.fields(TOP_KEYS, example="a mapping")
    objectives = read_objectives(root, fields)
    budget = read_budget(_required(root, fields, "budget", example=EXAMPLE_BUDGET))
    learning = _read_group(fields.get("learning"))
    speed = _read_group(fields.get("speed"))
    _check_names(root, learning=learning, speed=speed)
    if needs_search:
        _check_something_is_searched(root, {**learning, **speed})
    check_learning(learning, places=root.places)
    check_conditions({"learning": learning, "speed": speed}, places=root.places)
    return StudySpec(
        task=read_task(_required(root, fields, "task", example="autotune.tasks.mnist:Mnist"), folder=folder),
        objectives=objectives,
        budget=budget,
        sampler=_read_sampler(fields, num_objectives=len(objectives)),
        pruner=read_pruner(fields["pruner"], budget=budget) if "pruner" in fields else Choice(name="hyperband"),
        learning=learning,
        speed=speed,
        baseline=_read_baseline(fields),
        speed_search=_read_speed_search(fields, learning, needs_search=needs_search),
        deadlines=read_deadlines(fields["deadlines"]) if "deadlines" in fields else Deadlines(),
        checkpoints=read_checkpoints(fields["checkpoints"]) if "checkpoints" in fields else Checkpoints(),
        seed=_read_seed(fields["seed"]) if "seed" in fields else 0,
        device=_read_device(fields["device"]) if "device" in fields else "auto",
        log_model=fields["log_model"].flag() if "log_model" in fields else True,
        confirm=read_confirm(fields["confirm"], objectives=objectives) if "confirm" in fields else Confirm(),
    )


def _required(root: Node, fields: dict[str, Node], key: str, *, example: str) -> Node:
    if key not in fields:
        raise root.inner(key, None).error("a study spec needs this key", got="none", remedy=f"write {key}: {example}")
    return fields[key]


def read_task(node: Node, *, folder: Path) -> str:
    """The task's reference, with its file absolute.

    Raises:
        SpecError: It names no class or function in a module or file.
    """
    example = "package.module:Class or path/to/file.py:Class"
    text = node.text(example=example)
    module, colon, name = text.rpartition(":")
    if not colon or not module or not name.isidentifier():
        meant = task_of(nearest(text, list_spaces()) or "") or example
        raise node.error("must name a module or file, and a class or function in it", remedy=f"write {meant}")
    if not module.endswith(".py"):
        if not all(part.isidentifier() for part in module.split(".")):
            raise node.error("must name a module or a file that ends in .py", remedy=f"write {example}")
        return text
    path = Path(module).expanduser()
    return f"{path if path.is_absolute() else (folder / path).resolve()}:{name}"


def _read_sampler(fields: dict[str, Node], *, num_objectives: int) -> Choice:
    if "sampler" not in fields:
        return Choice(name="tpe")
    sampler = read_sampler(fields["sampler"])
    if sampler.name == "cmaes" and num_objectives > 1:
        raise fields["sampler"].error(
            "cmaes searches for one objective", got=f"{num_objectives}", remedy="choose tpe, gp or nsgaii"
        )
    return sampler


def _read_speed_search(
    fields: dict[str, Node], learning: dict[str, Parameter | Scalar], *, needs_search: bool
) -> Choice:
    has_learning = any(isinstance(parameter, Parameter) for parameter in learning.values())
    if "speed_search" not in fields:
        return Choice(name="race" if has_learning else "joint")
    return read_speed_search(fields["speed_search"], has_learning=has_learning or not needs_search)


def _read_group(node: Node | None) -> dict[str, Parameter | Scalar]:
    if node is None:
        return {}
    group: dict[str, Parameter | Scalar] = {}
    example = _EXAMPLE_KNOBS if node.key == "speed" else _EXAMPLE_PARAMETERS
    for name, inner in node.fields(example=example).items():
        if not is_name(name):
            raise inner.error(
                "a parameter's name has letters, digits and underscores", got=repr(name), remedy="rename it"
            )
        group[name] = read_parameter(inner, is_float=is_number(name))
        _check_auto(inner, name=name, parameter=group[name])
    return group


def _check_auto(node: Node, *, name: str, parameter: Parameter | Scalar) -> None:
    if name in _AUTO_PARAMETERS or (isinstance(parameter, Parameter) and parameter.type == "choices"):
        return
    if not isinstance(parameter, Parameter):
        return
    for suffix, value in declared_values(parameter):
        if value == "auto":
            raise node.inner(suffix.removeprefix("."), value).error(
                f"auto stands for the cores, in {' and '.join(_AUTO_PARAMETERS)} alone", remedy="write a number"
            )


def _check_names(root: Node, *, learning: dict[str, Parameter | Scalar], speed: dict[str, Parameter | Scalar]) -> None:
    for name in speed:
        if name in learning:
            raise root.inner(f"speed.{name}", name).error(
                "a parameter stands in learning or in speed", got="both", remedy="remove one of the two"
            )


def _check_something_is_searched(root: Node, parameters: dict[str, Parameter | Scalar]) -> None:
    if not any(isinstance(parameter, Parameter) for parameter in parameters.values()):
        raise root.inner("learning", None).error(
            "a study needs a parameter to search", got="none", remedy=f"write learning: {_EXAMPLE_PARAMETERS}"
        )


def _read_baseline(fields: dict[str, Node]) -> dict[str, Scalar]:
    if "baseline" not in fields:
        return {}
    named = fields["baseline"].fields(example="{optimizer: adam, lr: 1e-3}")
    return {name: inner.scalar() for name, inner in named.items()}


def _read_seed(node: Node) -> int:
    seed = node.whole(low=0)
    if seed > _LARGEST_SEED:
        raise node.error(f"must be at most {_LARGEST_SEED}", remedy="lower it")
    return seed


def _read_device(node: Node) -> str:
    device = node.text(example="auto, cpu, cuda or cuda:0")
    if not _DEVICE.fullmatch(device):
        raise node.error("must be auto, cpu, cuda or cuda:N", remedy="write one of them")
    return device
