"""A study's confirmation, ``NAME.confirm``: its rows as trainings, and the verdict that they give.

A training belongs to every trial of the search that has its parameters: which one it confirms needs
no record of its own, and trials that were proposed twice are one.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.errors import StudyNotFoundError
from autotune.events import EpochReport, Outcome
from autotune.goals import MEASUREMENTS, Target
from autotune.proof.quantities import Case
from autotune.proof.trainings import Training, seconds_to
from autotune.proof.verdict import Verdict, judge
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from autotune.spec.model import Objective, StudySpec

CONFIRM_SUFFIX = ".confirm"


def confirm_name(study: str) -> str:
    """The name of the study that holds a study's confirmation."""
    return f"{study}{CONFIRM_SUFFIX}"


def find_confirmation(records: Records, *, study: StudyRow) -> StudyRow | None:
    """The study's confirmation, if there is one."""
    try:
        return records.study(confirm_name(study.name))
    except StudyNotFoundError:
        return None


def read_verdict(records: Records, *, study: StudyRow) -> Verdict | None:
    """The verdict as the rows give it now; None before both sides have a training that has ended.

    Of several confirmed trials it is on the one that is the best in the search, with those on the
    others inside it.
    """
    confirmation = find_confirmation(records, study=study)
    if confirmation is None:
        return None
    return _Evidence.read(records, study=study, confirmation=confirmation).verdict()


def rank_rows(rows: Sequence[TrialRow], *, objective: Objective) -> tuple[TrialRow, ...]:
    """The study's own complete trials, the best by the objective first; of equal parameters the best alone."""
    sign = -1 if objective.direction == "maximize" else 1
    complete = [row for row in rows if row.outcome is Outcome.COMPLETE and row.values and row.origin is None]
    ranked: list[TrialRow] = []
    for row in sorted(complete, key=lambda row: (sign * row.values[0] if row.values else math.inf, row.number)):
        if all(row.parameters != other.parameters for other in ranked):
            ranked.append(row)
    return tuple(ranked)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """All rows that a verdict is computed from."""

    study: StudyRow
    confirmation: StudyRow
    spec: StudySpec
    asked: StudySpec
    """The confirmation's own: what was asked for last."""
    searched: tuple[TrialRow, ...]
    trained: tuple[TrialRow, ...]
    """Of the confirmation: those that have ended."""
    reports: Mapping[int, Sequence[EpochReport]]
    """Of the confirmation, by number."""

    @classmethod
    def read(cls, records: Records, *, study: StudyRow, confirmation: StudyRow) -> "_Evidence":
        reports: defaultdict[int, list[EpochReport]] = defaultdict(list)
        for row in records.all_reports(confirmation):
            reports[row.number].append(row.report)
        return cls(
            study=study,
            confirmation=confirmation,
            spec=StudySpec.model_validate_json(study.spec_json),
            asked=StudySpec.model_validate_json(confirmation.spec_json),
            searched=records.trials(study),
            trained=tuple(row for row in records.trials(confirmation) if row.is_over),
            reports=reports,
        )

    def verdict(self) -> Verdict | None:
        against = self.asked.confirm.against
        reference = next((row for row in self.searched if row.number == against), None)
        if reference is None or not self._rows_of(reference):
            return None
        ranked = rank_rows(self.searched, objective=self.spec.objectives[0])
        known = [row for row in ranked if row.parameters != reference.parameters and self._rows_of(row)]
        target = self._target(reference)
        verdicts = [
            judge(
                self._case(row, reference, target=target, is_best=row == ranked[0], num_winners=len(known)),
                winners=self._side(row, target=target),
                references=self._side(reference, target=target),
            )
            for row in known
        ]
        return verdicts[0].model_copy(update={"others": tuple(verdicts[1:])}) if verdicts else None

    def _rows_of(self, trial: TrialRow) -> list[TrialRow]:
        return [row for row in self.trained if row.parameters == trial.parameters]

    def _target(self, reference: TrialRow) -> Target | None:
        """The objective's own; of a plain metric the one asked for, else the reference's mean."""
        objective = self.spec.objectives[0]
        if objective.target is not None or objective.metric in MEASUREMENTS:
            return objective.target
        bound = self.asked.confirm.target
        if bound is None:
            finals = [self._final(row, metric=objective.metric) for row in self._rows_of(reference)]
            known = [final for final in finals if final is not None]
            bound = statistics.fmean(known) if known else None
        if bound is None:
            return None
        return Target(metric=objective.metric, bound=bound, is_at_least=objective.direction == "maximize")

    def _final(self, row: TrialRow, *, metric: str) -> float | None:
        """At the last report of a training that went as far as it should; None too where that is not finite."""
        reports = self.reports[row.number]
        if row.outcome not in {Outcome.COMPLETE, Outcome.PRUNED} or not reports:
            return None
        final = reports[-1].metrics.get(metric, math.nan)
        return final if math.isfinite(final) else None

    def _side(self, trial: TrialRow, *, target: Target | None) -> list[Training]:
        return [self._training(row, trial=trial, target=target) for row in self._rows_of(trial)]

    def _training(self, row: TrialRow, *, trial: TrialRow, target: Target | None) -> Training:
        objective, reports = self.spec.objectives[0], self.reports[row.number]
        assert row.outcome is not None, "it has ended"
        value = row.values[0] if row.values and row.outcome is Outcome.COMPLETE else None
        if value is None and objective.target is not None:
            value = math.inf
        return Training(
            trial=trial.number,
            outcome=row.outcome,
            value=value,
            final=self._final(row, metric=target.metric if target else objective.metric),
            seconds_to_target=seconds_to(target, reports) if target else math.inf,
            samples_per_second=row.samples_per_second,
            peak_memory_bytes=max((report.peak_memory_bytes for report in reports), default=None),
            seconds=reports[-1].trained_seconds if reports else None,
        )

    def _case(
        self, winner: TrialRow, reference: TrialRow, *, target: Target | None, is_best: bool, num_winners: int
    ) -> Case:
        objective = self.spec.objectives[0]
        return Case(
            study=self.study.name,
            metric=objective.metric,
            is_more_better=objective.direction == "maximize",
            compared=objective.target.metric if objective.target else objective.metric,
            is_more_of_compared_better=(
                objective.target.is_at_least if objective.target else objective.direction == "maximize"
            ),
            target=target,
            winner=winner.number,
            is_best=is_best,
            reference=reference.number,
            is_against_baseline=reference.is_baseline,
            num_wanted=self.asked.confirm.repeats,
            search_value=winner.values[0] if winner.values else None,
            spent_seconds=self.study.elapsed_seconds + self.confirmation.elapsed_seconds,
            num_winners=num_winners,
        )
