"""A task made ready in a process that starts trials or tries the task: found, imported and set up."""

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from autotune.errors import TaskError
from autotune.task_knob import TaskKnob
from autotune.trial.messages import Refused

if TYPE_CHECKING:
    from autotune.training.process.loading import LoadedTask


def extend_import_path(import_path: Iterable[str]) -> None:
    """Find the modules that the coordinator finds; those in the working directory first, as with a script."""
    known = set(sys.path)
    sys.path += [entry for entry in import_path if entry and entry not in known]
    if os.getcwd() not in sys.path:  # noqa: PTH109 - an entry of sys.path is text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109


def set_up(task: str) -> "tuple[LoadedTask, tuple[TaskKnob, ...]] | Refused":
    """The task, imported and set up, with the speed parameters that it declares; else why it is refused."""
    from autotune.training.process.loading import load_task

    try:
        loaded = load_task(task)
        knobs = loaded.knobs
        loaded.setup()
    except TaskError as error:
        return Refused(reason=str(error))
    return loaded, knobs
