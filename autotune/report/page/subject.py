"""The study that a report is about, with facts that several sections need."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autotune.events import EpochReport, Outcome
from autotune.goals import MEASUREMENTS
from autotune.recording.places import Places
from autotune.report.page.drawing import Role
from autotune.report.page.scales import Scale, focused
from autotune.report.page.surrogate import Surrogate, fit_surrogate
from autotune.report.summaries.record import StudyRecord
from autotune.report.summaries.studies import StudySummary
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.model import Objective

_FAILED = {Outcome.FAILED.value, Outcome.INFEASIBLE.value, Outcome.DIVERGED.value, Outcome.TIMED_OUT.value}


@dataclass(frozen=True)
class Subject:
    """A study's record, and where it is."""

    record: StudyRecord
    places: Places

    @cached_property
    def summary(self) -> StudySummary:
        """The study's summary, as ``study show`` prints it."""
        return self.record.summary

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """The forest fitted to the study's trials; None where there are too few."""
        return fit_surrogate(self.record)

    @property
    def objective(self) -> Objective:
        """The study's first objective."""
        return self.record.spec.objectives[0]

    @property
    def is_maximized(self) -> bool:
        """Larger values of the first objective are better."""
        return self.objective.is_more_better

    @property
    def own_trials(self) -> tuple[TrialSummary, ...]:
        """The study's trials without those taken over from other studies."""
        return tuple(trial for trial in self.record.summaries if trial.origin is None)

    @property
    def curve_metric(self) -> str:
        """The metric that learning curves show: the first objective, or the metric of its target."""
        return self.objective.reported_metric

    @property
    def is_curve_maximized(self) -> bool:
        """Larger values of ``curve_metric`` are better."""
        return self.objective.is_more_reported_better

    def value(self, trial: TrialSummary) -> float:
        """The trial's first objective at its last report; NaN where it reported none."""
        return trial.objectives.get(self.objective.metric, math.nan)

    def value_scale(self) -> Scale:
        """The scale for the first objective of all trials, focused on the better values."""
        trials = self.own_trials
        complete = [self.value(trial) for trial in trials if trial.outcome == Outcome.COMPLETE.value]
        return focused([self.value(trial) for trial in trials], is_maximized=self.is_maximized, complete=complete)

    def curve(self, trial: TrialSummary) -> Sequence[tuple[int, float]]:
        """The trial's learning curve: (epoch, value) pairs, finite values only."""
        metric = self.curve_metric
        reports = self.record.reports[trial.number]
        pairs = [(report.epoch, _value(report, metric)) for report in reports]
        return [(epoch, value) for epoch, value in pairs if math.isfinite(value)]

    def role(self, trial: TrialSummary) -> Role:
        """The role in which the trial is drawn."""
        best = self.summary.best
        if best is not None and trial.number == best.number:
            return "best"
        if trial.is_baseline:
            return "baseline"
        if trial.outcome == Outcome.COMPLETE.value:
            return "complete"
        return "failed" if trial.outcome in _FAILED else "pruned"


def _value(report: EpochReport, metric: str) -> float:
    if metric in MEASUREMENTS:
        return float(getattr(report, metric))
    metrics: Mapping[str, float] = report.metrics
    return metrics.get(metric, math.nan)
