"""Whether a training with fewer digits still learns as one with all of them, judged on a few raced steps.

Full precision is trained on several seeds; the spread of its mean losses is the noise that a user
accepts already. The reduced one is trained on the same seeds, so that the two differ by their digits
alone, and may be worse by no more than that noise.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.speed.arena import Arena

NUM_SEEDS = 3
_LOSS_STEPS = 30
_SPREADS = 2.0
"""Standard deviations of full precision's mean loss over its seeds."""


@dataclass(frozen=True)
class LossCurve:
    """Training losses of one contestant, from a known step on."""

    first_step: int
    losses: tuple[float, ...]

    def mean_over(self, first: int, last: int) -> float:
        """The mean loss of the steps from ``first`` up to ``last``, that one left out."""
        part = self.losses[first - self.first_step : last - self.first_step]
        return statistics.fmean(part) if part else math.nan


@dataclass(frozen=True)
class Judgement:
    """Whether the reduced precision may be kept, and the figures that say so."""

    is_within_noise: bool
    difference: float
    """Mean loss of the reduced precision less that of the full one."""
    noise: float
    """What the difference may be."""

    @property
    def words(self) -> str:
        """In one line."""
        relation = "within" if self.is_within_noise else "outside"
        return f"its loss differs by {self.difference:+.2g}, {relation} full precision's own noise of {self.noise:.2g}"


def record_losses(arena: Arena, setting: Mapping[str, Scalar], *, seed: int) -> LossCurve:
    """The losses of the first steps with a setting; none where the loop does not tell them.

    Raises:
        ContestantLostError: It can't be trained with.
    """
    contestant = arena.enter(setting, seed=seed)
    try:
        block = contestant.run_block(seconds=0.0, min_steps=_LOSS_STEPS)
    finally:
        contestant.retire()
    return LossCurve(block.first_step, block.losses)


def judge_losses(full: Sequence[LossCurve], reduced: Sequence[LossCurve]) -> Judgement:
    """Compare the losses of the same seeds over the steps that all curves have.

    A curve without losses, or with one that is not finite, is never within the noise.
    """
    curves = (*full, *reduced)
    first = max(curve.first_step for curve in curves)
    last = min(curve.first_step + len(curve.losses) for curve in curves)
    full_means = [curve.mean_over(first, last) for curve in full]
    reduced_means = [curve.mean_over(first, last) for curve in reduced]
    difference = statistics.fmean(reduced_means) - statistics.fmean(full_means)
    noise = _SPREADS * statistics.stdev(full_means)
    return Judgement(math.isfinite(difference) and difference <= noise, difference, noise)
