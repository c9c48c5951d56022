"""A study's confirmation, ``NAME.confirm``: its rows as trainings, and the verdict that they give.

A training belongs to every trial of the search with the same parameters, so no record of its own says which one
it confirms, and equal trials count as one. A winner is compared with those
trainings of the reference that alternated with its own, never with those for an earlier winner.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autotune.events import EpochReport, Outcome, Scalar
from autotune.goals import MEASUREMENTS, Target
from autotune.proof.quantities import Case
from autotune.proof.rounds import split_rounds
from autotune.proof.trainings import Training, seconds_to
from autotune.proof.verdict import Verdict, judge
from autotune.recording.ranking import rank_configurations
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from autotune.spec.model import Confirm, Objective

CONFIRM_SUFFIX = ".confirm"


def confirm_name(study: str) -> str:
    """The name of the study that holds a study's confirmation."""
    return f"{study}{CONFIRM_SUFFIX}"


def find_confirmation(records: Records, *, study: StudyRow) -> StudyRow | None:
    """The study's confirmation, if there is one."""
    return records.find_study(confirm_name(study.name))


def read_verdict(records: Records, *, study: StudyRow) -> Verdict | None:
    """The verdict as the rows give it now; None before both sides of one round have ended.

    Where several trials were confirmed, it is the verdict on the one that is best in the search, and holds those on
    the others.
    """
    confirmation = find_confirmation(records, study=study)
    if confirmation is None:
        return None
    return _Evidence.read(records, study=study, confirmation=confirmation).verdict()


def key_of(parameters: Mapping[str, Scalar]) -> str:
    """A text that is equal for equal parameters, whatever their order."""
    return json.dumps(dict(parameters), sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """All rows that a verdict is computed from."""

    study: StudyRow
    confirmation: StudyRow
    searched: tuple[TrialRow, ...]
    trained: tuple[TrialRow, ...]
    """The confirmation's trials, in order."""
    reports: Mapping[int, Sequence[EpochReport]]
    """The confirmation's reports by trial number."""

    @classmethod
    def read(cls, records: Records, *, study: StudyRow, confirmation: StudyRow) -> "_Evidence":
        """Read the trials of both studies, and the confirmation's reports."""
        reports: defaultdict[int, list[EpochReport]] = defaultdict(list)
        for row in records.all_reports(confirmation):
            reports[row.number].append(row.report)
        return cls(
            study=study,
            confirmation=confirmation,
            searched=records.trials(study),
            trained=records.trials(confirmation),
            reports=reports,
        )

    @property
    def objective(self) -> Objective:
        """The study's first objective."""
        return self.study.spec.objectives[0]

    @property
    def asked(self) -> Confirm:
        """The confirmation that was asked for last."""
        return self.confirmation.spec.confirm

    def verdict(self) -> Verdict | None:
        """The verdict on the best winner, with those on the others; None where none has a pair of trainings yet."""
        reference = next((row for row in self.searched if row.number == self.asked.against), None)
        if reference is None:
            return None
        ranked = rank_configurations(self.searched, objective=self.objective)
        sides = [(row, self._pairs(row, reference)) for row in ranked if row.parameters != reference.parameters]
        known = [(row, pairs) for row, pairs in sides if pairs]
        verdicts = [
            self._judge(row, reference, pairs=pairs, is_best=row == ranked[0], num_winners=len(known))
            for row, pairs in known
        ]
        return verdicts[0].model_copy(update={"others": tuple(verdicts[1:])}) if verdicts else None

    def _pairs(self, winner: TrialRow, reference: TrialRow) -> list[tuple[TrialRow, TrialRow]]:
        """The trainings of both sides from each round that has both, if both have ended."""
        pairs = []
        for each in self._rounds:
            one, other = (each.get(key_of(row.parameters)) for row in (winner, reference))
            if one is not None and other is not None and one.is_over and other.is_over:
                pairs.append((one, other))
        return pairs

    @cached_property
    def _rounds(self) -> list[dict[str, TrialRow]]:
        """The confirmation's trials round by round, by the key of their parameters."""
        keys, rows = [key_of(row.parameters) for row in self.trained], iter(self.trained)
        return [dict(zip(each, rows, strict=False)) for each in split_rounds(keys)]

    def _judge(
        self,
        winner: TrialRow,
        reference: TrialRow,
        *,
        pairs: Sequence[tuple[TrialRow, TrialRow]],
        is_best: bool,
        num_winners: int,
    ) -> Verdict:
        """The verdict on one winner, from the pairs of trainings in which it alternated with the reference."""
        target = self._target([row for pair in pairs for row in pair])
        case = self._case(winner, reference, target=target, is_best=is_best, num_winners=num_winners)
        return judge(
            case,
            winners=[self._training(one, trial=winner, target=target) for one, _ in pairs],
            references=[self._training(other, trial=reference, target=target) for _, other in pairs],
        )

    def _target(self, rows: Sequence[TrialRow]) -> Target | None:
        """The target that trainings are timed to; None where there is none.

        It is the objective's own. For a plain metric it is the one asked for, else the value that all trainings of both
        sides reached.
        """
        objective = self.objective
        if objective.target is not None or objective.metric in MEASUREMENTS:
            return objective.target
        bound, is_at_least = self.asked.target, objective.is_more_better
        if bound is None:
            finals = [self._final(row, metric=objective.metric) for row in rows]
            known = [final for final in finals if final is not None and math.isfinite(final)]
            if not known:
                return None
            bound = min(known) if is_at_least else max(known)
        return Target(metric=objective.metric, bound=bound, is_at_least=is_at_least)

    def _final(self, row: TrialRow, *, metric: str) -> float | None:
        """The metric at the last report; None where the training failed or did not report it."""
        reports = self.reports[row.number]
        if row.outcome not in {Outcome.COMPLETE, Outcome.PRUNED} or not reports:
            return None
        return reports[-1].metrics.get(metric)

    def _training(self, row: TrialRow, *, trial: TrialRow, target: Target | None) -> Training:
        """A row of the confirmation as a training of this trial of the search."""
        objective, reports = self.objective, self.reports[row.number]
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
        """What is compared, and what a verdict says of it beside the figures."""
        objective, compared = self.objective, self.objective.reported_metric
        return Case(
            study=self.study.name,
            metric=objective.metric,
            is_more_better=objective.is_more_better,
            compared=compared,
            is_more_of_compared_better=objective.is_more_reported_better,
            target=target,
            winner=winner.number,
            is_best=is_best,
            reference=reference.number,
            is_against_baseline=reference.is_baseline,
            num_wanted=self.asked.repeats,
            search_value=winner.values[0] if winner.values else None,
            seen=tuple(
                report.metrics[compared]
                for row in self.trained
                for report in self.reports[row.number]
                if compared in report.metrics
            ),
            spent_seconds=self.study.elapsed_seconds + self.confirmation.elapsed_seconds,
            num_winners=num_winners,
        )
