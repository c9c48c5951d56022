"""The pruner that a study spec names, as one of Optuna's."""

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)

from autotune.goals import Resource
from autotune.spec.model import Choice

_LONGEST_TO_SHORTEST = 27
"""A whole trial over the first rung, in seconds or samples, where the spec names no first rung: with
hyperband's usual factor of 3, rungs at 1/27, 1/9 and 1/3."""


def make_pruner(choice: Choice, *, max_resource: int, resource: Resource = "epochs") -> BasePruner:
    """The pruner by its name in the spec, counting in the budget's resource.

    Args:
        choice: Its name and options, as in ``pruner: {hyperband: {min_epochs: 1}}``.
        max_resource: What a trial that is trained to its end gets: hyperband's largest resource.
        resource: What is counted; options such as ``min_epochs`` end in its name.
    """
    makers: dict[str, Callable[..., BasePruner]] = {
        "hyperband": _hyperband,
        "successive_halving": _successive_halving,
        "median": _median,
        "percentile": _percentile,
        "patient": _patient,
        "threshold": _threshold,
        "none": _none,
    }
    options = {name.removesuffix(f"_{resource}"): value for name, value in choice.options.items()}
    if choice.name in {"hyperband", "successive_halving"}:
        options.setdefault("min", 1 if resource == "epochs" else max(1, max_resource // _LONGEST_TO_SHORTEST))
    if choice.name == "hyperband":
        options["max_resource"] = max_resource
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # PatientPruner
        return makers[choice.name](**options)


def _hyperband(*, max_resource: int, min: int, reduction_factor: int = 3) -> BasePruner:  # noqa: A002 - the spec's word
    return HyperbandPruner(min_resource=min, max_resource=max_resource, reduction_factor=reduction_factor)


def _successive_halving(*, min: int, reduction_factor: int = 4) -> BasePruner:  # noqa: A002 - the spec's word
    return SuccessiveHalvingPruner(min_resource=min, reduction_factor=reduction_factor)


def _median(*, startup_trials: int = 5, warmup: int = 0) -> BasePruner:
    return MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=_first_step(warmup))


def _percentile(*, percentile: float = 50.0, startup_trials: int = 5, warmup: int = 0) -> BasePruner:
    steps = _first_step(warmup)
    return PercentilePruner(float(percentile), n_startup_trials=startup_trials, n_warmup_steps=steps)


def _patient(*, patience: int = 3, min_delta: float = 0.0) -> BasePruner:
    return PatientPruner(None, patience=patience, min_delta=min_delta)


def _threshold(*, lower: float | None = None, upper: float | None = None, warmup: int = 0) -> BasePruner:
    return ThresholdPruner(lower=lower, upper=upper, n_warmup_steps=_first_step(warmup))


def _none() -> BasePruner:
    return NopPruner()


def _first_step(warmup: int) -> int:
    # Optuna counts steps from 0 and exempts those below n_warmup_steps; ours are epochs, seconds
    # or samples trained, and those up to the warm-up are exempt.
    return warmup + 1
