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

from autotune.spec.model import Choice


def make_pruner(choice: Choice, *, epochs: int) -> BasePruner:
    """The pruner by its name in the spec, counting in epochs trained.

    Args:
        choice: Its name and options, as in ``pruner: {hyperband: {min_epochs: 1}}``.
        epochs: Epochs of a trial that is trained to its end: hyperband's largest resource.
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
    options = dict(choice.options)
    if choice.name == "hyperband":
        options["epochs"] = epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # PatientPruner
        return makers[choice.name](**options)


def _hyperband(*, epochs: int, min_epochs: int = 1, reduction_factor: int = 3) -> BasePruner:
    return HyperbandPruner(min_resource=min_epochs, max_resource=epochs, reduction_factor=reduction_factor)


def _successive_halving(*, min_epochs: int = 1, reduction_factor: int = 4) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=min_epochs, reduction_factor=reduction_factor)


def _median(*, startup_trials: int = 5, warmup_epochs: int = 0) -> BasePruner:
    return MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=_first_step(warmup_epochs))


def _percentile(*, percentile: float = 50.0, startup_trials: int = 5, warmup_epochs: int = 0) -> BasePruner:
    steps = _first_step(warmup_epochs)
    return PercentilePruner(float(percentile), n_startup_trials=startup_trials, n_warmup_steps=steps)


def _patient(*, patience: int = 3, min_delta: float = 0.0) -> BasePruner:
    return PatientPruner(None, patience=patience, min_delta=min_delta)


def _threshold(*, lower: float | None = None, upper: float | None = None, warmup_epochs: int = 0) -> BasePruner:
    return ThresholdPruner(lower=lower, upper=upper, n_warmup_steps=_first_step(warmup_epochs))


def _none() -> BasePruner:
    return NopPruner()


def _first_step(warmup_epochs: int) -> int:
    # Optuna counts steps from 0 and exempts those below n_warmup_steps; our steps are epochs
    # trained, from 1.
    return warmup_epochs + 1
