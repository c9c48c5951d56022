"""Optuna's pruners that look only at a trial's own reports: patient, threshold, none."""

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
        """Nothing is learned from other trials."""

    def recall(self, number: int, notes: Mapping[str, Any]) -> None:
        """Nothing is recalled, since these pruners store nothing."""

    def forget(self, number: int) -> tuple[()]:
        """Nothing is kept of a running trial."""
        del number
        return ()

    def answer(self, number: int, reports: Mapping[int, float]) -> tuple[bool, Mapping[str, Any]]:
        """Optuna's answer to these reports; the trial's number has no effect."""
        del number
        trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict(reports))
        with warnings.catch_warnings():
            # The patient pruner takes the best of the last reports even if they are all NaN.
            warnings.filterwarnings("ignore", message="All-NaN slice", category=RuntimeWarning)
            return self._pruner.prune(self._study, trial), {}
