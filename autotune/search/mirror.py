"""A copy of a study's trials and reports in memory, which the pruner works on.

It has the first objective alone, since Optuna prunes no study with several. It has no database, so
that answering a report costs no query.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
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
    """Optuna's system attributes (JSON values), which include the pruner's notes."""


class Mirror:
    """The trials of one study with the first objective's reports, and the pruner's answers.

    Reports are kept while a trial runs; after its end only the pruner keeps what it needs.
    """

    def __init__(self, *, pruner: Pruner, steps: range = range(0)) -> None:
        """Begin without trials.

        Args:
            pruner: Gives the answers.
            steps: The steps of a whole trial. A complete trial gets a value at each of them from its first report
                on: that of its last report before. Median and percentile compare values at one step, but trials
                don't report at the same seconds, and not all train to the end.
        """
        self._pruner = pruner
        self._steps = steps
        self._reports: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._over: set[int] = set()

    def add(self, trial: MirrorTrial) -> None:
        """Add a trial that the mirror does not know yet."""
        self._pruner.recall(trial.number, trial.attributes)
        if trial.state.is_finished():
            self._over.add(trial.number)
        else:
            self._reports[trial.number].update({step: _finite_or_nan(value) for step, value in trial.reports.items()})
        if trial.state is TrialState.COMPLETE:
            self._pruner.complete(self._between(trial.reports))

    def report(self, number: int, *, step: int, value: float) -> None:
        """Add the first objective's value at a step; pruners can handle NaN."""
        self._reports[number][step] = _finite_or_nan(value)

    def forget(self, number: int) -> Collection[str]:
        """Let a running trial begin anew; returns the names of the notes that the pruner had made about it."""
        self._reports.pop(number, None)
        return self._pruner.forget(number)

    def is_over(self, number: int) -> bool:
        """Whether the trial has ended."""
        return number in self._over

    def reports(self, number: int) -> Mapping[int, float]:
        """The reports of a trial that has not ended, by step; empty for any other."""
        return self._reports.get(number, {})

    def should_prune(self, number: int) -> tuple[bool, Mapping[str, Any]]:
        """The pruner's answer, and the notes about the trial that it made for it."""
        return self._pruner.answer(number, self.reports(number))

    def finish(self, number: int, *, state: TrialState) -> None:
        """Record that the trial has ended; the pruner learns from it if it is complete."""
        self._over.add(number)
        reports = self._reports.pop(number, {})
        if state is TrialState.COMPLETE:
            self._pruner.complete(self._between(reports))

    def _between(self, reports: Mapping[int, float]) -> dict[int, float]:
        """The reports, with each step between and after them filled by the last value before."""
        filled = dict(reports)
        value: float | None = None
        for step in self._steps:
            value = reports.get(step, value)
            if value is not None:
                filled.setdefault(step, value)
        return filled


def _finite_or_nan(value: float) -> float:
    """The value, with NaN for infinity: as the best value of all it would stop every later trial."""
    return value if math.isfinite(value) else math.nan
