"""The median and the percentile pruner of Optuna, over values that are kept sorted by step."""

import math
from bisect import insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any


class Percentile:
    """Stops a trial whose best report is worse than a percentile of the complete trials at its last step.

    The answers are those of ``optuna.pruners.PercentilePruner`` with an interval of 1.
    """

    def __init__(self, direction: str, *, percentile: float, startup_trials: int, warmup_steps: int) -> None:
        self._is_maximized = direction == "maximize"
        self._percentile = percentile
        self._startup_trials = startup_trials
        self._warmup_steps = warmup_steps
        self._num_complete = 0
        self._values: defaultdict[int, list[float]] = defaultdict(list)
        """Values of complete trials by step, in ascending order, without NaN."""

    def complete(self, reports: Mapping[int, float]) -> None:
        """Compare later trials with these reports."""
        self._num_complete += 1
        for step, value in reports.items():
            if not math.isnan(value):
                insort(self._values[step], value)

    def recall(self, number: int, notes: Mapping[str, Any]) -> None:
        """Nothing is recalled, since this pruner stores nothing."""

    def forget(self, number: int) -> tuple[()]:
        """Nothing is kept of a running trial."""
        del number
        return ()

    def answer(self, number: int, reports: Mapping[int, float]) -> tuple[bool, Mapping[str, Any]]:
        """Whether the trial should stop; True also where all its reports are NaN. On a tie it goes on."""
        del number
        if self._num_complete == 0 or self._num_complete < self._startup_trials or not reports:
            return False, {}
        step = max(reports)
        if step < self._warmup_steps:
            return False, {}
        numbers = [value for value in reports.values() if not math.isnan(value)]
        if not numbers:
            return True, {}
        others = self._values.get(step)
        if not others:
            return False, {}
        if self._is_maximized:
            return max(numbers) < percentile_of(others, 100 - self._percentile), {}
        return min(numbers) > percentile_of(others, self._percentile), {}


def percentile_of(ordered: Sequence[float], percentile: float) -> float:
    """The percentile of values in ascending order, equal to ``numpy.percentile`` to the last bit."""
    place = (len(ordered) - 1) * (percentile / 100)
    if place >= len(ordered) - 1:
        before, low, high = -1, ordered[-1], ordered[-1]
    else:
        before = math.floor(place)
        low, high = ordered[before], ordered[before + 1]
    share = place - before
    difference = high - low
    is_nearer_high = share >= 0.5  # noqa: PLR2004 - half way, where numpy changes sides, too
    return high - difference * (1 - share) if is_nearer_high else low + difference * share
