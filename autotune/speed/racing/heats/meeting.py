"""How two contestants of a race meet: side by side in short blocks that alternate, or in turns on the device.

Both ways (``side_by_side.py``, ``in_turns.py``) give the same kinds of answers. They differ in what a block costs, and
each has its own noise: two that take turns differ by what their processes differ by from one start to the next, too.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from autotune.events import Block, Warmed
from autotune.speed.measuring.comparison import Comparison, seconds_per_sample
from autotune.speed.racing.heats.enough import Bar
from autotune.speed.racing.heats.shared_arena import SharedContestant

SLOWER_BY_FAR = 1.3
"""A challenger that takes so many times as long, twice in a row, needs no closer look."""
LEAST_QUADS = 4
"""A screening has so many quads, however little time is left: fewer would tell nothing."""


@dataclass(frozen=True)
class Looks:
    """What two contestants of a race seem to be at first sight."""

    ratios: tuple[float, ...]
    """The challenger's throughput over the incumbent's, in each pair of blocks."""
    samples_per_second: float
    """The challenger's throughput, the median of its blocks, epoch starts included."""
    blocks: tuple[Block, ...]
    """The blocks of both contestants."""

    @classmethod
    def of(cls, pairs: Sequence[tuple[Block, Block]], *, incumbent: Warmed, challenger: Warmed) -> Self:
        """What pairs of blocks look like, each of one of the incumbent's and one of the challenger's."""
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

    def quads_to_confirm(self) -> int:
        """For how many quads a confirmation has time from now on, if it takes so many to tell."""

    def quads_to_confirm_in_turns(self, quad_seconds: float, *, first_start: float) -> int:
        """For how many quads in turns, of so many seconds each, a confirmation has time after its first start."""

    @property
    def usual_quads_to_confirm(self) -> int:
        """After how many quads a confirmation that tells ends."""

    @property
    def latest_confirmed(self) -> float:
        """Seconds of the race, after which a confirmation that begins now is over, whatever its blocks take."""

    @property
    def spent(self) -> float:
        """Seconds since the race began."""

    @property
    def is_over(self) -> bool:
        """Another quad would end too late."""


class Meeting(Protocol):
    """A way in which two contestants meet."""

    is_in_turns: bool
    """The two hold the device one at a time."""
    noise_floor: float | None
    """What two of one setting seem to differ by at most, measured this way; None where it is not known."""

    def look(self, incumbent: SharedContestant, challenger: SharedContestant) -> Looks:
        """A first look at both: two pairs of blocks, or one that decides."""

    def screen(
        self, incumbent: SharedContestant, challenger: SharedContestant, *, bar: Bar, time: HeatTime
    ) -> Comparison:
        """Compare the challenger with the incumbent, until the bar that it is held to needs no more quads.

        Args:
            incumbent: The setting to beat.
            challenger: Another one.
            bar: What the challenger is held to.
            time: Says for how many quads the race has time.
        """

    def confirm(
        self, other: SharedContestant, winner: SharedContestant, *, time: HeatTime, is_needed: bool
    ) -> Comparison | None:
        """Compare the winner with the other one, with more quads; where these do not tell, with all that time allows.

        A difference within the noise is a tie, as in a screening; where that is not known, one within what is loud.
        None where that is not needed, and would end too late.

        Args:
            other: Whom the winner has to beat.
            winner: The one that seems faster.
            time: Says for how many quads the race has time.
            is_needed: The race has no winner without it, so that it has a few quads however late it is.
        """

    def find_noise_floor(self, contestant: SharedContestant, twin: SharedContestant) -> None:
        """Measure what two of one setting differ by."""

    def forget_noise(self) -> None:
        """Forget the noise, which was another setting's."""
