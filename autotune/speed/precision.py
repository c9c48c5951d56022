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
from autotune.speed.arena import Arena, Contestant
from autotune.speed.comparison import Comparison

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


class LossJudge:
    """Asks whether a faster challenger with fewer digits still learns; full precision's losses are kept."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._full: dict[str, list[LossCurve]] = {}

    def objection(self, incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
        """Why the challenger is not kept, or None where its loss is within full precision's own noise.

        Raises:
            ContestantLostError: The challenger can't be trained with on another seed.
        """
        del comparison
        key = repr(sorted(incumbent.setting.items()))
        if key not in self._full:
            self._full[key] = [self._record(incumbent.setting, seed=seed) for seed in range(NUM_SEEDS)]
        reduced = [self._record(challenger.setting, seed=seed) for seed in range(NUM_SEEDS)]
        judgement = judge_losses(self._full[key], reduced)
        return None if judgement.is_within_noise else f"faster, but {judgement.words}"

    def _record(self, setting: Mapping[str, Scalar], *, seed: int) -> LossCurve:
        contestant = self._arena.enter(setting, seed=seed)
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
    if not all(map(math.isfinite, (*full_means, *reduced_means))):
        return Judgement(is_within_noise=False, difference=math.nan, noise=math.nan)
    difference = statistics.fmean(reduced_means) - statistics.fmean(full_means)
    noise = _SPREADS * statistics.stdev(full_means)
    return Judgement(difference <= noise, difference, noise)
