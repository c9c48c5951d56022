"""How two contestants of a race meet: side by side in short blocks that alternate, or in turns on the device.

Both ways give the same kinds of answers. They differ in what a block costs, and each has its own
noise: two that take turns differ by what their processes differ by from one start to the next, too.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from autotune.events import Block, Warmed
from autotune.speed.measuring.comparison import (
    LOUD_NOISE,
    Comparison,
    compare,
    compare_in_turns,
    is_clear,
    is_out_of_reach,
    seconds_per_sample,
)
from autotune.speed.measuring.statistics import median_interval
from autotune.speed.racing.heats.enough import (
    ENDS,
    FASTER_BY_FAR,
    Bar,
    is_known_well,
    is_known_well_in_turns,
    is_settled_in_turns,
)
from autotune.speed.racing.heats.turns import SharedArena, SharedContestant
from autotune.speed.racing.pace import Pace

SLOWER_BY_FAR = 1.3
"""Slower than the incumbent by this, twice in a row, needs no closer look."""
_MOST_TIMES_AS_MANY = 3
"""As a confirmation usually has quads, it may have where these do not tell."""
LEAST_QUADS = 4
"""Of a screening, however little time is left: fewer would tell nothing."""


@dataclass(frozen=True)
class Looks:
    """What two contestants of a race seem to be at first sight."""

    ratios: tuple[float, ...]
    """The challenger's throughput over the incumbent's, in each pair of blocks."""
    samples_per_second: float
    """The challenger's, the median of its blocks, epoch starts included."""
    blocks: tuple[Block, ...]
    """Of both."""

    @classmethod
    def of(cls, pairs: Sequence[tuple[Block, Block]], *, incumbent: Warmed, challenger: Warmed) -> Self:
        """Of pairs of a block of the incumbent's and one of the challenger's."""
        costs = [(seconds_per_sample(one, incumbent), seconds_per_sample(other, challenger)) for one, other in pairs]
        return cls(
            ratios=tuple(ours / theirs for ours, theirs in costs),
            samples_per_second=1 / statistics.median(theirs for _, theirs in costs),
            blocks=tuple(block for pair in pairs for block in pair),
        )


class HeatTime(Protocol):
    """The time that a race has for its heats."""

    def quads_left(self) -> float:
        """For how many quads side by side a heat has time; below 0 where it should have ended."""

    def may_take_turns(self, seconds: float) -> bool:
        """Whether a heat in turns that takes so long ends in time. A no is recorded: the race counts as cut short."""

    def quads_to_confirm(self, usual: int) -> int:
        """For how many quads a confirmation has time from now on, where it usually has so many."""

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
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, time: HeatTime
    ) -> Comparison:
        """The challenger over the incumbent, until the bar that it is held to needs no more.

        Args:
            incumbent: The setting to beat.
            challenger: Another one.
            bar: What the challenger is held to.
            time: Says for how many quads the race has time.
        """

    def confirm(self, other: SharedContestant, winner: SharedContestant, *, time: HeatTime) -> Comparison:
        """The winner over the other one, with more quads; where these do not tell, with all that there is time for.

        A difference within the noise is a tie, as in a screening; where nobody has measured that, within what is loud.

        Args:
            other: Who it has to beat.
            winner: Who seems faster.
            time: Says for how many quads the race has time.
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
        of = partial(Looks.of, incumbent=incumbent.warmed, challenger=challenger.warmed)
        pairs = [(self._look_at(incumbent), self._look_at(challenger))]
        if not 1 / SLOWER_BY_FAR < of(pairs).ratios[0] < FASTER_BY_FAR:
            pairs.append((self._look_at(incumbent), self._look_at(challenger)))
        return of(pairs)

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, time: HeatTime
    ) -> Comparison:
        """See Meeting."""
        ends = ENDS[bar]

        def is_decided(comparison: Comparison) -> bool:
            return ends(comparison) or (comparison.num_quads >= LEAST_QUADS and time.quads_left() < 0)

        return compare(
            incumbent,
            challenger,
            quads=int(min(self._pace.screen_quads, max(LEAST_QUADS, time.quads_left()))),
            seconds=self._pace.block_seconds,
            min_steps=self._pace.min_steps,
            confidence=self._pace.screen_confidence,
            noise_floor=self.noise_floor or 0.0,
            is_decided=is_decided,
        )

    def confirm(self, other: SharedContestant, winner: SharedContestant, *, time: HeatTime) -> Comparison:
        """See Meeting."""
        pace = self._pace

        def is_decided(comparison: Comparison) -> bool:
            is_longer = comparison.num_quads >= pace.confirm_quads
            is_told = comparison.verdict == "faster" or is_out_of_reach(comparison)
            return is_known_well(comparison) or (is_told and (is_longer or time.is_over))

        return compare(
            other,
            winner,
            quads=min(time.quads_to_confirm(pace.confirm_quads), _MOST_TIMES_AS_MANY * pace.confirm_quads),
            seconds=pace.block_seconds,
            min_steps=pace.min_steps,
            confidence=pace.confirm_confidence,
            noise_floor=min(LOUD_NOISE if self.noise_floor is None else self.noise_floor, LOUD_NOISE),
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

    def _look_at(self, contestant: SharedContestant) -> Block:
        return contestant.run_block(seconds=self._pace.block_seconds / 2, min_steps=self._pace.min_steps)


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
        blocks: dict[bool, list[Block]] = {}
        with self._arena.one_at_a_time():
            for contestant in sorted((incumbent, challenger), key=lambda each: not each.is_present):
                blocks[contestant is challenger] = [self._look_at(contestant) for _ in range(2)]
        pairs = list(zip(blocks[False], blocks[True], strict=True))
        return Looks.of(pairs, incumbent=incumbent.warmed, challenger=challenger.warmed)

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, time: HeatTime
    ) -> Comparison:
        """See Meeting; that there is time for all quads was seen to before."""
        del time
        pace = self._pace
        return self._compare(
            incumbent,
            challenger,
            quads=pace.turn_screen_quads,
            confidence=pace.screen_confidence,
            is_decided=is_clear if bar.startswith("no slower") else is_settled_in_turns,
        )

    def confirm(self, other: SharedContestant, winner: SharedContestant, *, time: HeatTime) -> Comparison:
        """See Meeting; each quad costs two starts, so that none is added."""
        del time
        pace = self._pace
        return self._compare(
            other,
            winner,
            quads=pace.turn_confirm_quads,
            confidence=pace.confirm_confidence,
            is_decided=is_known_well_in_turns,
        )

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """See Meeting."""
        pace = self._pace
        comparison = self._compare(contestant, twin, quads=pace.turn_floor_quads, confidence=pace.screen_confidence)
        self.noise_floor = comparison.half_width
        self._block_seconds = statistics.fmean(block.seconds for block in comparison.blocks)

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

    def _look_at(self, contestant: SharedContestant) -> Block:
        return contestant.run_block(seconds=self._pace.turn_seconds / 2, min_steps=self._pace.min_steps)
