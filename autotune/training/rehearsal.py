"""A try of a task before a study starts, so that its faults show at once and in one line."""

from collections.abc import Mapping

from autotune.events import Rehearsal, Scalar
from autotune.training.loading import LoadedTask


def rehearse(task: LoadedTask, *, parameters: Mapping[str, Scalar], device: str) -> Rehearsal:
    """Build data and model, and take one small batch through loss and metrics, forward and backward.

    A function task is only inspected: it has no metric names before it runs.

    Raises:
        TaskError: What is missing, empty or raised.
    """
    raise NotImplementedError
