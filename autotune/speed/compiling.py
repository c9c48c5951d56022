"""``torch.compile`` in a race: last, and only where the steps that remain repay what it costs."""

from autotune.speed.arena import Contestant
from autotune.speed.comparison import Comparison, break_even_steps
from autotune.speed.entries import changed
from autotune.speed.plan import RacePlan
from autotune.speed.result import BreakEven
from autotune.speed.track import Track

COMPILE = "compile"
_OFF = "off"
_LEAST_SECONDS = 20.0
"""Compiling a model that is worth it costs 10 s at the least, and rarely makes a step twice as fast: a run that
trains for less than this can't repay it."""


class Compiling:
    """Tries the modes of ``torch.compile`` on the incumbent, and does their sums."""

    def __init__(self, plan: RacePlan) -> None:
        self._plan = plan
        self.break_evens: list[BreakEven] = []
        """When each mode that was faster has paid for itself."""

    def try_modes(self, track: Track) -> None:
        """Screen the modes against the incumbent; one that is faster and repays itself is adopted."""
        entry = next((entry for entry in self._plan.entries if entry.name == COMPILE), None)
        for value in entry.values if entry is not None else ():
            setting = changed(track.incumbent.setting, COMPILE, value, entries=self._plan.entries)
            if setting is None or setting == dict(track.incumbent.setting) or value == _OFF:
                continue
            steps, seconds = self._run_length(track.incumbent)
            if seconds < _LEAST_SECONDS:
                reason = f"a run of {steps:,} steps trains for {seconds:.1f} s, which compiling can't repay"
                track.skip("compile", setting, reason=reason)
            else:
                track.heat("compile", setting, objection=self._object_to_cost, may_adopt=True)

    def _run_length(self, incumbent: Contestant) -> tuple[int, float]:
        """Steps of a training run, and about how long the incumbent trains for them."""
        steps = self._plan.epochs * (incumbent.warmed.steps_per_epoch or 0)
        block = incumbent.run_block(seconds=self._plan.pace.block_seconds, min_steps=self._plan.pace.min_steps)
        if self._plan.run_seconds is not None:
            steps = min(steps, int(self._plan.run_seconds * block.steps / block.seconds))
        if self._plan.run_samples is not None:
            steps = min(steps, self._plan.run_samples * block.steps // max(1, block.samples))
        return steps, steps * block.seconds / block.steps

    def _object_to_cost(self, incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
        steps, _ = self._run_length(incumbent)
        needed = break_even_steps(incumbent, challenger, comparison)
        extra = challenger.warmed.start_seconds - incumbent.warmed.start_seconds
        self.break_evens.append(BreakEven(knob=COMPILE, start_seconds=extra, steps=needed, steps_that_remain=steps))
        if needed is not None and needed <= steps:
            return None
        return f"faster, but its {extra:.1f} s of compiling are repaid after {needed or 0:,} steps of {steps:,}"
