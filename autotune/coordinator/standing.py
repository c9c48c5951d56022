"""How a study stands: outcomes by count, the best trial, the baseline; kept as events come in."""

import math
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from autotune.coordinator.observer import Ending, SideView, StudyView
from autotune.events import Outcome
from autotune.goals import BASELINE_NUMBER
from autotune.recording.rows import StudyRow, TrialRow
from autotune.spec.model import Budget, Objective, StudySpec


class Standing:
    """Totals over all starts of a study; the first objective decides what is best."""

    def __init__(self, *, name: str, storage: str, objectives: Sequence[Objective], budget: Budget) -> None:
        self._name = name
        self._storage = storage
        self._objective = objectives[0]
        self._budget = budget
        self._outcomes: Counter[str] = Counter()
        self._num_trials = 0
        self.reserved_seconds = 0.0
        """Seconds of the budget that the search leaves to the confirmation."""
        self.speed_seconds = 0.0
        """Seconds that races took so far, one that runs at this moment included."""
        self._earlier_seconds = 0.0
        self._started = time.monotonic()
        self.baseline_value: float | None = None
        """The baseline's first objective; None until it is complete with a finite value."""
        self.best_value: float | None = None
        self.best_number: int | None = None
        self._course: tuple[float, ...] = ()
        self._last_pruned: Ending | None = None
        self._last_failed: Ending | None = None
        self._values: dict[int, float | None] = {}
        self._side_of: dict[int, str] = {}
        self._sides: tuple[str, ...] = ()

    def set_sides(self, names: Iterable[str], *, trials: Mapping[int, str]) -> None:
        """Name the configurations whose trainings this study repeats; ``trials`` has that of each trial by number."""
        self._sides = tuple(names)
        self._side_of = dict(trials)

    def add_to_side(self, number: int, *, name: str) -> None:
        """Note which configuration a trial repeats."""
        self._side_of[number] = name

    def side_of(self, number: int) -> str | None:
        """The configuration that a trial repeats, if it is one of the sides."""
        return self._side_of.get(number)

    def load(self, ended: Iterable[Ending], *, num_trials: int, seconds: float) -> None:
        """Take over what earlier starts left: trials in the order of their ends, how many there are, seconds spent."""
        for ending in ended:
            self.count(ending)
        self._num_trials = num_trials
        self._earlier_seconds = seconds
        self._started = time.monotonic()

    @property
    def session_seconds(self) -> float:
        """Seconds since this start."""
        return time.monotonic() - self._started

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of this and of all earlier starts."""
        return self._earlier_seconds + self.session_seconds

    @property
    def trial_seconds(self) -> float:
        """The elapsed seconds without those that races took."""
        return max(0.0, self.elapsed_seconds - self.speed_seconds)

    @property
    def foreseen_seconds(self) -> float | None:
        """What all trials of the budget take at the pace of those that have ended; None before one has."""
        num_ended = len(self._values)
        if num_ended == 0 or self._budget.trials is None:
            return None
        return self._budget.trials * self.trial_seconds / num_ended

    @property
    def is_time_up(self) -> bool:
        """The budget's seconds are used up, but for those that are reserved."""
        limit = self._budget.seconds
        return limit is not None and self.elapsed_seconds >= limit - self.reserved_seconds

    @property
    def has_trials_left(self) -> bool:
        """The budget allows one more trial."""
        return self._budget.trials is None or self._num_trials < self._budget.trials

    def set_trials(self, num_trials: int) -> None:
        """Take over how many trials the study has, whoever asked for them."""
        self._num_trials = num_trials

    def add_trial(self) -> None:
        """Count a trial that was asked for."""
        self._num_trials += 1

    def count(self, ending: Ending) -> bool:
        """Count an ended trial; true when it is the new best.

        A tie keeps the one that ended first: the other's checkpoint is deleted. In a ranking of rows
        (``recording.ranking``) the lower number comes first.
        """
        self._outcomes[ending.outcome.value] += 1
        if ending.outcome is not Outcome.INTERRUPTED:
            self._values[ending.number] = ending.value if ending.outcome is Outcome.COMPLETE else None
        if ending.outcome is Outcome.PRUNED:
            self._last_pruned = ending
        elif ending.outcome not in {Outcome.COMPLETE, Outcome.INTERRUPTED}:
            self._last_failed = ending
        is_best = self._is_best(ending)
        if is_best:
            self.best_value, self.best_number = ending.value, ending.number
        if self.best_value is not None:
            self._course = (*self._course, self.best_value)
        return is_best

    def has_counted(self, number: int) -> bool:
        """Whether the trial of this number has ended, and was counted."""
        return number in self._values

    def view(self, *, num_running: int) -> StudyView:
        """The study at this moment, for a display."""
        return StudyView(
            name=self._name,
            storage=self._storage,
            metric=self._objective.metric,
            reported_metric=self._objective.reported_metric,
            direction=self._objective.direction,
            epochs=self._budget.epochs if self._budget.resource == "epochs" else None,
            total_trials=self._budget.trials,
            total_seconds=self._budget.seconds,
            elapsed_seconds=self.elapsed_seconds,
            trial_seconds=self.trial_seconds,
            outcomes=dict(self._outcomes),
            num_running=num_running,
            baseline_value=self.baseline_value,
            best_value=self.best_value,
            best_number=self.best_number,
            course=self._course,
            last_pruned=self._last_pruned,
            last_failed=self._last_failed,
            sides=tuple(self._side_view(name) for name in self._sides),
        )

    def _side_view(self, name: str) -> SideView:
        """How many trainings of a configuration have ended, and their mean; values that are not finite are left out."""
        values = [value for number, value in self._values.items() if self._side_of.get(number) == name]
        known = [value for value in values if value is not None and math.isfinite(value)]
        return SideView(name, len(values), len(known), statistics.fmean(known) if known else None)

    def _is_best(self, ending: Ending) -> bool:
        """Whether a trial is better than all that ended before it; takes the baseline's value over, too."""
        value = ending.value
        if ending.outcome is not Outcome.COMPLETE or value is None or not math.isfinite(value):
            return False
        if ending.number == BASELINE_NUMBER:
            self.baseline_value = value
        return self.best_value is None or self._objective.cost(value) < self._objective.cost(self.best_value)


def standing_of(study: StudyRow, *, spec: StudySpec, rows: Iterable[TrialRow], storage: str) -> Standing:
    """How a study stands by its rows; ``storage`` is shown, and has no password."""
    standing = Standing(name=study.name, storage=storage, objectives=spec.objectives, budget=spec.budget)
    own = [row for row in rows if row.origin is None]
    ended = sorted((row for row in own if row.is_over), key=lambda row: (row.ended_at or 0.0, row.number))
    endings = [ending for row in ended if (ending := ending_of(row)) is not None]
    standing.load(endings, num_trials=len(own), seconds=study.elapsed_seconds)
    standing.speed_seconds = study.speed_seconds
    return standing


def ending_of(row: TrialRow) -> Ending | None:
    """How a trial ended; None while it has not."""
    if row.outcome is None:
        return None
    return Ending(row.number, row.outcome, value=row.values[0] if row.values else None, reason=row.reason)
