"""What a race is asked to do, and who hears of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.result import Heat, HeatStage
from autotune.speed.racing.run_length import RunLength


@dataclass(frozen=True)
class RacePlan:
    """What a race tries, from where, and how long it may take."""

    entries: tuple[Entry, ...]
    """The knobs that are raced, with their values."""
    baseline: Mapping[str, Scalar]
    """The setting to beat at first, with fixed knobs: one that depends on them is raced beside them."""
    start: Mapping[str, Scalar] | None = None
    """A setting to try first: the winner of a workload like this one."""
    guess: Mapping[str, Scalar] | None = None
    """A setting to try first where no winner is known, whose parts are doubted when it has won: what guides name for a
    device where they are worth several times the baseline, and what a race of each alone might never come to."""
    informed: Mapping[str, Scalar] | None = None
    """What an informed user would set without measuring, which the winner is to meet; None where it is not to."""
    epochs: int = 1
    """Epochs of a training run: what it pays once is charged against them."""
    run_seconds: float | None = None
    """Seconds of a training run that is measured out in them, and ends before its epochs do; None for any other."""
    run_samples: int | None = None
    """Samples of a training run that is measured out in them; None for any other."""
    seconds: float = 120.0
    """What the race may take. Another heat is begun only where it and the confirmations are expected to end in time. A
    confirmation may end later all the same, as one that compiles again: ``RaceResult.seconds_late`` tells."""
    seconds_in_turns: float | None = None
    """What the race may take where contestants have no room side by side, as turns cost starts; None: ``seconds``."""
    overrun: float | None = None
    """After so many times its seconds the race is to be over, and may be ended from outside with all that it has found.
    Nothing is started, and no loss judged, that would leave no time to confirm a winner by then. None: there is no such
    moment."""
    memory_bytes: int | None = None
    """The device's memory; None where nobody knows."""
    pace: Pace = field(default_factory=Pace)
    """How long a heat measures."""

    @property
    def run(self) -> RunLength:
        """How long a training run is."""
        return RunLength(self.epochs, self.run_seconds, self.run_samples)


@dataclass(frozen=True)
class RaceWatch:
    """What is told while a race runs; each function may raise to end it."""

    diagnosed: Callable[[Diagnosis], None] = lambda _: None
    """Called with each bottleneck that was found."""
    heat_begun: Callable[[HeatStage, Mapping[str, Scalar]], None] = lambda _stage, _changes: None
    """Called with what is to be tried; nothing more is told until the heat is over, which may take minutes."""
    heat_over: Callable[[Heat], None] = lambda _: None
    """Called with each heat that has ended."""
    takes_turns: Callable[[], None] = lambda: None
    """Called once, when contestants turn out to have no room side by side."""
