"""A study spec on one machine: which parameters, which bounds, which choices, in which order."""

from collections.abc import Mapping, Sequence

from autotune.errors import SpecError
from autotune.hardware import Machine
from autotune.search.baseline import apply_baseline, check_baseline
from autotune.search.declared import Declared, declare
from autotune.search.narrow import Narrowed
from autotune.search.raced import with_raced_knobs
from autotune.search.space import SearchSpace
from autotune.spec.load import SpecFile
from autotune.spec.model import Parameter
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.knob import Knob


def resolve_space(
    file: SpecFile, *, machine: Machine, num_cores: int, knobs: Mapping[str, Knob] = KNOBS
) -> SearchSpace:
    """The search space of the spec on this machine.

    ``auto`` becomes a number. Parameters and choices that do not apply here are left out with their reasons, and a
    parameter with one choice left is fixed to it. Every combination that a walk over the
    space can choose can be trained with.

    Args:
        file: The spec.
        machine: Where trials run.
        num_cores: Cores that one trial has; what ``auto`` stands for.
        knobs: What may stand under ``speed``, by name: the built-in ones, and those of the task.

    Raises:
        SpecError: A rule of the spec that depends on the machine or on the knobs is broken.
    """
    file = with_raced_knobs(file, knobs=knobs)
    declared = declare(file, num_cores=num_cores, knobs=knobs)
    _check_grid(file, declared)
    baseline = check_baseline(file, declared, num_cores=num_cores, knobs=knobs)
    seen = machine.seen_from(file.spec.device)
    narrowed = Narrowed(knobs)
    for parameter in declared:
        narrowed.add(parameter, seen)
    _check_something_is_left(file, narrowed)
    space = SearchSpace(
        parameters=tuple(narrowed.searched.values()),
        fixed=narrowed.fixed,
        left_out=tuple(narrowed.left_out),
        baseline={},
    )
    return apply_baseline(space, baseline, declared=declared, file=file)


def _check_grid(file: SpecFile, declared: Sequence[Declared]) -> None:
    if file.spec.sampler.name != "grid":
        return
    for item in declared:
        parameter = item.parameter
        if isinstance(parameter, Parameter) and parameter.type == "float" and parameter.step is None:
            raise file.error(
                item.key,
                rule="the grid sampler needs choices, or ranges with a step",
                got="a range of floats without one",
                remedy="write step, or choose another sampler",
            )


def _check_something_is_left(file: SpecFile, narrowed: Narrowed) -> None:
    if file.spec.learning.get("optimizer") is not None and not ({"optimizer"} & {*narrowed.searched, *narrowed.fixed}):
        raise _nothing_left(file, "learning.optimizer", narrowed, remedy="add choices")
    if any(len(p.choices) != 1 for p in narrowed.searched.values()):
        return
    if any(isinstance(parameter, Parameter) for parameter in file.spec.learning.values()):
        raise _nothing_left(file, "learning", narrowed, remedy="add choices")
    remedy = "add a knob's choices that apply here, or search a parameter under learning"
    raise _nothing_left(file, "speed", narrowed, remedy=remedy)


def _nothing_left(file: SpecFile, key: str, narrowed: Narrowed, *, remedy: str) -> SpecError:
    reasons = "; ".join(f"{item.name} left out ({item.reason})" for item in narrowed.left_out) or "fixed values alone"
    return file.error(key, rule="something must be left to search on this machine", got=reasons, remedy=remedy)
