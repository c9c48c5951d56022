"""Two contestants that meet side by side: both hold the device, and a block costs no more than its time."""

import math
from functools import partial

from autotune.events import Block
from autotune.speed.measuring.comparison import LOUD_NOISE, Comparison, Quads, compare, is_out_of_reach
from autotune.speed.measuring.statistics import median_interval
from autotune.speed.racing.heats.enough import ENDS, FASTER_BY_FAR, Bar, is_known_well
from autotune.speed.racing.heats.meeting import LEAST_QUADS, SLOWER_BY_FAR, HeatTime, Looks
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.pace import Pace

_MOST_TIMES_AS_MANY = 3
"""A confirmation whose usual quads do not tell has this many times as many at most."""


class SideBySide:
    """The way to meet where both hold the device, and a block costs no more than its time; see Meeting.

    Args:
        pace: How long a heat measures.
    """

    is_in_turns = False

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.noise_floor: float | None = None
        self._noise: list[float] = []
        """Log-ratios of the quads of a contestant and its twins."""

    @property
    def is_noise_doubtful(self) -> bool:
        """The noise floor is loud, and one disturbed moment may be all that it shows."""
        return (self.noise_floor or 0.0) > LOUD_NOISE and len(self._noise) <= self._pace.floor_quads

    def look(self, incumbent: SharedContestant, challenger: SharedContestant) -> Looks:
        """A pair of short blocks, and a second one where the first shows one of the two to be faster by far."""
        of = partial(Looks.of, incumbent=incumbent.warmed, challenger=challenger.warmed)
        pairs = [(self._look_at(incumbent), self._look_at(challenger))]
        if not 1 / SLOWER_BY_FAR < of(pairs).ratios[0] < FASTER_BY_FAR:
            pairs.append((self._look_at(incumbent), self._look_at(challenger)))
        return of(pairs)

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, time: HeatTime
    ) -> Comparison:
        """The challenger over the incumbent, with the quads that there is time for, four at the least."""
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

    def confirm(
        self, other: SharedContestant, winner: SharedContestant, *, time: HeatTime, is_needed: bool
    ) -> Comparison:
        """The winner over the other one, with more quads than usual where these do not tell and time is left."""
        del is_needed  # that there is time for it was seen to before
        pace, latest = self._pace, time.latest_confirmed

        def is_decided(comparison: Comparison) -> bool:
            is_longer = comparison.num_quads >= time.usual_quads_to_confirm
            is_told = comparison.verdict == "faster" or is_out_of_reach(comparison)
            return is_known_well(comparison) or (is_told and (is_longer or time.is_over))

        most = min(time.quads_to_confirm(), _MOST_TIMES_AS_MANY * pace.confirm_quads)
        return compare(
            other,
            winner,
            quads=Quads(most, is_over=lambda quad_seconds: time.spent + quad_seconds > latest),
            seconds=pace.block_seconds,
            min_steps=pace.min_steps,
            confidence=pace.confirm_confidence,
            noise_floor=min(LOUD_NOISE if self.noise_floor is None else self.noise_floor, LOUD_NOISE),
            is_decided=is_decided,
        )

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """Measure what two of one setting differ by; a second time adds to what the first one showed."""
        pace = self._pace
        comparison = compare(
            contestant, twin, quads=pace.floor_quads, seconds=pace.block_seconds, min_steps=pace.min_steps
        )
        self._noise += comparison.log_ratios
        interval = median_interval(self._noise, confidence=pace.screen_confidence)
        self.noise_floor = math.expm1(max(abs(bound) for bound in interval))

    def forget_noise(self) -> None:
        """Forget the noise of another setting."""
        self.noise_floor = None
        self._noise = []

    def _look_at(self, contestant: SharedContestant) -> Block:
        return contestant.run_block(seconds=self._pace.block_seconds / 2, min_steps=self._pace.min_steps)
