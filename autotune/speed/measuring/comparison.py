"""Which of two contestants trains faster, by blocks that alternate.

Code that runs after other code runs on another machine: clocks, neighbours and caches have moved on.
So blocks alternate, A B B A and then B A A B; within such a quad a drift that is linear in time
cancels, and each quad gives one log-ratio. The estimate is their median, which a block that was
disturbed does not move; ``statistics.py`` says how sure it is.

Contestants that take turns on a device pay for each change of sides with a start (``racing/heats/in_turns.py``), so
their quads are A B B A, all of them, and the sides change twice in each.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autotune.errors import InputError
from autotune.events import Block, Warmed
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.local import Step, as_contestant
from autotune.speed.measuring.statistics import median_interval

Verdict: TypeAlias = Literal["faster", "slower", "tie"]

_QUADS = ("ABBA", "BAAB")
_TURNS = ("ABBA",)
_FIRST_LOOK = 3
"""Quads before the first early look, side by side: two give no interval worth the name."""
_FIRST_LOOK_IN_TURNS = 2
"""Quads before the first early look in turns: two may tell that B is no faster (``is_never_ahead``)."""
_LEAST_QUADS = 2
"""Quads that have an interval: one says nothing about its spread."""
LOUD_NOISE = 0.05
"""A noise floor above this hides gains that are worth having."""
_LOOK_SHARE = 0.05
"""Share of the final error that an early look may spend: where 95 % is asked for, an early interval has 99.75 %.
J. L. Haybittle, "Repeated assessment of results in clinical trials of cancer treatment" (1971), and R. Peto et al.
(1976): with looks so strict, the last one keeps its confidence all but unchanged."""


@dataclass(frozen=True)
class Comparison:
    """How much faster B trains than A."""

    ratio: float
    """Throughput of B over that of A: above 1, B is faster."""
    interval: tuple[float, float]
    """Least and greatest that the true ratio may be, at ``confidence``."""
    confidence: float
    """How often such an interval holds the true ratio; more than was asked for where the comparison ended early."""
    noise_floor: float
    """A difference of at most this share, either way, is a tie."""
    log_ratios: tuple[float, ...]
    """Logarithm of each quad's ratio, in order."""
    blocks_a: tuple[Block, ...]
    blocks_b: tuple[Block, ...]
    is_in_turns: bool = False
    """The two held the device one at a time, started anew for each of their turns."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of both contestants."""
        return (*self.blocks_a, *self.blocks_b)

    @property
    def num_quads(self) -> int:
        """How many quads were run."""
        return len(self.log_ratios)

    @property
    def verdict(self) -> Verdict:
        """What B is; a tie where the interval contains 1 or the ratio lies within the noise floor."""
        low, high = self.interval
        if low <= 1 <= high or abs(math.log(self.ratio)) <= math.log1p(self.noise_floor):
            return "tie"
        return "faster" if self.ratio > 1 else "slower"

    @property
    def half_width(self) -> float:
        """The largest difference that the interval allows, as a share; of A against A, the noise floor."""
        return math.expm1(max(abs(math.log(bound)) for bound in self.interval))


@dataclass(frozen=True)
class Quads:
    """How many quads a comparison has."""

    most: int
    is_over: Callable[[float], bool] = lambda _: False
    """Asked after two quads and after each that follows, with the seconds of the last one, whether another would end
    too late: that one is the last then, and the interval has the confidence that was asked for."""


def is_clear(comparison: Comparison) -> bool:
    """More quads would not change the verdict: it is no tie, or a tie whose whole interval is inside the floor.

    Of a loud floor no more than ``LOUD_NOISE`` counts: it may turn out to have been one moment's.
    """
    return comparison.verdict != "tie" or comparison.half_width <= min(comparison.noise_floor, LOUD_NOISE)


def is_out_of_reach(comparison: Comparison) -> bool:
    """B is so little faster so far, by half the noise floor at most, that more quads would hardly make it win.

    Of a loud floor no more than ``LOUD_NOISE`` counts, as in ``is_clear``. After three quads or more this loses about
    three in a hundred of the gains of 5 %, and a tie takes two fifths of the time (``benchmarks/screening.py``, on one
    noisy machine).
    """
    return math.log(comparison.ratio) <= math.log1p(min(comparison.noise_floor, LOUD_NOISE)) / 2


def is_never_ahead(comparison: Comparison) -> bool:
    """Not one quad has shown B to be faster by more than half the noise floor.

    Two quads may say so where each costs two starts, which ``is_out_of_reach`` takes three for.
    """
    return max(comparison.log_ratios) <= math.log1p(comparison.noise_floor) / 2


def compare(
    a: Contestant | Step,
    b: Contestant | Step,
    *,
    quads: int | Quads = 8,
    seconds: float = 0.2,
    min_steps: int = 5,
    confidence: float = 0.95,
    noise_floor: float = 0.0,
    is_decided: Callable[[Comparison], bool] | None = None,
) -> Comparison:
    """How much faster ``b`` trains than ``a``, both warm, in alternating blocks.

    What an epoch's start costs is charged to each sample; what a training pays once is not
    (``break_even_steps``).

    Args:
        a: A contestant, or a function that trains one step and returns the samples that it took (None: one).
        b: Another contestant, or another such function.
        quads: Most quads to run, four blocks each; with ``Quads`` fewer where they take too long.
        seconds: Least wall-clock length of a block.
        min_steps: Fewest steps of a block.
        confidence: How often the interval holds the true ratio.
        noise_floor: A difference of at most this share is a tie; ``measurement.noise_floor`` finds it.
        is_decided: Asked after three quads and after each that follows, with an interval of a confidence
            so high that ending early costs the result's own a point or two at most (simulated; ``is_clear``
            is one such question).
            None: all quads are run.

    Raises:
        ContestantLostError: One of the two can't go on.
        InputError: There is nothing to compare with these numbers.
    """
    quads = Quads(quads) if isinstance(quads, int) else quads
    if quads.most < _LEAST_QUADS or not 0.5 <= confidence < 1:  # noqa: PLR2004 - half is where an order statistic begins to mean something
        raise InputError(
            f"compare: needs quads >= 2 and 0.5 <= confidence < 1, got {quads.most} and {confidence}; take 8 and 0.95"
        )
    series = _Series(as_contestant(a), as_contestant(b), seconds=seconds, min_steps=min_steps, orders=_QUADS)
    first_look = quads.most if is_decided is None else _FIRST_LOOK
    return series.run(
        quads, confidence=confidence, noise_floor=noise_floor, first_look=first_look, is_decided=is_decided
    )


def compare_in_turns(
    a: Contestant,
    b: Contestant,
    *,
    quads: int,
    seconds: float,
    min_steps: int,
    confidence: float,
    noise_floor: float = 0.0,
    is_decided: Callable[[Comparison], bool] | None = None,
) -> Comparison:
    """How much faster ``b`` trains than ``a`` where they hold the device one at a time; see ``compare``.

    The sides change twice a quad, and no more. Whoever begins a turn is started for it, but for A in the first: it may
    be there.
    """
    series = _Series(a, b, seconds=seconds, min_steps=min_steps, orders=_TURNS)
    first_look = quads if is_decided is None else _FIRST_LOOK_IN_TURNS
    return series.run(
        Quads(quads), confidence=confidence, noise_floor=noise_floor, first_look=first_look, is_decided=is_decided
    )


class _Series:
    """Runs quads of blocks, one after the other, until a comparison is decided."""

    def __init__(self, a: Contestant, b: Contestant, *, seconds: float, min_steps: int, orders: Sequence[str]) -> None:
        self._contestants = {"A": a, "B": b}
        self._seconds = seconds
        self._min_steps = min_steps
        self._orders = orders
        self._log_ratios: list[float] = []
        self._blocks: dict[str, list[Block]] = {"A": [], "B": []}

    def run(
        self,
        quads: Quads,
        *,
        confidence: float,
        noise_floor: float,
        first_look: int,
        is_decided: Callable[[Comparison], bool] | None,
    ) -> Comparison:
        """Run so many quads at most, and look after each one from ``first_look`` on."""
        early = 1 - (1 - confidence) * _LOOK_SHARE
        while True:
            seconds = self._run_quad()
            is_over = len(self._log_ratios) >= _LEAST_QUADS and quads.is_over(seconds)
            is_last = is_over or len(self._log_ratios) == quads.most
            if not is_last and len(self._log_ratios) < first_look:
                continue
            comparison = self._comparison(confidence if is_last else early, noise_floor)
            if is_last or (is_decided is not None and is_decided(comparison)):
                return comparison

    def _run_quad(self) -> float:
        """Run one quad, which gives one log-ratio; the seconds that its blocks took."""
        seconds = 0.0
        costs: dict[str, list[float]] = {"A": [], "B": []}
        for which in self._orders[len(self._log_ratios) % len(self._orders)]:
            contestant = self._contestants[which]
            block = contestant.run_block(seconds=self._seconds, min_steps=self._min_steps)
            self._blocks[which].append(block)
            seconds += block.seconds
            costs[which].append(math.log(seconds_per_sample(block, contestant.warmed)))
        self._log_ratios.append(statistics.fmean(costs["A"]) - statistics.fmean(costs["B"]))
        return seconds

    def _comparison(self, confidence: float, noise_floor: float) -> Comparison:
        """What the quads so far come to."""
        low, high = median_interval(self._log_ratios, confidence=confidence)
        return Comparison(
            ratio=math.exp(statistics.median(self._log_ratios)),
            interval=(math.exp(low), math.exp(high)),
            confidence=confidence,
            noise_floor=noise_floor,
            log_ratios=tuple(self._log_ratios),
            blocks_a=tuple(self._blocks["A"]),
            blocks_b=tuple(self._blocks["B"]),
            is_in_turns=self._orders == _TURNS,
        )


def seconds_per_sample(block: Block, warmed: Warmed) -> float:
    """Seconds that a sample of this block cost, with its share of its epoch's start.

    That share is what decides ``persistent_workers``. A block that is not fed by the loader starts no epochs.
    """
    charge = 0.0
    if block.feed == "real" and warmed.steps_per_epoch:
        charge = block.steps * warmed.epoch_start_seconds / warmed.steps_per_epoch
    return (block.seconds + charge) / block.samples


def break_even_steps(a: Contestant, b: Contestant, comparison: Comparison) -> int | None:
    """Steps of training after which B has earned back what it costs more than A to start (compilation, searches).

    0 where it costs no more; None where it never does, being no faster than A for certain.
    """
    if comparison.verdict != "faster":
        return None
    extra = b.warmed.start_seconds - a.warmed.start_seconds
    step_seconds = statistics.median(
        seconds_per_sample(block, a.warmed) * block.samples / block.steps for block in comparison.blocks_a
    )
    return max(0, math.ceil(extra / (step_seconds * (1 - 1 / comparison.ratio))))
