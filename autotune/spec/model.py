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
    """A metric of the task's, one of ``goals.MEASUREMENTS``, or the name of the time to a target."""
    direction: Literal["maximize", "minimize"]
    target: Target | None = None
    """If set, ``metric`` is the seconds until this target is reached."""

    @property
    def reported_metric(self) -> str:
        """The metric that a trial reports after each epoch; for a time to a target, the target's metric."""
        return self.metric if self.target is None else self.target.metric

    @property
    def is_more_better(self) -> bool:
        """Larger values of ``metric`` are better."""
        return self.direction == "maximize"

    def cost(self, value: float) -> float:
        """The value with the sign that makes smaller values better."""
        return -value if self.is_more_better else value

    @property
    def is_more_reported_better(self) -> bool:
        """Larger values of ``reported_metric`` are better."""
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
    """Epochs of a trial that is trained to its end; the most that it may have where the resource is another."""
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
    """The most trainings a side; from three on, a sure verdict ends them early. 0 switches the confirmation off."""
    top: int = 1
    """Number of best trials that are compared with the reference."""
    target: float | None = None
    """Value that trainings are timed to, where the objective is a plain metric; None for a value that all reach."""
    against: int = BASELINE_NUMBER
    """Number of the reference trial; 0 is the baseline."""


class Parameter(_Part):
    """A searched parameter as the user wrote it: a range, or choices."""

    type: Literal["float", "int", "choices"]
    low: Bound | None = None
    high: Bound | None = None
    log: bool = False
    step: int | float | None = None
    choices: tuple[Scalar, ...] = ()
    when: dict[str, tuple[Scalar, ...]] | None = None
    """Other parameters, with those of their values for which this one is active.

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
    """Limit on the bytes of all the study's checkpoints together, one that is being written included; 0 for no
    checkpoints, None for no limit."""


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
    """``race``, ``joint`` or ``fixed``. The default stands for stored specs from before there were races."""
    deadlines: Deadlines = Deadlines()
    checkpoints: Checkpoints = Checkpoints()
    seed: int = 0
    device: str = "auto"
    log_model: bool = True
    """The best trial's model goes to MLflow when the study is complete."""
    confirm: Confirm = Confirm()
