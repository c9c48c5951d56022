"""The part of a study's time that the search leaves, so that its winner can be confirmed inside the budget."""

from collections.abc import Mapping, Sequence

from autotune.coordinator.standing import BASELINE_NUMBER, Standing
from autotune.events import EpochReport
from autotune.recording.records import Records
from autotune.recording.rows import TrialRow
from autotune.spec.model import StudySpec

MOST_SHARE = 1 / 3
"""Of the budget's seconds."""
_MARGIN = 1.2
"""A training again takes longer by its start, and by noise."""


class Reserve:
    """Keeps ``standing.reserved_seconds`` up to date: the trainings of the baseline and the best trial so far.

    Nothing is reserved while the baseline is the best: there is nothing to confirm then.
    """

    def __init__(self, spec: StudySpec, *, standing: Standing) -> None:
        self._confirm = spec.confirm
        self._limit = spec.budget.seconds
        self._standing = standing
        self._seconds: dict[int, float] = {}

    def load(self, records: Records, *, rows: Mapping[int, TrialRow]) -> None:
        """From what earlier starts recorded."""
        for number in (BASELINE_NUMBER, self._standing.best_number):
            if number in rows and number is not None:
                self.learn(number, [row.report for row in records.reports(rows[number])])

    def learn(self, number: int, reports: Sequence[EpochReport]) -> None:
        """A trial has ended and was counted."""
        best = self._standing.best_number
        if reports and number in {BASELINE_NUMBER, best}:
            self._seconds[number] = training_seconds(reports)
        known = [self._seconds.get(each) for each in (BASELINE_NUMBER, best) if each is not None]
        needed = 0.0
        if self._standing.baseline_value is not None and best not in {None, BASELINE_NUMBER}:
            needed = _MARGIN * self._confirm.repeats * sum(seconds or 0.0 for seconds in known)
        self._standing.reserved_seconds = min(needed, MOST_SHARE * self._limit) if self._limit is not None else 0.0


def training_seconds(reports: Sequence[EpochReport]) -> float:
    """About how long the training took, from its reports."""
    last = reports[-1]
    return last.trained_seconds or sum(report.seconds + report.evaluation_seconds for report in reports)
