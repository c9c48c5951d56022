"""Which of a study's trials are the best, for rows and summaries alike.

While a study runs, ``coordinator.standing.Standing`` has to say so trial by trial, and differs on purpose in one thing:
of two that are equal it keeps the one that ended first, since the other's checkpoint is deleted as that ends. Here the
lower number comes first, which is the same wherever one trial runs at a time.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from autotune.events import Outcome, Scalar
from autotune.spec.model import Objective


class Rankable(Protocol):
    """What is looked at of a trial."""

    @property
    def number(self) -> int:
        """In its study."""

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """That it trained with."""

    @property
    def outcome(self) -> str | None:
        """How it ended, if it has."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """The objectives', in the spec's order."""

    @property
    def origin(self) -> str | None:
        """The study that it was taken over from."""


Trial = TypeVar("Trial", bound=Rankable)


def has_value(trial: Rankable) -> bool:
    """The trial is complete, with a finite value of each objective."""
    return trial.outcome == Outcome.COMPLETE and bool(trial.values) and all(map(math.isfinite, trial.values or ()))


def rank_trials(trials: Iterable[Trial], *, objective: Objective) -> tuple[Trial, ...]:
    """The study's own complete trials, the best by its first objective first, the lower number of two equals first."""

    def place(trial: Trial) -> tuple[float, int]:
        assert trial.values, "a complete trial has them"
        return objective.cost(trial.values[0]), trial.number

    return tuple(sorted((trial for trial in trials if trial.origin is None and has_value(trial)), key=place))


def rank_configurations(trials: Iterable[Trial], *, objective: Objective) -> tuple[Trial, ...]:
    """Likewise, of equal parameters the best trial alone: what was proposed twice is one thing to train again."""
    ranked: list[Trial] = []
    for trial in rank_trials(trials, objective=objective):
        if all(trial.parameters != other.parameters for other in ranked):
            ranked.append(trial)
    return tuple(ranked)
