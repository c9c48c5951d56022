"""A task from its reference: ``package.module:Name`` or ``path/to/file.py:Name``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from autotune.training.task import Task

if TYPE_CHECKING:
    from autotune.training.trial import Trial


@dataclass
class LoadedTask:
    """A task that is imported: an instance of a Task class, or a function ``train(trial)``."""

    kind: Literal["class", "function"]
    target: "Task | Callable[[Trial], None]"
    reference: str

    def setup(self) -> None:
        """Run the task's ``setup`` once; again does nothing. Raises TaskError for whatever it raises."""
        raise NotImplementedError


def load_task(reference: str) -> LoadedTask:
    """Import the task and, if it is a class, make the one instance that all trials share.

    Raises:
        TaskError: The file, module, class or a method is missing, or the import raised.
    """
    raise NotImplementedError
