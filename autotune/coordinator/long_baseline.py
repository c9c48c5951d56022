"""A baseline that takes most of a study's time: why it may, and what helps."""

import os
from dataclasses import dataclass

from autotune.coordinator.observer import StudyView, TrialView
from autotune.events import Finished, Outcome
from autotune.figures import format_figure
from autotune.hardware import read_load

_LARGE_SHARE = 0.5
"""Share of the budget's seconds; a baseline that takes more leaves no time for a second training of its length."""


@dataclass(frozen=True)
class HostLoad:
    """How busy the host is."""

    average: float | None
    """Load average over the last minute; None where the system does not report it."""
    num_cores: int

    @classmethod
    def now(cls) -> "HostLoad":
        """The load of this host at this moment."""
        return cls(read_load(), os.cpu_count() or 1)

    @property
    def is_busy(self) -> bool:
        """More processes want to run than there are cores."""
        return self.average is not None and self.average > self.num_cores


def describe_long_baseline(trial: TrialView, finished: Finished, *, study: StudyView, load: HostLoad) -> str | None:
    """One line for a person about a baseline that took most of the budget; None where there is nothing to tell.

    On two cores that three other programs wanted too, the digits of ``mnist`` trained for 8 s with one thread, and for
    more than 43 s with two: each operation waits for its slower thread.

    Args:
        trial: The trial that ended; any but the baseline gives None.
        finished: How it ended; a failure gives None.
        study: The study right after the trial's end.
        load: How busy the trial's host is.
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
