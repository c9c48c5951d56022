"""A baseline that takes most of a study's time: why it may, and what helps."""

import os
from dataclasses import dataclass

from autotune.coordinator.observer import StudyView, TrialView
from autotune.events import Finished, Outcome
from autotune.figures import format_figure
from autotune.hardware import read_load

_LARGE_SHARE = 0.5
"""Of the budget's seconds; what is left then is not even another such training."""


@dataclass(frozen=True)
class HostLoad:
    """How busy the host is."""

    average: float | None
    """Over the last minute; None where nobody knows."""
    num_cores: int

    @classmethod
    def now(cls) -> "HostLoad":
        """At this moment."""
        return cls(read_load(), os.cpu_count() or 1)

    @property
    def is_busy(self) -> bool:
        """More wants to run than there are cores."""
        return self.average is not None and self.average > self.num_cores


def describe_long_baseline(trial: TrialView, finished: Finished, *, study: StudyView, load: HostLoad) -> str | None:
    """One line for a person; None of another trial, and where the baseline left time for trials, or failed.

    On two cores that three other programs wanted too, the digits of ``mnist`` trained for 8 s with one thread, and for
    more than 43 s with two: each operation waits for its slower thread.

    Args:
        trial: As it was launched.
        finished: How it ended.
        study: As it stands at the baseline's end, which is its first trial.
        load: Of its host.
    """
    seconds, budget_seconds = study.trial_seconds, study.total_seconds
    if not trial.is_baseline or finished.outcome not in {Outcome.COMPLETE, Outcome.PRUNED}:
        return None
    if budget_seconds is None or seconds < _LARGE_SHARE * budget_seconds:
        return None
    took, whole = (format_figure(each, digits=3) for each in (min(seconds, budget_seconds), budget_seconds))
    line = f"the baseline took {took} of the study's {whole} s"
    more = "a larger --seconds leaves time for other trials"
    if not load.is_busy:
        return f"{line}; {more}"
    line = f"{line}, on a busy machine: load {load.average:.1f} on {load.num_cores} cores; {more}"
    if trial.device != "cpu" or trial.parameters.get("torch_threads") == 1:
        return line
    return f"{line}, and a baseline with torch_threads 1 waits less for cores that others use"
