"""When a trial has what it was started for, before its last epoch: its targets seen, or its resource used up."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from autotune.events import EpochReport, TrialOrder
from autotune.figures import format_figure
from autotune.goals import Target


class Clock(Protocol):
    """What a trial has trained so far, over all its processes."""

    @property
    def trained_seconds(self) -> float:
        """Seconds since the first batch was asked for, evaluation and compilation included."""

    @property
    def trained_samples(self) -> int:
        """Number of training samples seen, repeated ones included."""


class Ending:
    """What ends a trial; it remembers nothing itself, since reports and clock outlive a process."""

    def __init__(self, order: TrialOrder, *, clock: Clock) -> None:
        self._targets = order.targets
        self._clock = clock
        self._counts_seconds = order.resource == "seconds"
        self._limit = order.per_trial

    @property
    def has_limit(self) -> bool:
        """Whether the trial is given a number of seconds or samples."""
        return self._limit is not None

    @property
    def share(self) -> float:
        """Share of its seconds or samples that the trial has had; it may pass 1, and is 0 where epochs are counted."""
        if self._limit is None:
            return 0.0
        clock = self._clock
        return (clock.trained_seconds if self._counts_seconds else clock.trained_samples) / self._limit

    def times(
        self, metrics: Mapping[str, float], *, earlier: Sequence[EpochReport], seconds: float
    ) -> dict[str, float]:
        """Seconds until each target was seen that is seen by now, by the name of its objective.

        Args:
            metrics: The metrics of the epoch that ends.
            earlier: The reports of the epochs before it.
            seconds: What the trial has trained at the end of this epoch.
        """
        before: Mapping[str, float] = earlier[-1].metrics if earlier else {}
        return {
            target.objective: before.get(target.objective, seconds)
            for target in self._targets
            if target.objective in before or target.is_seen(metrics[target.metric])
        }

    def is_over(self, reports: Sequence[EpochReport]) -> bool:
        """Whether the trial is to end after these reports."""
        if not reports:
            return False
        last = reports[-1]
        if self._targets and all(target.objective in last.metrics for target in self._targets):
            return True
        spent = last.trained_seconds if self._counts_seconds else last.trained_samples
        return self._limit is not None and spent is not None and spent >= self._limit

    def reason_to_prune(self, reports: Sequence[EpochReport]) -> str | None:
        """The target that a trial with these reports never saw, in words; None where it saw all of them."""
        for target in self._targets:
            if target.objective not in reports[-1].metrics:
                return _unseen(target, reports)
        return None


def _unseen(target: Target, reports: Sequence[EpochReport]) -> str:
    """How close the metric came to its target, in words."""
    best = min((report.metrics[target.metric] for report in reports), key=target.shortfall)
    verb = "reached" if target.is_at_least else "came down to"
    return f"{target.metric} {format_figure(best, digits=4)} never {verb} {target.bound:g}"
