"""Ranks a study's trials, for rows and summaries alike.

While a study runs, ``coordinator.standing.Standing`` finds the best trial step by step, and differs on purpose on a
tie: it keeps the trial that ended first, since the other one's checkpoint is deleted when that ends. Here the
lower number comes first, which is the same where one trial runs at a time.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from autotune.events import Outcome, Scalar
from autotune.spec.model import Objective


class Rankable(Protocol):
    """The facts about a trial that a ranking needs."""

    @property
    def number(self) -> int:
        """The trial's number in its study."""

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """The parameters that it trained with."""

    @property
    def outcome(self) -> str | None:
        """How it ended; None while it has not."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """The objectives' values, in the spec's order; None for a trial that gave none."""

    @property
    def origin(self) -> str | None:
        """The study and number that it was taken over from; None for the study's own trials."""


Trial = TypeVar("Trial", bound=Rankable)


def has_value(trial: Rankable) -> bool:
    """Whether the trial is complete, with a finite value of each objective."""
    return trial.outcome == Outcome.COMPLETE and bool(trial.values) and all(map(math.isfinite, trial.values or ()))


def rank_trials(trials: Iterable[Trial], *, objective: Objective) -> tuple[Trial, ...]:
    """The study's own complete trials by their first objective, the best first; the lower number on a tie."""

    def place(trial: Trial) -> tuple[float, int]:
        assert trial.values, "a complete trial has them"
        return objective.cost(trial.values[0]), trial.number

    return tuple(sorted((trial for trial in trials if trial.origin is None and has_value(trial)), key=place))


def rank_configurations(trials: Iterable[Trial], *, objective: Objective) -> tuple[Trial, ...]:
    """The same as ``rank_trials`` with only the best of trials with equal parameters, which need one training again."""
    ranked: list[Trial] = []
    for trial in rank_trials(trials, objective=objective):
        if all(trial.parameters != other.parameters for other in ranked):
            ranked.append(trial)
    return tuple(ranked)
