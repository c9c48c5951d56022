"""When two contestants have met often enough: what a challenger is held to, and which quads tell it."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from autotune.speed.measuring.comparison import Comparison, is_clear, is_never_ahead, is_out_of_reach

Bar: TypeAlias = Literal["faster", "better of two winners", "no slower together", "no slower without"]
"""What a challenger is held to: faster for certain; or, where both beat the same setting, faster by what counts as far
as the quads tell; or, where each of its parts has been faster alone, no slower together; or, where it does without
something that the incumbent has, no slower without."""
_NARROW = 1.04
"""The far end of an interval over its near end, where a confirmed gain is known well enough."""
_NARROW_BY_FAR = 1.5
"""The far end over the near end, where a confirmed gain is so large that its first digit is enough."""
_NARROW_IN_TURNS = 1.1
"""The far end over the near end, where a gain in turns is known well enough: each quad costs two starts."""
_FOR_OUT_OF_REACH = 3
"""Quads that it takes to tell that a challenger is out of reach."""
_FEW_STEPS = 5
"""Steps of a block that count as few: what disturbs it is no mean of many, and three quads tell less than it seems."""
_FOR_OUT_OF_REACH_OF_LONG_STEPS = 5
"""Quads that it takes where blocks have few steps."""
_FOR_RUNNER_UP = 6
"""Quads before a runner-up is given up, which was as sure a winner as the incumbent."""
WORTH_MORE = 1.02
"""A value is better than another one of its knob if it is so many times as fast: less than this is noise."""
_FOR_NO_SLOWER = 6
"""Quads in which a challenger shows it that need only be no slower; all ten would take as long as two screenings."""
FASTER_BY_FAR = 1.5
"""A knob that is surely faster by this much is adopted at once: what the old incumbent waited for hid the others."""


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


ENDS: Mapping[Bar, Callable[[Comparison], bool]] = {
    "faster": is_settled,
    "better of two winners": _is_better_known,
    "no slower together": _is_proven_enough,
    "no slower without": _is_proven_enough,
}
"""For each bar, whether a screening side by side needs no more quads."""


def is_settled_in_turns(comparison: Comparison) -> bool:
    """A screening in turns needs no more quads: its verdict is clear, or its challenger never ahead or out of reach."""
    is_hopeless = comparison.num_quads >= _FOR_OUT_OF_REACH and is_out_of_reach(comparison)
    return is_clear(comparison) or is_never_ahead(comparison) or is_hopeless


def is_known_well(comparison: Comparison) -> bool:
    """The gain is sure, and more quads would add a digit at most.

    Where the baseline is slower by far the first digit is enough: its blocks may take seconds.
    """
    low, high = comparison.interval
    narrow = _NARROW_BY_FAR if is_by_far(comparison) else _NARROW
    return comparison.verdict == "faster" and high <= narrow * low


def is_known_well_in_turns(comparison: Comparison) -> bool:
    """A gain in turns is known well enough, less narrowly than side by side; or B is no winner after all."""
    low, high = comparison.interval
    is_known = comparison.verdict == "faster" and high <= _NARROW_IN_TURNS * low
    return is_by_far(comparison) or is_known or is_never_ahead(comparison)
