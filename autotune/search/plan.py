"""What a search needs to know of its study, and what it is told of trials that ran elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autotune.events import Outcome, Scalar
from autotune.goals import Resource, grain
from autotune.search.space import SearchSpace
from autotune.spec.model import Choice, Objective


@dataclass(frozen=True)
class SearchPlan:
    """Everything of a study spec that decides what is tried next and what is stopped."""

    space: SearchSpace
    objectives: tuple[Objective, ...]
    sampler: Choice
    pruner: Choice
    max_resource: int
    """The amount of the resource that a trial trained to its end gets, which is the pruner's largest."""
    resource: Resource = "epochs"
    """The resource in whose whole units the steps of reports are counted."""
    num_trials: int | None = None
    """Total number of trials that the study should have; None where the budget sets none."""
    seed: int = 0
    jobs: int = 1
    """Trials that run at the same time."""
    elsewhere: frozenset[str] = frozenset()
    """Names of the trials' parameters that are not in ``space``, since races decide them."""

    @property
    def steps(self) -> range:
        """The steps at which a whole trial may report."""
        size = grain(self.resource, max_resource=self.max_resource)
        return range(1 if size == 1 else 0, self.max_resource + 1, size)


@dataclass(frozen=True)
class TrialHistory:
    """A trial as our own tables have it: the truth that Optuna's rows are caught up with."""

    number: int
    parameters: Mapping[str, Scalar]
    """All parameters that it trained with, fixed ones included."""
    outcome: Outcome | None
    """How it ended; None while it runs."""
    values: tuple[float, ...] | None = None
    """One value for each objective; None unless the trial is complete."""
    reason: str | None = None
    samples_per_second: float | None = None
    is_contended: bool = False
    """Other trials ran beside it: its throughput compares with nothing."""
    speed_fallback: str | None = None
    """Why it was begun anew with the baseline's speed parameters, where it was; its reports are of that training."""
    reports: Mapping[int, float] = field(default_factory=dict)
    """The first objective's value at each reported step of the resource (epochs count from 1)."""
