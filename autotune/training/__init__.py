"""The training loop, and what a user needs to bring a task: Task for a class, Trial for a function."""

from autotune.task_knob import TaskKnob
from autotune.training.failures import InfeasibleError
from autotune.training.task import Task
from autotune.training.trial import Trial

__all__ = ["InfeasibleError", "Task", "TaskKnob", "Trial"]
