"""How races read, wherever they are shown: in the terminal, in a report, in Optuna's dashboard."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from autotune.speed.racing.result import BreakEven, Heat, TriedBatch
from autotune.speed.racing.words import change_words

_MOST_NUMBERS = 5


class Priced(Protocol):
    """A race's winner, with what it asks for in return."""

    @property
    def reduced_precision(self) -> Sequence[str]:
        """Knobs that compute with fewer digits."""

    @property
    def break_evens(self) -> Sequence[BreakEven]:
        """Of what a run pays once."""

    @property
    def batches(self) -> Sequence[TriedBatch]:
        """Larger ones that were tried, to know which fit."""


def tried_words(heat: Heat) -> str:
    """What was tried; of the guess of an informed user, which is the winner's opponent, that it is that.

    The gain of such a heat is the winner's over the guess.
    """
    words = change_words(heat)
    return f"the winner against an informed guess: {words}" if heat.stage == "informed" else words


def unused_lines(unused: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """What of a winner trials trained without, by their numbers."""
    for name, numbers in unused.items():
        yield f"{name}: not used by {_trials(numbers)} of this workload (too short for it, or not trainable with it)"


def _trials(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MOST_NUMBERS]))
    more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
    return f"trial{'' if len(numbers) == 1 else 's'} {shown}{more}"


def price_lines(winner: Priced) -> Iterator[str]:
    """What computes with fewer digits, what a run pays once, with the steps that repay it, and which batches fit."""
    for name in winner.reduced_precision:
        yield f"{name} computes with fewer digits; its loss stayed within the noise of full precision"
    for even in winner.break_evens:
        after = f"after {even.steps:,} steps" if even.steps is not None else "never"
        run = f"a run has {even.steps_that_remain:,}"
        yield f"{even.knob}: costs {even.start_seconds:.1f} s once, repaid {after}; {run}"
    yield from batch_lines(winner.batches)


def batch_lines(batches: Sequence[TriedBatch]) -> Iterator[str]:
    """The largest batch that trained, and the smallest that did not, where any was tried."""
    largest = max((tried.batch_size for tried in batches if not tried.reason), default=None)
    lost = [tried for tried in batches if tried.reason and (largest is None or tried.batch_size > largest)]
    if largest is not None:
        yield f"batch_size: {largest:,} fits the device"
    if lost:
        least = min(lost, key=lambda tried: tried.batch_size)
        # What crashed or hung says nothing of memory.
        failed = "could not be trained" if least.shortage is None else "does not fit the device"
        yield f"batch_size: {least.batch_size:,} {failed} ({least.reason})"
