"""How two contestants of a race meet: side by side in short blocks that alternate, or in turns on the device.

Both ways give the same kinds of answers. They differ in what a block costs, and each has its own
noise: two that take turns differ by what their processes differ by from one start to the next, too.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias

from autotune.speed.measuring.comparison import (
    LOUD_NOISE,
    Comparison,
    compare,
    compare_in_turns,
    is_clear,
    is_never_ahead,
    is_out_of_reach,
    seconds_per_sample,
)
from autotune.speed.measuring.statistics import median_interval
from autotune.speed.racing.heats.turns import SharedArena, SharedContestant
from autotune.speed.racing.pace import Pace

SLOWER_BY_FAR = 1.3
"""Slower than the incumbent by this, twice in a row, needs no closer look."""
_NARROW = 1.04
"""The far end of an interval over its near end, where a confirmed gain is known well enough."""
_NARROW_BY_FAR = 1.5
_NARROW_IN_TURNS = 1.1
_MOST_TIMES_AS_MANY = 3
"""As a confirmation usually has quads, it may have where these do not tell."""
LEAST_QUADS = 4
"""Of a screening, however little time is left: fewer would tell nothing."""
_FOR_OUT_OF_REACH = 3
"""Quads that it takes to tell."""
_FEW_STEPS = 5
"""Of a block: what disturbs one of so few is no mean of many, and three quads would tell less than they seem to."""
_FOR_OUT_OF_REACH_OF_LONG_STEPS = 5
_FOR_RUNNER_UP = 6
"""Quads before a challenger is given up that was as sure a winner as the incumbent."""
WORTH_MORE = 1.02
"""Times as fast as another value of the same knob, from which one is better: less than this is noise."""
_FOR_NO_SLOWER = 6
"""Quads in which a challenger shows it that need only be no slower; all ten would take as long as two screenings."""
FASTER_BY_FAR = 1.5
"""A knob that is surely faster by this much is adopted at once: what the old incumbent waited for hid the others."""


@dataclass(frozen=True)
class Looks:
    """What two contestants of a race seem to be at first sight."""

    ratios: tuple[float, ...]
    """The challenger's throughput over the incumbent's, in each pair of blocks."""
    samples_per_second: float
    """The challenger's, the median of its blocks, epoch starts included."""

    @classmethod
    def of(cls, costs: Sequence[tuple[float, float]]) -> Self:
        """Of the incumbent's and the challenger's seconds per sample, a pair of blocks each."""
        ratios = tuple(incumbent / challenger for incumbent, challenger in costs)
        return cls(ratios, samples_per_second=1 / statistics.median(challenger for _, challenger in costs))


Bar: TypeAlias = Literal["faster", "better of two winners", "no slower together", "no slower without"]
"""What a challenger is held to: faster for certain; or, where both beat the same setting, faster by what counts as far
as the quads tell; or, where each of its parts has been faster alone, no slower together; or, where it does without
something that the incumbent has, no slower without."""


class Allowance(Protocol):
    """What time a race has for a confirmation."""

    def quads_to_confirm(self, usual: int) -> int:
        """For how many quads, from now on, where a confirmation usually has so many."""

    @property
    def is_over(self) -> bool:
        """Another quad would end too late."""


class Meeting(Protocol):
    """One of the two ways."""

    is_in_turns: bool
    noise_floor: float | None
    """What two of one setting seem to differ by at most, measured this way; None where it is not known."""

    def look(self, incumbent: SharedContestant, challenger: SharedContestant) -> Looks:
        """Two pairs of blocks, or one that decides."""

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, quads_left: Callable[[], float]
    ) -> Comparison:
        """The challenger over the incumbent, until the bar that it is held to needs no more.

        Args:
            incumbent: The setting to beat.
            challenger: Another one.
            bar: What the challenger is held to.
            quads_left: For how many the race has time.
        """

    def confirm(self, other: SharedContestant, winner: SharedContestant, *, allowance: Allowance) -> Comparison:
        """The winner over the other one, with more quads; where these do not tell, with all that there is time for.

        Args:
            other: Who it has to beat.
            winner: Who seems faster.
            allowance: Says how long the race has for it.
        """

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """Measure what two of one setting differ by."""

    def forget_noise(self) -> None:
        """It was another setting's."""


class SideBySide:
    """Both hold the device, and a block costs no more than its time.

    Args:
        pace: How long is measured.
    """

    is_in_turns = False

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.noise_floor: float | None = None
        self._noise: list[float] = []
        """Log-ratios of a contestant and its twins."""

    @property
    def is_noise_doubtful(self) -> bool:
        """The noise floor is loud, and one disturbed moment may be all that it shows."""
        return (self.noise_floor or 0.0) > LOUD_NOISE and len(self._noise) <= self._pace.floor_quads

    def look(self, incumbent: SharedContestant, challenger: SharedContestant) -> Looks:
        """See Meeting."""
        costs = [(self._cost(incumbent), self._cost(challenger))]
        if not 1 / SLOWER_BY_FAR < costs[0][0] / costs[0][1] < FASTER_BY_FAR:
            costs.append((self._cost(incumbent), self._cost(challenger)))
        return Looks.of(costs)

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, quads_left: Callable[[], float]
    ) -> Comparison:
        """See Meeting."""
        ends = _ENDS[bar]

        def is_decided(comparison: Comparison) -> bool:
            return ends(comparison) or (comparison.num_quads >= LEAST_QUADS and quads_left() < 0)

        return compare(
            incumbent,
            challenger,
            quads=int(min(self._pace.screen_quads, max(LEAST_QUADS, quads_left()))),
            seconds=self._pace.block_seconds,
            min_steps=self._pace.min_steps,
            confidence=self._pace.screen_confidence,
            noise_floor=self.noise_floor or 0.0,
            is_decided=is_decided,
        )

    def confirm(self, other: SharedContestant, winner: SharedContestant, *, allowance: Allowance) -> Comparison:
        """See Meeting."""
        pace = self._pace

        def is_decided(comparison: Comparison) -> bool:
            is_longer = comparison.num_quads >= pace.confirm_quads
            is_told = comparison.verdict == "faster" or is_out_of_reach(comparison)
            return _is_known_well(comparison) or (is_told and (is_longer or allowance.is_over))

        return compare(
            other,
            winner,
            quads=min(allowance.quads_to_confirm(pace.confirm_quads), _MOST_TIMES_AS_MANY * pace.confirm_quads),
            seconds=pace.block_seconds,
            min_steps=pace.min_steps,
            confidence=pace.confirm_confidence,
            is_decided=is_decided,
        )

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """See Meeting; a second time adds to what the first one showed."""
        pace = self._pace
        comparison = compare(
            contestant, twin, quads=pace.floor_quads, seconds=pace.block_seconds, min_steps=pace.min_steps
        )
        self._noise += comparison.log_ratios
        interval = median_interval(self._noise, confidence=pace.screen_confidence)
        self.noise_floor = math.expm1(max(abs(bound) for bound in interval))

    def forget_noise(self) -> None:
        """See Meeting."""
        self.noise_floor = None
        self._noise = []

    def _cost(self, contestant: SharedContestant) -> float:
        block = contestant.run_block(seconds=self._pace.block_seconds / 2, min_steps=self._pace.min_steps)
        return seconds_per_sample(block, contestant.warmed)


class InTurns:
    """Each holds the device alone, from its start to the end of its turn; a change of sides costs a start.

    Args:
        arena: Where one makes room for the other.
        pace: How long is measured.
    """

    is_in_turns = True

    def __init__(self, arena: SharedArena, pace: Pace) -> None:
        self._arena = arena
        self._pace = pace
        self.noise_floor: float | None = None
        self._block_seconds = pace.turn_seconds

    def look(self, incumbent: SharedContestant, challenger: SharedContestant) -> Looks:
        """See Meeting; two blocks each in one turn, and whoever is there has the first."""
        costs: dict[bool, list[float]] = {}
        with self._arena.one_at_a_time():
            for contestant in sorted((incumbent, challenger), key=lambda each: not each.is_present):
                costs[contestant is challenger] = [self._cost(contestant) for _ in range(2)]
        return Looks.of(list(zip(costs[False], costs[True], strict=True)))

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, quads_left: Callable[[], float]
    ) -> Comparison:
        """See Meeting; that there is time for all quads was seen to before."""
        del quads_left
        pace = self._pace
        return self._compare(
            incumbent,
            challenger,
            quads=pace.turn_screen_quads,
            confidence=pace.screen_confidence,
            is_decided=is_clear if bar.startswith("no slower") else _is_settled_in_turns,
        )

    def confirm(self, other: SharedContestant, winner: SharedContestant, *, allowance: Allowance) -> Comparison:
        """See Meeting; each quad costs two starts, so that none is added."""
        del allowance
        pace = self._pace
        return self._compare(
            other,
            winner,
            quads=pace.turn_confirm_quads,
            confidence=pace.confirm_confidence,
            is_decided=_is_known_well_in_turns,
        )

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """See Meeting."""
        pace = self._pace
        comparison = self._compare(contestant, twin, quads=pace.turn_floor_quads, confidence=pace.screen_confidence)
        self.noise_floor = comparison.half_width
        blocks = (*comparison.blocks_a, *comparison.blocks_b)
        self._block_seconds = statistics.fmean(block.seconds for block in blocks)

    def forget_noise(self) -> None:
        """See Meeting."""
        self.noise_floor = None

    def seconds_to_screen(self, a: SharedContestant, b: SharedContestant) -> float:
        """About how long a heat of these two takes at most: two looks, and all quads."""
        starts = a.start_seconds + b.start_seconds
        return starts + self._seconds(self._pace.turn_screen_quads, starts=starts) + 4 * self._block_seconds

    def seconds_to_find_noise_floor(self, contestant: SharedContestant) -> float:
        """About how long it takes, its twin's first start left out; 0 where it is known."""
        starts = 2 * contestant.start_seconds
        return self._seconds(self._pace.turn_floor_quads, starts=starts) if self.noise_floor is None else 0.0

    def seconds_to_confirm(self, start_seconds: float) -> float:
        """About how long it takes at most, where a start takes so long."""
        return 2 * start_seconds + self._seconds(self._pace.turn_confirm_quads, starts=2 * start_seconds)

    def _seconds(self, quads: int, *, starts: float) -> float:
        return quads * (starts + 4 * self._block_seconds)

    def _compare(
        self,
        a: SharedContestant,
        b: SharedContestant,
        *,
        quads: int,
        confidence: float,
        is_decided: Callable[[Comparison], bool] | None = None,
    ) -> Comparison:
        with self._arena.one_at_a_time():
            return compare_in_turns(
                a,
                b,
                quads=quads,
                seconds=self._pace.turn_seconds,
                min_steps=self._pace.min_steps,
                confidence=confidence,
                noise_floor=self.noise_floor or 0.0,
                is_decided=is_decided,
            )

    def _cost(self, contestant: SharedContestant) -> float:
        block = contestant.run_block(seconds=self._pace.turn_seconds / 2, min_steps=self._pace.min_steps)
        return seconds_per_sample(block, contestant.warmed)


def is_by_far(comparison: Comparison) -> bool:
    """B is surely faster by so much that what hindered A hid everything else."""
    return comparison.interval[0] >= FASTER_BY_FAR


def is_settled(comparison: Comparison) -> bool:
    """A screening side by side needs no more quads: its verdict is clear, or its challenger out of reach."""
    is_long = min(block.steps for block in comparison.blocks_a) <= _FEW_STEPS
    least = _FOR_OUT_OF_REACH_OF_LONG_STEPS if is_long else _FOR_OUT_OF_REACH
    return is_clear(comparison) or (comparison.num_quads >= least and is_out_of_reach(comparison))


def _is_proven_enough(comparison: Comparison) -> bool:
    """A challenger that need only be no slower is known well enough, since who is adopted wrongly loses little."""
    return is_clear(comparison) or comparison.num_quads >= _FOR_NO_SLOWER


def _is_better_known(comparison: Comparison) -> bool:
    """It is known which of two winners is better, or surely not the challenger by what counts."""
    is_given_up = comparison.num_quads >= _FOR_RUNNER_UP and is_out_of_reach(comparison)
    return is_clear(comparison) or is_given_up or comparison.interval[1] < WORTH_MORE


_ENDS: Mapping[Bar, Callable[[Comparison], bool]] = {
    "faster": is_settled,
    "better of two winners": _is_better_known,
    "no slower together": _is_proven_enough,
    "no slower without": _is_proven_enough,
}
"""When a screening side by side needs no more quads."""


def _is_settled_in_turns(comparison: Comparison) -> bool:
    is_hopeless = comparison.num_quads >= _FOR_OUT_OF_REACH and is_out_of_reach(comparison)
    return is_clear(comparison) or is_never_ahead(comparison) or is_hopeless


def _is_known_well(comparison: Comparison) -> bool:
    """The gain is sure, and more quads would add a digit at most.

    Of a baseline that is slower by far the first digit does: its blocks may take seconds.
    """
    low, high = comparison.interval
    narrow = _NARROW_BY_FAR if is_by_far(comparison) else _NARROW
    return comparison.verdict == "faster" and high <= narrow * low


def _is_known_well_in_turns(comparison: Comparison) -> bool:
    """As ``_is_known_well``, less narrowly: a quad costs two starts. Or B is no winner after all."""
    low, high = comparison.interval
    is_known = comparison.verdict == "faster" and high <= _NARROW_IN_TURNS * low
    return is_by_far(comparison) or is_known or is_never_ahead(comparison)
