"""``torch.compile`` in a race: last, and only where the steps that remain repay what it costs."""

from collections.abc import Callable

from autotune.events import Bottleneck, Scalar
from autotune.speed.knobs.entries import changed
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import Comparison, break_even_steps
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.result import BreakEven
from autotune.speed.racing.track import Track

COMPILE = "compile"
_OFF = "off"
_LEAST_SECONDS = 20.0
"""Compiling a model that is worth it costs 10 s at the least, and rarely makes a step twice as fast: a run that
trains for less than this can't repay it."""
_RESERVE = 0.3
"""Of a race's time that is kept for compiling where a run can repay it: nothing else gains as much there."""
_LONGER = 2.0
"""A mode that searches more takes longer than the one before it; it needs this many times as long to be left."""
_FOR_LAUNCHES = "reduce-overhead"
"""The mode that replays a step as one graph: where steps wait for launches it comes first."""


class Compiling:
    """Tries the modes of ``torch.compile`` on the incumbent, and does their sums."""

    def __init__(self, plan: RacePlan) -> None:
        self._plan = plan
        self.break_evens: list[BreakEven] = []
        """When each mode that was faster has paid for itself."""
        self._entry = next((entry for entry in plan.entries if entry.name == COMPILE), None)

    def reserve(self, incumbent: Contestant) -> float:
        """Seconds of the race to keep for compiling; 0 where it is not to be tried."""
        if self._entry is None or self._run_length(incumbent)[1] < _LEAST_SECONDS:
            return 0.0
        return _RESERVE * self._plan.seconds

    def try_modes(self, track: Track, *, bottleneck: Bottleneck | None, seconds_left: Callable[[], float]) -> bool:
        """Screen the modes against the incumbent; one that is faster and repays itself is adopted.

        Returns whether all were tried for which there was time.
        """
        longest = 0.0
        for value in self._modes(bottleneck):
            setting = changed(track.incumbent.setting, COMPILE, value, entries=self._plan.entries)
            if setting is None or setting == dict(track.incumbent.setting):
                continue
            if seconds_left() <= _LONGER * longest:
                return False
            steps, seconds = self._run_length(track.incumbent)
            if seconds < _LEAST_SECONDS:
                length = f"a run of {steps:,} steps trains for {seconds:.1f} s, which compiling can't repay"
                track.skip("compile", setting, reason=length if steps else "nobody knows how many steps a run has")
                continue
            before = seconds_left()
            track.heat("compile", setting, objection=self._object_to_cost, may_adopt=True)
            longest = max(longest, before - seconds_left())
        return True

    def _modes(self, bottleneck: Bottleneck | None) -> list[Scalar]:
        modes = [value for value in self._entry.values if value != _OFF] if self._entry is not None else []
        return sorted(modes, key=lambda mode: mode != _FOR_LAUNCHES) if bottleneck == "launch" else modes

    def _run_length(self, incumbent: Contestant) -> tuple[int, float]:
        """Steps of a training run, and about how long the incumbent trains for them; 0 where nothing tells."""
        block = incumbent.run_block(seconds=self._plan.pace.block_seconds, min_steps=self._plan.pace.min_steps)
        limits: list[int] = []
        if incumbent.warmed.steps_per_epoch is not None:
            limits.append(self._plan.epochs * incumbent.warmed.steps_per_epoch)
        if self._plan.run_seconds is not None:
            limits.append(int(self._plan.run_seconds * block.steps / block.seconds))
        if self._plan.run_samples is not None:
            limits.append(self._plan.run_samples * block.steps // max(1, block.samples))
        steps = min(limits, default=0)
        return steps, steps * block.seconds / block.steps

    def _object_to_cost(self, incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
        steps, _ = self._run_length(incumbent)
        needed = break_even_steps(incumbent, challenger, comparison)
        assert needed is not None, "it is faster, or nobody would ask"
        extra = challenger.warmed.start_seconds - incumbent.warmed.start_seconds
        self.break_evens.append(BreakEven(knob=COMPILE, start_seconds=extra, steps=needed, steps_that_remain=steps))
        if needed <= steps:
            return None
        return f"faster, but its {extra:.1f} s of compiling are repaid after {needed:,} steps of {steps:,}"
