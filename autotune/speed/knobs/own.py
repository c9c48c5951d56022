"""Knobs that a task declares itself, among the built-in ones."""

from collections.abc import Mapping, Sequence

from autotune.errors import TaskError
from autotune.events import TaskKnob
from autotune.spec.learning import LEARNING_LIMITS
from autotune.spec.optimizers import OPTIMIZER_ARGUMENTS
from autotune.speed.knobs.knob import Knob
from autotune.speed.knobs.table import KNOBS

_LEARNING = {"optimizer", *LEARNING_LIMITS, *OPTIMIZER_ARGUMENTS}


def with_own(declared: Sequence[TaskKnob], *, task: str) -> Mapping[str, Knob]:
    """The built-in knobs, and behind them those of the task.

    Args:
        declared: The task's.
        task: Its reference, for messages.

    Raises:
        TaskError: One of them has the name of a built-in knob or of a learning parameter.
    """
    for knob in declared:
        taken = "knob" if knob.name in KNOBS else "learning parameter" if knob.name in _LEARNING else None
        if taken:
            rule = f"a knob of a task's own needs a name of its own, got that of a built-in {taken}"
            raise TaskError(f"task {task}: knobs.{knob.name}: {rule}; rename it")
    return {**KNOBS, **{knob.name: _as_knob(knob) for knob in declared}}


def _as_knob(declared: TaskKnob) -> Knob:
    return Knob(
        name=declared.name,
        summary=declared.summary,
        numerics=declared.numerics,
        needs=declared.needs,
        simplest=declared.simplest,
        docs="",
        moves=declared.moves,
        choices=declared.choices,
    )
