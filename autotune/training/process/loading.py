"""A task from its reference: ``package.module:Name`` or ``path/to/file.py:Name``."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from autotune.errors import TaskError
from autotune.task_knob import TaskKnob
from autotune.training.process.own_knobs import checked_knobs
from autotune.training.references import blaming, import_object
from autotune.training.task import Task
from autotune.training.trial import Trial


@dataclass
class LoadedTask:
    """A task that was imported: an instance of a Task class, or a function ``train(trial)``."""

    kind: Literal["class", "function"]
    target: Task | Callable[[Trial], None]
    reference: str
    _is_set_up: bool = field(default=False, repr=False)

    @property
    def knobs(self) -> tuple[TaskKnob, ...]:
        """The speed parameters that the task declares, by its attribute ``knobs``.

        Raises:
            TaskError: They are declared as something else, or can't be proposed.
        """
        return checked_knobs(getattr(self.target, "knobs", ()), where=f"task {self.reference}")

    def setup(self) -> None:
        """Run the task's ``setup``; a second call does nothing.

        Raises:
            TaskError: The setup raised.
        """
        if isinstance(self.target, Task) and not self._is_set_up:
            with blaming(f"task {self.reference}", "setup()"):
                self.target.setup()
        self._is_set_up = True


def load_task(reference: str) -> LoadedTask:
    """Import the task and, if it is a class, make the one instance that all trials share.

    Raises:
        TaskError: The file, module, class or a method is missing, or the import raised.
    """
    target = import_object(reference, kind="task")
    if inspect.isclass(target):
        return LoadedTask(kind="class", target=_instance(target, reference), reference=reference)
    if callable(target):
        _check_takes_trial(target, reference)
        return LoadedTask(kind="function", target=target, reference=reference)
    raise TaskError(
        f"task {reference}: a task is a subclass of autotune.training.Task or a function train(trial), "
        f"got {type(target).__name__}"
    )


def _instance(target: type, reference: str) -> Task:
    """The one instance of a Task class; raises TaskError where it is none, lacks a method or can't be made."""
    if not issubclass(target, Task):
        raise TaskError(
            f"task {reference}: a class must be a subclass of autotune.training.Task; name it as its parent"
        )
    missing = sorted(target.__abstractmethods__)
    if missing:
        calls = ", ".join(f"{name}(self, params)" for name in missing)
        raise TaskError(f"task {reference}: a task needs train_data, validation_data and model; add {calls}")
    with blaming(f"task {reference}", f"{target.__name__}()"):
        return target()


def _check_takes_trial(target: Callable[..., object], reference: str) -> None:
    """Raise TaskError where the function can't be called with one argument."""
    try:
        inspect.signature(target).bind(None)
    except TypeError as error:
        raise TaskError(f"task {reference}: a function is called with the trial alone, but {error}") from error
