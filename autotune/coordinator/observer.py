"""What a coordinator tells whoever watches the study."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from autotune.events import EpochReport, Finished, Outcome, Progress, Scalar, Started


@dataclass(frozen=True)
class Ending:
    """How one trial ended."""

    number: int
    outcome: Outcome
    value: float | None = None
    """The trial's first objective; None for a trial that gave no value."""
    reason: str | None = None


@dataclass(frozen=True)
class SideView:
    """One of the configurations that a study of repeated trainings compares."""

    name: str
    """Such as ``the baseline`` or ``trial 6``."""
    num_ended: int
    num_valued: int
    """Ended trainings that gave a value of the first objective."""
    mean: float | None
    """Mean of the first objective over these trainings; None while there is no value."""


@dataclass(frozen=True)
class StudyView:
    """The study as a whole, at one moment."""

    name: str
    storage: str
    """The storage's URL, without a password."""
    metric: str
    """The first objective's metric."""
    reported_metric: str
    """The metric that reports hold of the first objective; for a time to a target, the metric that reaches it."""
    direction: str
    epochs: int | None
    """Epochs of a whole trial; None where its length is counted in seconds or samples."""
    total_trials: int | None
    total_seconds: float | None
    elapsed_seconds: float
    """Seconds that the study has spent in this and all earlier starts."""
    trial_seconds: float
    """The elapsed seconds without those that races took."""
    outcomes: Mapping[str, int]
    """Number of ended trials by outcome."""
    num_running: int
    baseline_value: float | None
    best_value: float | None
    best_number: int | None
    course: tuple[float, ...] = ()
    """The best value so far after each ended trial, from the first complete one on."""
    last_pruned: Ending | None = None
    last_failed: Ending | None = None
    """The last trial that failed, diverged, ran out of memory or timed out."""
    sides: tuple[SideView, ...] = ()
    """The configurations that a study of repeated trainings compares; empty for a study that searches."""
    race_ends_at: float | None = None
    """The elapsed seconds at which the running race must end; None while no race runs."""
    is_run: bool = True
    """A coordinator runs the study. A watcher may also look at a study that nobody runs."""

    @property
    def is_racing(self) -> bool:
        """Speed parameters are raced at this moment."""
        return self.race_ends_at is not None


@dataclass(frozen=True)
class TrialView:
    """A trial that starts: what it will train with."""

    number: int
    parameters: Mapping[str, Scalar]
    is_baseline: bool
    is_adopted: bool
    """The trial ran in an earlier start and goes on now under the same number."""
    device: str
    side: str | None = None
    """Name of the configuration that the trial repeats; None in a study that searches."""


class Observer(Protocol):
    """Told about everything in order, on the coordinator's thread; must return quickly."""

    def study_opened(self, study: StudyView) -> None:
        """The study is there and trials will start; ``study`` says what it already has."""

    def note(self, line: str) -> None:
        """One plain line that a person should see."""

    def trial_launched(self, trial: TrialView, study: StudyView) -> None:
        """A trial process was asked for."""

    def trial_started(self, number: int, event: Started) -> None:
        """Training began."""

    def trial_progressed(self, number: int, event: Progress) -> None:
        """The trial has told how far it is within an epoch."""

    def trial_reported(self, number: int, report: EpochReport, study: StudyView) -> None:
        """An epoch ended and was recorded."""

    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        """The trial ended with an outcome, or was interrupted and will go on."""

    def ticked(self, study: StudyView) -> None:
        """Called a few times a second, whether or not anything happened."""
