"""Knobs that a task declares itself, among the built-in ones."""

from collections.abc import Mapping, Sequence

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.spec.conditions import find_circle
from autotune.spec.learning import LEARNING_LIMITS
from autotune.spec.limits import is_same
from autotune.spec.optimizers import OPTIMIZER_ARGUMENTS
from autotune.speed.knobs.entries import is_on
from autotune.speed.knobs.knob import Companion, Knob
from autotune.speed.knobs.table import KNOBS
from autotune.task_knob import TaskKnob

_LEARNING = {"optimizer", *LEARNING_LIMITS, *OPTIMIZER_ARGUMENTS}


def with_own(declared: Sequence[TaskKnob], *, task: str) -> Mapping[str, Knob]:
    """The built-in knobs, and behind them those of the task.

    Args:
        declared: The knobs that the task declares.
        task: The task's reference, for messages.

    Raises:
        TaskError: A declared knob has the name of a built-in knob or of a learning parameter, or depends on what no
            other knob can be.
    """
    for knob in declared:
        taken = "knob" if knob.name in KNOBS else "learning parameter" if knob.name in _LEARNING else None
        if taken:
            rule = f"a knob of a task's own needs a name of its own, got that of a built-in {taken}"
            raise TaskError(f"task {task}: knobs.{knob.name}: {rule}; rename it")
    knobs = {**KNOBS, **{knob.name: _as_knob(knob) for knob in declared}}
    for knob in declared:
        _check_dependencies(knob, knobs, where=f"task {task}: knobs.{knob.name}")
    if circle := find_circle({name: tuple(sorted(knob.depends_on)) for name, knob in knobs.items()}):
        path = " → ".join(circle)
        raise TaskError(f"task {task}: knobs: what they need must not form a circle, got {path}; leave one out")
    return knobs


def _check_dependencies(declared: TaskKnob, knobs: Mapping[str, Knob], *, where: str) -> None:
    """Refuse a knob that depends on another one, or on a value, that there is not.

    Raises:
        TaskError: It does.
    """
    parent = declared.needs_positive
    if parent is not None and (parent not in knobs or not _can_be_on(knobs[parent])):
        rule = f"must be a knob that can be above zero, or on, got {parent}"
        raise TaskError(f"{where}: needs_positive: {rule}; name another, such as num_workers")
    for name, values in declared.goes_with.items():
        if name not in knobs:
            raise TaskError(f"{where}: goes_with: must name knobs, got {name}; they are {', '.join(knobs)}")
        if not values or not all(_can_be(knobs[name], value) for value in values):
            rule = f"must be values that {name} can have, got {values!r}"
            raise TaskError(f"{where}: goes_with.{name}: {rule}; see autotune hardware")


def _can_be_on(knob: Knob) -> bool:
    return knob.low is not None or any(is_on(choice) for choice in knob.choices)


def _can_be(knob: Knob, value: Scalar) -> bool:
    """Whether the knob may have this value: a choice, a word, or a whole number in its range."""
    if knob.low is None or isinstance(value, str):
        return any(is_same(value, choice) for choice in (*knob.choices, *knob.words))
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return knob.low <= value and (knob.high is None or value <= knob.high)


def _as_knob(declared: TaskKnob) -> Knob:
    """The declared knob; any choice but the simplest needs what ``goes_with`` names."""
    return Knob(
        name=declared.name,
        summary=declared.summary,
        numerics=declared.numerics,
        needs=declared.needs or "relaunch",
        has_unknown_start=declared.needs is None,
        simplest=declared.simplest,
        docs="",
        moves=declared.moves,
        choices=declared.choices,
        needs_positive=declared.needs_positive,
        companions=tuple(
            Companion(choice, other, tuple(values))
            for choice in declared.choices
            if choice != declared.simplest
            for other, values in declared.goes_with.items()
        ),
    )
