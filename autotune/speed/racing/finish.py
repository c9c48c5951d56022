"""How a heat ended, in figures and in words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from autotune.events import Scalar
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import Comparison, is_clear
from autotune.speed.racing.meeting import is_by_far

Objection: TypeAlias = Callable[[Contestant, Contestant, Comparison], str | None]
"""Takes the incumbent, a faster challenger and their comparison; says why the challenger is not kept."""


@dataclass(frozen=True)
class Finish:
    """How a heat ended for a challenger that came to its end."""

    setting: dict[str, Scalar]
    comparison: Comparison
    is_kept: bool

    @property
    def ratio(self) -> float:
        """Its throughput over the incumbent's."""
        return self.comparison.ratio

    @property
    def is_by_far(self) -> bool:
        """It is surely faster by so much that what hindered the incumbent hid everything else."""
        return is_by_far(self.comparison)


def finish_words(comparison: Comparison, *, is_kept: bool) -> str:
    """What the comparison came to, for the record of its heat."""
    if is_kept and comparison.verdict == "tie":
        return "no slower together"
    match comparison.verdict:
        case "faster":
            return "faster"
        case "slower":
            return "slower"
        case "tie" if is_clear(comparison):
            return "a tie: the setting to beat stays"
        case "tie":
            return "not surely faster: the setting to beat stays"
