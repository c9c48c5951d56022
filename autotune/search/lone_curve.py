"""Optuna's pruners that look at a trial's own reports alone: patient, threshold, none."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

Direction: TypeAlias = Literal["maximize", "minimize"]


class LoneCurve:
    """Asks an Optuna pruner about one trial, in a study that has no other."""

    def __init__(self, pruner: BasePruner, *, direction: Direction) -> None:
        self._pruner = pruner
        self._study = optuna.create_study(direction=direction, sampler=RandomSampler(seed=0), pruner=pruner)

    def complete(self, reports: Mapping[int, float]) -> None:
        """Nothing is learned from others."""

    def recall(self, number: int, notes: Mapping[str, Any]) -> None:
        """Nothing is noted down."""

    def answer(self, number: int, reports: Mapping[int, float]) -> tuple[bool, Mapping[str, Any]]:
        """Optuna's answer to these reports; of trials, it knows none by number."""
        del number
        trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict(reports))
        with warnings.catch_warnings():
            # patient takes the best of the last reports, be they all NaN.
            warnings.filterwarnings("ignore", message="All-NaN slice", category=RuntimeWarning)
            return self._pruner.prune(self._study, trial), {}
