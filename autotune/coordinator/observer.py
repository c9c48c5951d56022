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
    """Of the first objective; None for a trial that gave none."""
    reason: str | None = None


@dataclass(frozen=True)
class SideView:
    """One of the configurations that a study of repeated trainings compares."""

    name: str
    """Such as ``the baseline`` or ``trial 6``."""
    num_ended: int
    num_valued: int
    """Of them, those that gave a value of the first objective."""
    mean: float | None
    """Of the values; None while there is none."""


@dataclass(frozen=True)
class StudyView:
    """The study as a whole, at one moment."""

    name: str
    storage: str
    """Without a password."""
    metric: str
    """The first objective's metric."""
    reported_metric: str
    """What a trial's reports say of it: with a target, the metric that comes to it."""
    direction: str
    epochs: int | None
    """Of a whole trial; None where it is measured out in something else."""
    total_trials: int | None
    total_seconds: float | None
    elapsed_seconds: float
    """Of this and of all earlier starts."""
    trial_seconds: float
    """Of them, those that no race took."""
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
    """The last that failed, diverged, did not fit or took too long."""
    sides: tuple[SideView, ...] = ()
    """In a study of repeated trainings; none in one that searches."""
    race_ends_at: float | None = None
    """The elapsed seconds at which the time of the race is up that runs at this moment; None while none does."""
    is_run: bool = True
    """Somebody runs it: a watcher sees studies too that nobody does, whose trials stand still."""

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
    """It ran before and goes on now, under the same number."""
    device: str
    side: str | None = None
    """Name of the configuration that it repeats, in a study of repeated trainings."""


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
        """Somewhere within an epoch."""

    def trial_reported(self, number: int, report: EpochReport, study: StudyView) -> None:
        """An epoch ended and was recorded."""

    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        """The trial ended with an outcome, or was interrupted and will go on."""

    def ticked(self, study: StudyView) -> None:
        """A few times a second, whether or not anything happened."""
