"""The pruner that a study spec names: Optuna's answers, found without asking about every trial.

Optuna's pruners go through all trials of a study for each question, which at 10,000 trials costs
more than recording the report. Ours keep the values that an answer depends on sorted, and are told of each
trial once. ``tests/properties/test_pruners.py`` compares them with Optuna's, over epochs. With seconds
and samples, trials don't report exactly at a rung: ``worth.py`` gives their values there.
"""

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, runtime_checkable

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import NopPruner, PatientPruner, ThresholdPruner

from autotune.goals import Resource
from autotune.search.halving import Halving, brackets_of
from autotune.search.lone_curve import Direction, LoneCurve
from autotune.search.percentile import Percentile
from autotune.search.worth import Reading, between, newest
from autotune.spec.model import Choice

_LONGEST_TO_SHORTEST = 27
"""Ratio of a whole trial to the first rung, in seconds or samples, where the spec names no first rung. With
hyperband's usual factor of 3, rungs are at 1/27, 1/9 and 1/3."""


@runtime_checkable
class Pruner(Protocol):
    """Decides whether a running trial should stop, by what it was told of other trials."""

    def complete(self, reports: Mapping[int, float]) -> None:
        """Learn from a trial that was trained to its end with these reports, by step."""

    def recall(self, number: int, notes: Mapping[str, Any]) -> None:
        """Restore what an earlier start's pruner stored about a trial; ``notes`` may hold others' notes as well."""

    def forget(self, number: int) -> Collection[str]:
        """Let a running trial begin anew, so that it counts nowhere; returns the names of the notes made about it."""

    def answer(self, number: int, reports: Mapping[int, float]) -> tuple[bool, Mapping[str, Any]]:
        """Whether a running trial with these reports should stop, and the notes to store about it."""


def make_pruner(
    choice: Choice, *, study: str, direction: Direction, max_resource: int, resource: Resource = "epochs"
) -> Pruner:
    """The pruner by its name in the spec, counting in the budget's resource.

    Args:
        choice: The pruner's name and options, as in ``pruner: {hyperband: {min_epochs: 1}}``.
        study: The study's name, from which hyperband draws a trial's bracket.
        direction: The first objective's direction.
        max_resource: The resource that a trial trained to its end gets; hyperband's largest.
        resource: The resource that is counted; options such as ``min_epochs`` end in its name.
    """
    makers: dict[str, Callable[..., Pruner]] = {
        "hyperband": _hyperband,
        "successive_halving": _successive_halving,
        "median": _percentile,
        "percentile": _percentile,
        "patient": _patient,
        "threshold": _threshold,
        "none": _none,
    }
    options: dict[str, Any] = {name.removesuffix(f"_{resource}"): value for name, value in choice.options.items()}
    if choice.name in {"hyperband", "successive_halving"}:
        options.setdefault("min", 1 if resource == "epochs" else max(1, max_resource // _LONGEST_TO_SHORTEST))
        options |= {"read": newest if resource == "epochs" else between}
    if choice.name == "hyperband":
        options |= {"max_resource": max_resource, "study": study}
    return makers[choice.name](direction, **options)


def _hyperband(
    direction: Direction,
    *,
    study: str,
    max_resource: int,
    min: int,  # noqa: A002 - the spec's word
    read: Reading,
    reduction_factor: int = 3,
) -> Pruner:
    brackets = brackets_of(study, min_resource=min, max_resource=max_resource, reduction_factor=reduction_factor)
    return Halving(direction, min_resource=min, reduction_factor=reduction_factor, brackets=brackets, read=read)


def _successive_halving(
    direction: Direction,
    *,
    min: int,  # noqa: A002 - the spec's word
    read: Reading,
    reduction_factor: int = 4,
) -> Pruner:
    return Halving(direction, min_resource=min, reduction_factor=reduction_factor, read=read)


def _percentile(direction: Direction, *, percentile: float = 50.0, startup_trials: int = 5, warmup: int = 0) -> Pruner:
    steps = _first_step(warmup)
    return Percentile(direction, percentile=float(percentile), startup_trials=startup_trials, warmup_steps=steps)


def _patient(direction: Direction, *, patience: int = 3, min_delta: float = 0.0) -> Pruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return LoneCurve(PatientPruner(None, patience=patience, min_delta=min_delta), direction=direction)


def _threshold(
    direction: Direction, *, lower: float | None = None, upper: float | None = None, warmup: int = 0
) -> Pruner:
    steps = _first_step(warmup)
    return LoneCurve(ThresholdPruner(lower=lower, upper=upper, n_warmup_steps=steps), direction=direction)


def _none(direction: Direction) -> Pruner:
    return LoneCurve(NopPruner(), direction=direction)


def _first_step(warmup: int) -> int:
    # Optuna counts steps from 0 and exempts those below n_warmup_steps; ours are epochs, seconds
    # or samples trained, and those up to the warm-up are exempt.
    return warmup + 1
