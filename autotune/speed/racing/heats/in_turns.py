"""Two contestants that meet in turns: each holds the device alone, and a change of sides costs a start."""

import statistics
from collections.abc import Callable

from autotune.events import Block
from autotune.speed.measuring.comparison import Comparison, compare_in_turns, is_clear
from autotune.speed.racing.heats.enough import Bar, is_known_well_in_turns, is_settled_in_turns
from autotune.speed.racing.heats.meeting import HeatTime, Looks
from autotune.speed.racing.heats.shared_arena import SharedArena, SharedContestant
from autotune.speed.racing.pace import Pace

LEAST_TURN_QUADS = 3
"""A confirmation in turns has so many quads, however little time is left: of two an interval of 95 % tells nothing."""


class InTurns:
    """The way to meet where each holds the device alone, from its start to the end of its turn; see Meeting.

    Args:
        arena: Makes room for the one whose turn it is.
        pace: How long a turn measures.
    """

    is_in_turns = True

    def __init__(self, arena: SharedArena, pace: Pace) -> None:
        self._arena = arena
        self._pace = pace
        self.noise_floor: float | None = None
        self._block_seconds = pace.turn_seconds

    def look(self, incumbent: SharedContestant, challenger: SharedContestant) -> Looks:
        """Two blocks of each in one turn; the contestant that is there has the first."""
        blocks: dict[bool, list[Block]] = {}
        with self._arena.one_at_a_time():
            for contestant in sorted((incumbent, challenger), key=lambda each: not each.is_present):
                blocks[contestant is challenger] = [self._look_at(contestant) for _ in range(2)]
        pairs = list(zip(blocks[False], blocks[True], strict=True))
        return Looks.of(pairs, incumbent=incumbent.warmed, challenger=challenger.warmed)

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, time: HeatTime
    ) -> Comparison:
        """The challenger over the incumbent; that there is time for all quads was seen to before."""
        del time
        pace = self._pace
        return self._compare(
            incumbent,
            challenger,
            quads=pace.turn_screen_quads,
            confidence=pace.screen_confidence,
            is_decided=is_clear if bar.startswith("no slower") else is_settled_in_turns,
        )

    def confirm(
        self, other: SharedContestant, winner: SharedContestant, *, time: HeatTime, is_needed: bool
    ) -> Comparison | None:
        """The winner over the other one; no quad is added, since each costs two starts, and late there are fewer."""
        pace = self._pace
        quad_seconds = self._seconds(1, starts=other.start_seconds + winner.start_seconds)
        in_time = time.quads_to_confirm_in_turns(quad_seconds, first_start=other.start_seconds)
        if in_time < LEAST_TURN_QUADS and not is_needed:
            return None
        return self._compare(
            other,
            winner,
            quads=min(pace.turn_confirm_quads, max(LEAST_TURN_QUADS, in_time)),
            confidence=pace.confirm_confidence,
            is_decided=is_known_well_in_turns,
        )

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """Measure what two of one setting differ by, and how long a block takes."""
        pace = self._pace
        comparison = self._compare(contestant, twin, quads=pace.turn_floor_quads, confidence=pace.screen_confidence)
        self.noise_floor = comparison.half_width
        self._block_seconds = statistics.fmean(block.seconds for block in comparison.blocks)

    def forget_noise(self) -> None:
        """Forget the noise of another setting."""
        self.noise_floor = None

    def note_step(self, seconds: float) -> None:
        """Tell what a step takes: a turn's block has a few of them, however long, until the noise was measured."""
        if self.noise_floor is None:
            self._block_seconds = max(self._pace.turn_seconds, self._pace.min_steps * seconds)

    def seconds_to_screen(self, a: SharedContestant, b: SharedContestant) -> float:
        """Seconds that a heat of these two takes at most, about: two looks, and all quads."""
        starts = a.start_seconds + b.start_seconds
        return starts + self._seconds(self._pace.turn_screen_quads, starts=starts) + 4 * self._block_seconds

    def seconds_to_find_noise_floor(self, contestant: SharedContestant) -> float:
        """Seconds that finding the noise takes, about, without the twin's first start; 0 where it is known."""
        starts = 2 * contestant.start_seconds
        return self._seconds(self._pace.turn_floor_quads, starts=starts) if self.noise_floor is None else 0.0

    def seconds_to_confirm(self, start_seconds: float) -> float:
        """Seconds that a confirmation takes at most, about, where a start takes so long."""
        return 2 * start_seconds + self._seconds(self._pace.turn_confirm_quads, starts=2 * start_seconds)

    def _seconds(self, quads: int, *, starts: float) -> float:
        """Seconds of so many quads, each with both contestants' starts."""
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
