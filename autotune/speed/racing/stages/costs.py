"""What a run pays once: held against the steps that remain to it."""

from dataclasses import dataclass

from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import Comparison, break_even_steps
from autotune.speed.racing.heats.finish import Objection
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.result import BreakEven

_CLEARLY_SECONDS = 0.5
_CLEARLY_TIMES = 1.5
"""A start costs clearly more that takes so many seconds more, and so many times as long: two starts of one setting
differ, too."""


@dataclass(frozen=True)
class Run:
    """A training run, as the incumbent trains it."""

    steps: int
    """Steps of the run; 0 where nothing tells."""
    step_seconds: float
    """What a step of it takes."""

    @property
    def seconds(self) -> float:
        """Seconds that its steps take."""
        return self.steps * self.step_seconds


class Costs:
    """Does the sums of what starts slowly.

    Args:
        plan: The knobs, and how long a run is.
    """

    def __init__(self, plan: RacePlan) -> None:
        self._plan = plan
        self._slow = {entry.name for entry in plan.entries if entry.knob.is_slow_to_start}
        self.break_evens: list[BreakEven] = []
        """For each challenger that was faster and starts more slowly, when a run has repaid that."""

    def run_length(self, incumbent: Contestant) -> Run:
        """How long a run is, from a block of the incumbent's."""
        block = incumbent.run_block(seconds=self._plan.pace.block_seconds, min_steps=self._plan.pace.min_steps)
        step_seconds = block.seconds / block.steps
        steps = self._plan.run.steps(
            steps_per_epoch=incumbent.warmed.steps_per_epoch,
            step_seconds=step_seconds,
            samples_per_step=block.samples / block.steps,
        )
        return Run(steps, step_seconds)

    def objection(self, knob: str, *, then: Objection | None) -> Objection | None:
        """What is asked about a challenger with another value of this knob: its cost, and then what else there is.

        What does not start clearly later, and what a run of unknown length would have to repay, is not objected to.
        """
        if knob not in self._slow:
            return then

        def object_to(incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
            before, after = incumbent.warmed.start_seconds, challenger.warmed.start_seconds
            is_dearer = after - before > _CLEARLY_SECONDS and after > _CLEARLY_TIMES * before
            even = self.of(knob, incumbent, challenger, comparison) if is_dearer else None
            if even is not None and even.steps_that_remain > 0:
                self.break_evens.append(even)
                if not even.was_repaid:
                    return f"faster, but {unpaid_words(even)}"
            return then.ask(incumbent, challenger, comparison) if then is not None else None

        return Objection(object_to, num_starts=then.num_starts if then is not None else 0)

    def of(self, knob: str, incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> BreakEven | None:
        """When the challenger has repaid what its start takes longer; None where it is not surely faster."""
        needed = break_even_steps(incumbent, challenger, comparison)
        if needed is None:
            return None
        run = self.run_length(incumbent)
        return BreakEven(
            knob=knob,
            start_seconds=challenger.warmed.start_seconds - incumbent.warmed.start_seconds,
            steps=needed,
            steps_that_remain=run.steps,
            step_seconds=run.step_seconds,
        )


def unpaid_words(even: BreakEven, *, what: str = "starting") -> str:
    """Words that a run does not repay a start."""
    return (
        f"its {even.start_seconds:.1f} s of {what} are repaid after {even.steps:,} steps of {even.steps_that_remain:,}"
    )
