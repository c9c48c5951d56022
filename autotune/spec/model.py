"""The study spec as frozen objects; see ``load.py`` for how a YAML file becomes one."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.events import Scalar
from autotune.goals import BASELINE_NUMBER, Resource, Target

Bound: TypeAlias = int | float | Literal["auto"]
"""An end of a range; ``auto`` is resolved on the hardware at hand."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Objective(_Part):
    """A metric to be made as large or as small as can be."""

    metric: str
    """The task's, one of ``goals.MEASUREMENTS``, or the name of the time to a target."""
    direction: Literal["maximize", "minimize"]
    target: Target | None = None
    """The metric is the seconds until this is seen."""

    @property
    def reported_metric(self) -> str:
        """What a trial reports after each epoch: the target's metric where the metric is the time to one."""
        return self.metric if self.target is None else self.target.metric

    @property
    def is_more_better(self) -> bool:
        """Of the metric."""
        return self.direction == "maximize"

    def cost(self, value: float) -> float:
        """The value as something of which less is better."""
        return -value if self.is_more_better else value

    @property
    def is_more_reported_better(self) -> bool:
        """Of what a trial reports."""
        return self.is_more_better if self.target is None else self.target.is_at_least

    @property
    def text(self) -> str:
        """Such as ``maximize val_accuracy`` or ``minimize the time to val_accuracy at least 0.97``."""
        aim = self.metric if self.target is None else f"the time to {self.target.text}"
        return f"{self.direction} {aim}"


class Budget(_Part):
    """What a study may spend, in all: ``trials`` and ``seconds`` are totals over every start."""

    trials: int | None = None
    seconds: float | None = None
    epochs: int = 10
    """Epochs of one trial that is trained to its end; with another resource, the most that it may have."""
    resource: Resource = "epochs"
    """What a trial's length and the pruner's rungs are counted in."""
    per_trial: int | None = None
    """Seconds or samples of a trial that is trained to its end; None where epochs are counted."""

    @property
    def max_resource(self) -> int:
        """What a trial that is trained to its end gets of the resource."""
        return self.epochs if self.per_trial is None else self.per_trial


class Choice(_Part):
    """A sampler, a pruner or a way to search the speed parameters by name, with its options."""

    name: str
    options: dict[str, Scalar] = {}


class Confirm(_Part):
    """How the winner is compared with the baseline on fresh seeds, when the search is over."""

    repeats: int = 5
    """Trainings a side, at most: from three on a sure verdict ends them. 0 switches it off."""
    top: int = 1
    """So many of the best trials are compared."""
    target: float | None = None
    """Where the objective is a plain metric: trainings are timed until it is seen; None for what all came to."""
    against: int = BASELINE_NUMBER
    """Number of the trial that they are compared with; 0 is the baseline."""


class Parameter(_Part):
    """A searched parameter as the user wrote it: a range, or choices."""

    type: Literal["float", "int", "choices"]
    low: Bound | None = None
    high: Bound | None = None
    log: bool = False
    step: int | float | None = None
    choices: tuple[Scalar, ...] = ()
    when: dict[str, tuple[Scalar, ...]] | None = None
    """Other parameters and the values of theirs with which this one is active.

    None where the spec says nothing: an optimizer's argument then goes with the optimizers
    that take it. An empty mapping says that the parameter is always active.
    """


class Deadlines(_Part):
    """When a trial is ended as timed out; None leaves it to what the trials show (``coordinator/deadlines.py``)."""

    silence_seconds: float | None = None
    """A trial that has said nothing for so long hangs."""
    trial_seconds: float | None = None
    """The longest that a trial's process may run."""


class Checkpoints(_Part):
    """What checkpoints may take of the disk."""

    max_bytes: int | None = None
    """Of all of the study's together, the one that is being written too; 0 for none, None for no limit."""


class StudySpec(_Part):
    """A whole study spec, validated."""

    task: str
    """``package.module:Name`` or ``path/to/file.py:Name`` (made absolute when loaded)."""
    objectives: tuple[Objective, ...]
    budget: Budget
    sampler: Choice
    pruner: Choice
    learning: dict[str, Parameter | Scalar]
    """Searched (Parameter) or fixed (a plain value)."""
    speed: dict[str, Parameter | Scalar]
    baseline: dict[str, Scalar]
    speed_search: Choice = Choice(name="joint")
    """``race``, ``joint`` or ``fixed``; studies of before there were races searched jointly."""
    deadlines: Deadlines = Deadlines()
    checkpoints: Checkpoints = Checkpoints()
    seed: int = 0
    device: str = "auto"
    log_model: bool = True
    """The best trial's model goes to MLflow when the study is complete."""
    confirm: Confirm = Confirm()
