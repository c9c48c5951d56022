"""What the pruner knows of a study: its trials' reports in memory.

It has one objective, the first, since Optuna prunes no study with several; and no database, so
that an answer to a report costs no query.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import TrialState

from autotune.search.pruners import Pruner


@dataclass(frozen=True)
class MirrorTrial:
    """A trial as the pruner sees it."""

    number: int
    state: TrialState
    reports: Mapping[int, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Optuna's system attributes, among them what the pruner noted down: JSON values."""


class Mirror:
    """The trials of one study with the first objective's reports, and the pruner's answers.

    Reports are kept while a trial runs; what is left of one that ended is what the pruner keeps.
    """

    def __init__(self, *, pruner: Pruner, steps: range = range(0)) -> None:
        """No trials yet.

        Args:
            pruner: It answers.
            steps: Of a whole trial. A complete trial then has a value at each of them from its first
                report on: the last one before. Median and percentile compare values at one step
                alone, and trials don't report at the same seconds, nor do all of them train to the end.
        """
        self._pruner = pruner
        self._steps = steps
        self._reports: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._over: set[int] = set()

    def add(self, trial: MirrorTrial) -> None:
        """A trial of which the mirror has nothing yet."""
        self._pruner.recall(trial.number, trial.attributes)
        if trial.state.is_finished():
            self._over.add(trial.number)
        else:
            self._reports[trial.number].update({step: _finite_or_nan(value) for step, value in trial.reports.items()})
        if trial.state is TrialState.COMPLETE:
            self._pruner.complete(self._between(trial.reports))

    def report(self, number: int, *, step: int, value: float) -> None:
        """What the first objective is judged by, at a step; NaN is welcome, pruners know it."""
        self._reports[number][step] = _finite_or_nan(value)

    def is_over(self, number: int) -> bool:
        """Whether the trial has ended."""
        return number in self._over

    def reports(self, number: int) -> Mapping[int, float]:
        """What a trial that has not ended reported, by step."""
        return self._reports.get(number, {})

    def should_prune(self, number: int) -> tuple[bool, Mapping[str, Any]]:
        """The pruner's answer, and what it noted down about the trial while it found it."""
        return self._pruner.answer(number, self.reports(number))

    def finish(self, number: int, *, state: TrialState) -> None:
        """The trial has ended."""
        self._over.add(number)
        reports = self._reports.pop(number, {})
        if state is TrialState.COMPLETE:
            self._pruner.complete(self._between(reports))

    def _between(self, reports: Mapping[int, float]) -> dict[int, float]:
        """The reports, and at each step between and after them the last one before."""
        filled = dict(reports)
        value: float | None = None
        for step in self._steps:
            value = reports.get(step, value)
            if value is not None:
                filled.setdefault(step, value)
        return filled


def _finite_or_nan(value: float) -> float:
    """Infinity as NaN: as the best value of all it would end every trial that comes after."""
    return value if math.isfinite(value) else math.nan
