"""One training on a fresh seed, and what is compared of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autotune.events import EpochReport, Outcome
from autotune.goals import Target


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of a trial's parameters that has ended."""

    trial: int
    """Number of the search's trial whose parameters were trained."""
    outcome: Outcome
    value: float | None
    """Value of the first objective; None unless trained to its end, infinite for a target that was never reached."""
    final: float | None
    """The compared metric at the last report; None where the training failed, NaN or infinite where it diverged."""
    seconds_to_target: float
    """Seconds from the first batch asked for until the target was reached; infinite where it never was."""
    samples_per_second: float | None
    peak_memory_bytes: int | None
    seconds: float | None
    """Seconds from the first batch asked for to the last report."""

    @property
    def is_failed(self) -> bool:
        """It gave nothing to compare. A training that ended without its target has not failed: its time is infinite."""
        is_over = self.outcome in {Outcome.COMPLETE, Outcome.PRUNED}
        return not is_over or (self.final is not None and not math.isfinite(self.final))


def seconds_to(target: Target, reports: Sequence[EpochReport]) -> float:
    """When the target was first seen, on MLPerf's clock; infinite where it never was.

    A target that the training aimed at has its own time among the metrics; any other one is seen at
    the end of an epoch.
    """
    for report in reports:
        if target.objective in report.metrics:
            return report.metrics[target.objective]
        if report.trained_seconds is not None and target.is_seen(report.metrics.get(target.metric, math.nan)):
            return report.trained_seconds
    return math.inf
