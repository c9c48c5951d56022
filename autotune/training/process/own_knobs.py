"""The speed parameters that a task declares itself, held against what a search can propose."""

from collections import Counter

from autotune.errors import TaskError
from autotune.task_knob import TaskKnob


def checked_knobs(declared: object, *, where: str) -> tuple[TaskKnob, ...]:
    """The knobs, each with its simplest value named.

    Args:
        declared: The task's ``knobs``.
        where: The task, with which a message begins.

    Raises:
        TaskError: What is declared is no sequence of knobs, or one of them can't be proposed.
    """
    if not isinstance(declared, tuple | list) or not all(isinstance(knob, TaskKnob) for knob in declared):
        raise TaskError(
            f"{where}: knobs must be a tuple of TaskKnob, got {declared!r}; "
            'write knobs = (TaskKnob(name="decoder", choices=("pillow", "turbo")),)'
        )
    for name, count in Counter(knob.name for knob in declared).items():
        if count > 1:
            raise TaskError(f"{where}: knobs.{name}: a name must come once, got it {count} times; rename one")
    return tuple(_checked(knob, where=f"{where}: knobs.{knob.name}") for knob in declared)


def _checked(knob: TaskKnob, *, where: str) -> TaskKnob:
    if not knob.name.isidentifier():
        raise TaskError(f"{where}: a name must be a Python name, got {knob.name!r}; use letters, digits and _")
    if len(set(map(repr, knob.choices))) < len(knob.choices) or len(knob.choices) < 2:  # noqa: PLR2004 - to choose from
        raise TaskError(f"{where}: choices must be two or more different values, got {knob.choices!r}; add one")
    simplest = knob.choices[0] if knob.simplest is None else knob.simplest
    if simplest not in knob.choices:
        raise TaskError(f"{where}: simplest must be one of the choices, got {simplest!r}; leave it out for the first")
    return knob.model_copy(update={"simplest": simplest})
