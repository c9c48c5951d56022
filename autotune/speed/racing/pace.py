"""How long a race measures.

What disturbs a machine lasts longer than a block, so that many short blocks that alternate tell as much as a
few long ones in the same time, and a heat can end after fewer of them (``benchmarks/screening.py``).
"""

from dataclasses import dataclass, replace
from typing import Self

_FOR_NOISE = 0.08
"""Of a race's time, for the noise alone."""
_LEAST_FLOOR_QUADS = 5
NUM_SEEDS = 3
"""On which a reduced precision is trained beside the full one."""


@dataclass(frozen=True)
class Pace:
    """How long a heat measures."""

    block_seconds: float = 0.1
    min_steps: int = 2
    """Of a block, where a step takes longer: five of 0.1 s each would make a race five times as long."""
    floor_quads: int = 8
    """Quads of alternating blocks in which two contestants of one setting show the noise."""
    screen_quads: int = 10
    """Most quads of a heat that only screens; it ends earlier where its verdict is clear or out of reach."""
    screen_confidence: float = 0.8
    """Of a screening: who wins by luck meets the confirmation, who loses by bad luck is lost."""
    confirm_quads: int = 12
    """Most quads of a confirmation: with so many, one that was disturbed does not widen the interval."""
    confirm_confidence: float = 0.95
    turn_seconds: float = 1.0
    """Of a block where contestants take turns: each is the more worth its start, the longer it is."""
    turn_floor_quads: int = 3
    turn_screen_quads: int = 4
    turn_confirm_quads: int = 5
    """Fewer, as each quad costs two starts."""

    def within(self, seconds: float) -> Self:
        """For a race of so many seconds: the noise is known from fewer quads where it would take much of them."""
        num_quads = int(_FOR_NOISE * seconds / (4 * self.block_seconds))
        return replace(self, floor_quads=min(self.floor_quads, max(_LEAST_FLOOR_QUADS, num_quads)))
