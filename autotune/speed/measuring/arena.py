"""Where settings of speed parameters are measured: contestants that train block by block when told to.

A race and a comparison know these two interfaces alone, so that real processes, callables of
one's own (``local.py``) and a simulation can stand behind them.
"""

import math
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

from autotune.errors import RunError
from autotune.events import Block, Feed, Scalar, Warmed
from autotune.shortages import Shortage

LONGEST_BLOCK = 4.0
"""Times its least length that a block is at most drawn out, to end with a whole round of a loader's workers."""
Loss: TypeAlias = Literal["out of memory", "unsupported", "crashed", "hung"]
"""Why a contestant can't be measured."""


class ContestantLostError(RunError):
    """A setting that can't be trained with here: recorded and passed over.

    Args:
        kind: What became of the contestant.
        reason: Why, in one line.
        shortage: Whose memory the contestant ran out of, being too large for it; None for another loss, and where
            others held that memory, or may have held it.
        traceback: The last lines of the traceback, where the task's code raised.
    """

    def __init__(
        self, kind: Loss, reason: str, *, shortage: Shortage | None = None, traceback: str | None = None
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.shortage = shortage
        self.traceback = traceback


class Contestant(Protocol):
    """One training with one setting, warm and waiting; it trains only inside ``run_block``."""

    @property
    def setting(self) -> Mapping[str, Scalar]:
        """The speed parameters that it trains with."""

    @property
    def warmed(self) -> Warmed:
        """What its start cost, and what is in force."""

    @property
    def is_retired(self) -> bool:
        """It was ended, or lost: there is no block to come."""

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """Train for at least so long and so many steps; whose batches come from workers, up to the end of their round.

        Args:
            seconds: Least wall-clock length of the block.
            min_steps: Fewest steps of the block.
            feed: Where its batches come from: the loader, or one cached batch, or half of that.

        Raises:
            ContestantLostError: It ran out of memory, crashed or hangs; it is retired then.
        """

    def retire(self) -> None:
        """End it and free what it held; again is harmless."""


class Arena(Protocol):
    """Starts contestants of one workload."""

    def enter(self, setting: Mapping[str, Scalar], *, seed: int = 0, limit_seconds: float = math.inf) -> Contestant:
        """A contestant that is warm.

        Args:
            setting: The speed parameters that it trains with.
            seed: The same seed gives the same weights and the same order of samples.
            limit_seconds: One that is not warm by then is lost as one that hangs, where a start can be broken off.

        Raises:
            ContestantLostError: The setting can't be trained with.
        """
