"""The part of a study's time that the search leaves, so that its winner can be confirmed inside the budget."""

from collections.abc import Mapping, Sequence

from autotune.coordinator.retraining.contenders import is_comparable
from autotune.coordinator.standing import Standing
from autotune.events import EpochReport, Outcome
from autotune.goals import BASELINE_NUMBER
from autotune.proof.statistics import LEAST_VALUES
from autotune.recording.records import Records
from autotune.recording.rows import TrialRow

MOST_SHARE = 1 / 3
"""The largest share of the budget's seconds that may be reserved for the confirmation."""
_MARGIN = 1.2
"""Factor on recorded training times: a repeated training pays its start again, and times are noisy."""


class Reserve:
    """Keeps ``standing.reserved_seconds`` up to date: the trainings of the baseline and the best trial so far.

    Nothing is reserved while the baseline is the best trial, since there is nothing to confirm. Nor is anything where
    the fewest trainings that can decide would take more than ``MOST_SHARE``: the search gets that time, and the user
    may run `autotune study confirm` later.
    """

    def __init__(self, *, repeats: int, limit: float | None, standing: Standing) -> None:
        """Begin with an empty reserve.

        Args:
            repeats: How often baseline and best trial are to be trained again; 0 for never.
            limit: The budget's seconds; None where it has no such limit, and nothing is reserved.
            standing: Holds the reserve.
        """
        self._repeats = repeats
        self._limit = limit
        self._standing = standing
        self._seconds: dict[int, float] = {}

    def load(self, records: Records, *, rows: Mapping[int, TrialRow]) -> None:
        """Learn from the rows of the baseline and the best trial that earlier starts recorded."""
        for number in (BASELINE_NUMBER, self._standing.best_number):
            if number in rows and number is not None:
                reports = [row.report for row in records.reports(rows[number])]
                self.learn(number, reports, outcome=rows[number].outcome)

    def learn(self, number: int, reports: Sequence[EpochReport], *, outcome: Outcome | None) -> None:
        """Update the reserve after a trial has ended and was counted in ``standing``."""
        best = self._standing.best_number
        is_needed = number == best or (number == BASELINE_NUMBER and is_comparable(outcome, is_baseline=True))
        if reports and is_needed:
            self._seconds[number] = training_seconds(reports)
        self._standing.reserved_seconds = self._wanted(best) if self._limit is not None else 0.0

    def _wanted(self, best: int | None) -> float:
        if BASELINE_NUMBER not in self._seconds or best is None or best == BASELINE_NUMBER:
            return 0.0
        each = _MARGIN * sum(self._seconds.get(number, 0.0) for number in (BASELINE_NUMBER, best))
        most = MOST_SHARE * (self._limit or 0.0)
        return min(self._repeats * each, most) if min(self._repeats, LEAST_VALUES) * each <= most else 0.0


def training_seconds(reports: Sequence[EpochReport]) -> float:
    """About how long the training took, from its reports."""
    last = reports[-1]
    return last.trained_seconds or sum(report.seconds + report.evaluation_seconds for report in reports)
