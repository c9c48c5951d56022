"""The order of a screening: which knobs can move what a step waits for, which of them is first, and which values."""

from collections.abc import Sequence

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.task_knob import Bottleneck

EVERYTHING: tuple[Bottleneck, ...] = ("input", "launch", "compute")
_COST_ORDER = {"live": 0, "new loader": 1, "relaunch": 2, "new graph": 3}
_MUCH_OF_A_STEP = 0.3
"""Share of waiting for data from which on that is mended before all else. In a compiled or recorded step any share does
that is worth moving, since what such a step computes has been made faster as a whole."""


def is_input_first(diagnosis: Diagnosis | None, *, is_fast_as_a_whole: bool) -> bool:
    """Whether a step's waiting for data is mended before all else, which hardly shows beside it."""
    if diagnosis is None:
        return False
    return "input" in diagnosis.worth_moving if is_fast_as_a_whole else diagnosis.input_share >= _MUCH_OF_A_STEP


def moves_everything(entry: Entry) -> bool:
    """Whether the knob may move whatever a step waits for."""
    return set(entry.knob.moves) == set(EVERYTHING)


def why_not(entry: Entry, diagnosis: Diagnosis | None) -> str | None:
    """Why the knob can't make a step faster; None where it can, or where nobody knows."""
    if not entry.knob.moves:
        return "no training step waits for what it changes"
    if diagnosis is None or set(diagnosis.worth_moving) & set(entry.knob.moves):
        return None
    share = sum(diagnosis.shares[kind] for kind in entry.knob.moves)
    return f"it moves the {' and '.join(entry.knob.moves)} share of a step, which is {share:.0%} here"


def turn(
    entry: Entry, *, movable: Sequence[Bottleneck], is_input_first: bool
) -> tuple[bool, bool, int, bool, int, bool, bool, int]:
    """The place of a knob in a screening, as a key to sort by.

    What can move everything goes first, then what moves the largest share, and of equals what is cheap to try.

    Where the training is on a GPU, what its host computes is the last of those that move the same. What has all data
    ready comes before what brings it sooner, and how many workers there are before how they work. Where the loader is
    first, what can move everything is last: it was looked at at first sight, and the other knobs by nobody.

    Args:
        entry: The knob; the first of its bottlenecks is the one that it is made for.
        movable: What a step waits for, the most first.
        is_input_first: Knobs of the loader come before all others.
    """
    main = entry.knob.moves[:1]
    place = movable.index(main[0]) if set(main) & set(movable) else len(movable)
    is_aside = entry.knob.is_of_host and not moves_everything(entry)
    is_later = is_input_first and (moves_everything(entry) or main != ("input",))
    cost = _COST_ORDER[entry.knob.needs]
    is_refinement = entry.knob.needs_positive is not None
    place_among_equals = is_refinement, not entry.knob.starts_with_a_pass, len(entry.values)
    is_first = moves_everything(entry) != (is_input_first and is_later)
    return is_later, not is_first, place, is_aside, cost, *place_among_equals


def complexity(entry: Entry, value: Scalar) -> tuple[float, float]:
    """How far a number is from its knob's simplest value, then the number itself, as a key to sort by.

    Where a knob has no numbers to compare, no value is simpler than another.
    """
    simplest = entry.knob.simplest
    if entry.knob.low is None or not isinstance(value, int) or not isinstance(simplest, int):
        return 0.0, 0.0
    return abs(value - simplest), value


def outwards(current: Scalar, values: Sequence[Scalar]) -> list[Scalar]:
    """The values that differ from the current one; numbers upwards from it first, then downwards."""
    others = [value for value in values if value != current]
    if not all(isinstance(value, int) for value in (current, *values)):
        return others
    return [v for v in others if v > current] + [v for v in reversed(others) if v < current]  # type: ignore[operator]
