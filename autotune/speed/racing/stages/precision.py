"""Whether a training with fewer digits still learns as one with all of them, judged on a few raced steps.

Full precision is trained on several seeds; the spread of its mean losses is the noise that a user
accepts already. The reduced one is trained on the same seeds, so that the two differ by their digits
alone, and may be higher or lower by no more than that noise: a loss far below full precision's is another
training's, and says nothing of what a whole run comes to. What is judged is everything that a setting
computes with fewer digits than the baseline, together: two losses that are small alone may not be so in
one step.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Block, Scalar
from autotune.speed.knobs.entries import Entry, apply, in_setting, is_possible, meaningful
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import Comparison
from autotune.speed.racing.heats.finish import Objection
from autotune.speed.racing.heats.shared_arena import NoRoomError, SharedArena
from autotune.speed.racing.pace import NUM_SEEDS
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime

_LOSS_STEPS = 30
"""Steps whose losses are judged."""
_FEED_SECONDS = 1.0
"""What it may take to start workers, about."""
_SPREADS = 2.0
"""The noise is so many standard deviations of full precision's mean loss over its seeds."""


@dataclass(frozen=True)
class LossCurve:
    """Training losses of one contestant, from a known step on."""

    first_step: int
    """Number of the step that the first loss is of."""
    losses: tuple[float, ...]
    """One of each step, in order; empty where the loop tells none."""

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
    """How much the difference may be, up or down."""

    @property
    def words(self) -> str:
        """The judgement with its figures, in one line."""
        if math.isnan(self.difference):
            return "its loss can't be judged: it was not finite, or no loss came through trial.backward"
        relation = "within" if self.is_within_noise else "outside"
        return f"its loss differs by {self.difference:+.2g}, {relation} full precision's own noise of {self.noise:.2g}"


def shortened(
    setting: Mapping[str, Scalar], *, baseline: Mapping[str, Scalar], entries: Sequence[Entry]
) -> dict[str, Scalar]:
    """What the setting computes with fewer digits than it could, where the baseline does not do the same."""
    found: dict[str, Scalar] = {}
    for entry in entries:
        value = in_setting(setting, entry.name, entries)
        is_as_before = value == in_setting(baseline, entry.name, entries)
        if entry.knob.numerics == "reduced precision" and not is_as_before and value != entry.knob.all_digits:
            found[entry.name] = value
    return found


class LossJudge:
    """Asks whether a faster challenger with fewer digits still learns; each choice of digits is judged once a race.

    Args:
        arena: Where trainings are started on several seeds.
        plan: The knobs, and the baseline's digits.
        time: Says whether the race has time for it.
    """

    def __init__(self, arena: SharedArena, plan: RacePlan, *, time: RaceTime) -> None:
        self._arena = arena
        self._plan = plan
        self._time = time
        self._full: list[LossCurve] = []
        self._full_setting: Mapping[str, Scalar] = {}
        """The setting with which full precision was recorded."""
        self._words_against: dict[str, str | None] = {}
        """What the loss of each choice of digits came to, in words; None where it learns as well."""

    def objection_to(self, setting: Mapping[str, Scalar]) -> Objection | None:
        """What is asked about a challenger with this setting; None where its digits are the baseline's.

        The question raises ContestantLostError where the challenger can't be trained with on another seed.
        """
        digits = self._shortened(setting)
        if not digits:
            return None

        def objection(incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
            gained = "faster" if comparison.verdict == "faster" else "no slower"
            if not self.has_judged(setting):
                full, step_seconds = self._in_full(incumbent, challenger, comparison)
                num_starts = NUM_SEEDS if self._full else 2 * NUM_SEEDS
                seconds = num_starts * (self._arena.usual_start_seconds + _LOSS_STEPS * step_seconds)
                if seconds > self._time.until_ended():
                    return f"{gained}, but no time is left to judge its loss (about {seconds:.0f} s)"
                self._words_against[_key(digits)] = self._judge(digits, full=full, challenger=challenger.setting)
            word = self.word_against(setting)
            return None if word is None else f"{gained}, but {word}"

        # By each seed and side, if it is not known already.
        return Objection(objection, num_starts=0 if self.has_judged(setting) else 2 * NUM_SEEDS)

    def has_judged(self, setting: Mapping[str, Scalar]) -> bool:
        """Whether the loss of the setting's digits was judged."""
        return _key(self._shortened(setting)) in self._words_against

    def word_against(self, setting: Mapping[str, Scalar]) -> str | None:
        """What the loss of the setting's digits came to, where that speaks against them; they were judged."""
        return self._words_against[_key(self._shortened(setting))]

    def _judge(
        self, digits: Mapping[str, Scalar], *, full: Mapping[str, Scalar], challenger: Mapping[str, Scalar]
    ) -> str | None:
        """Train both kinds of digits on the same seeds; why the fewer ones are not kept, None where they may be."""
        # Other knobs don't change what is learned, and cost starts: one setting with all digits speaks for every other,
        # and that one with these digits for the challenger. With other workers it would train on other batches.
        if not self._full:
            self._full = [self._record(full, seed=seed) for seed in range(NUM_SEEDS)]
            self._full_setting = dict(full)
        reduced = {**self._full_setting, **digits}
        if not is_possible(reduced, entries=self._plan.entries):
            reduced = dict(challenger)
        judgement = judge_losses(self._full, [self._record(reduced, seed=seed) for seed in range(NUM_SEEDS)])
        return None if judgement.is_within_noise else judgement.words

    def _in_full(
        self, incumbent: Contestant, challenger: Contestant, comparison: Comparison
    ) -> tuple[Mapping[str, Scalar], float]:
        """The setting in which full precision is trained, and about how many seconds its slower step takes.

        It is the incumbent's, or the baseline's where that has fewer digits, too. Where a challenger's loader saves
        more than workers take to start, it is fed by that: a step that waits for its data learns nothing else.
        """
        plan = self._plan
        full = plan.baseline if self._shortened(incumbent.setting) else incumbent.setting
        before, after = (_step(blocks) for blocks in (comparison.blocks_a, comparison.blocks_b))
        step_seconds = max(before.seconds, after.seconds)
        saved = before.wait_seconds - after.wait_seconds
        if _LOSS_STEPS * saved <= _FEED_SECONDS:
            return full, step_seconds
        feeding = {entry.name for entry in plan.entries if entry.knob.moves == ("input",)}
        fed = meaningful(apply(full, {name: challenger.setting.get(name) for name in feeding}), entries=plan.entries)
        if not is_possible(fed, entries=plan.entries):
            return full, step_seconds
        return fed, max(before.seconds - saved, after.seconds)

    def _shortened(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return shortened(setting, baseline=self._plan.baseline, entries=self._plan.entries)

    def _record(self, setting: Mapping[str, Scalar], *, seed: int) -> LossCurve:
        """The losses of a training of its own."""
        contestant = self._arena.enter(setting, seed=seed)
        try:
            try:
                block = contestant.run_block(seconds=0.0, min_steps=_LOSS_STEPS)
            except NoRoomError:  # beside those that are raced; they have made room
                block = contestant.run_block(seconds=0.0, min_steps=_LOSS_STEPS)
        finally:
            contestant.retire()
        return LossCurve(block.first_step, block.losses)


def _key(digits: Mapping[str, Scalar]) -> str:
    """The same for the same choice of digits, whatever the order."""
    return repr(sorted(digits.items()))


@dataclass(frozen=True)
class _Step:
    """What a step takes in the median of some blocks."""

    seconds: float
    wait_seconds: float
    """The part in which it waits for data."""


def _step(blocks: Sequence[Block]) -> _Step:
    return _Step(
        seconds=statistics.median(block.seconds / block.steps for block in blocks),
        wait_seconds=statistics.median(block.data_wait_seconds / block.steps for block in blocks),
    )


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
    return Judgement(abs(difference) <= noise, difference, noise)
