"""How a heat ended, in figures and in words."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from autotune.events import Scalar
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import LOUD_NOISE, Comparison, is_clear
from autotune.speed.racing.heats.enough import WORTH_MORE, Bar, is_by_far
from autotune.speed.racing.heats.shared_arena import SharedContestant

Ask: TypeAlias = Callable[[Contestant, Contestant, Comparison], str | None]
"""Takes the incumbent, a faster challenger and their comparison; says why the challenger is not kept, or None."""


@dataclass(frozen=True)
class Objection:
    """What is asked about a faster challenger before it is kept."""

    ask: Ask
    """The question; its answer is None where nothing speaks against the challenger."""
    num_starts: int = 0
    """Trainings that are started for the answer."""


_LEAST_SLACK = 0.01
"""Share by which a challenger may seem slower that need be no slower, where the noise floor is lower."""
_MOST_SLACK = 0.02
"""Most that such a challenger may seem slower by, however loud the floor: it would often truly be slower by that."""


_WIDE = 0.1
"""Half of an interval, in logarithms, from which on it tells little of a small gain but its sign."""


@dataclass(frozen=True)
class Finish:
    """How a heat ended for a challenger that came to its end."""

    challenger: SharedContestant
    """Put away where it is kept, else retired."""
    comparison: Comparison
    is_kept: bool
    """The challenger cleared its bar, and nothing was objected to."""

    @property
    def setting(self) -> dict[str, Scalar]:
        """The challenger's."""
        return dict(self.challenger.setting)

    @property
    def ratio(self) -> float:
        """The challenger's throughput over the incumbent's."""
        return self.comparison.ratio

    @property
    def is_undecided(self) -> bool:
        """The challenger seems faster by more than noise, and its quads were too few to tell."""
        floor = min(max(self.comparison.noise_floor, _LEAST_SLACK), LOUD_NOISE)
        return self.comparison.verdict == "tie" and math.log(self.ratio) > math.log1p(floor)

    def is_given_up_before(self, quads: int) -> bool:
        """It was no faster in fewer quads than these, which may be the machine's doing, and is not surely slower."""
        comparison = self.comparison
        is_early = comparison.num_quads < quads and not comparison.is_in_turns
        return is_early and not is_clear(comparison) and comparison.interval[1] >= 1

    @property
    def may_be_a_moments(self) -> bool:
        """Its few quads say faster, and differ by so much that one moment of the machine's may have made most of it."""
        low, high = self.comparison.interval
        return self.is_kept and math.log(high / low) > 2 * _WIDE and low < 1 + _WIDE

    @property
    def is_by_far(self) -> bool:
        """The challenger is surely faster by so much that what hindered the incumbent hid everything else."""
        return is_by_far(self.comparison)


def clears(comparison: Comparison, bar: Bar) -> bool:
    """Whether the challenger of this comparison is kept, unless something else speaks against it."""
    if bar == "faster" or comparison.verdict != "tie":
        return comparison.verdict == "faster"
    if bar == "better of two winners":
        return comparison.ratio >= WORTH_MORE
    # It may seem a little slower: a tie in either direction.
    slack = min(max(comparison.noise_floor, _LEAST_SLACK), _MOST_SLACK)
    return math.log(comparison.ratio) > -math.log1p(slack)


def finish_words(comparison: Comparison, *, bar: Bar = "faster") -> str:
    """What the comparison came to, for the record of its heat."""
    match comparison.verdict:
        case "faster":
            return "faster"
        case "slower":
            return "slower"
        case "tie" if clears(comparison, bar):
            return bar
        case "tie" if is_clear(comparison):
            return "a tie: the setting to beat stays"
        case "tie":
            return "not surely faster: the setting to beat stays"


def guess_words(comparison: Comparison) -> str:
    """What it came to that a winner met an informed guess, for the record of its heat."""
    match comparison.verdict:
        case "faster":
            return "faster"
        case "slower":
            return "the guess is faster"
        case "tie" if is_clear(comparison):
            return "a tie: the winner stays"
        case "tie":
            return "not surely faster than the guess: the winner stays"
