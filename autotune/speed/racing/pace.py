"""How long a race measures.

What disturbs a machine lasts longer than a block, so that many short blocks that alternate tell as much as a
few long ones in the same time, and a heat can end after fewer of them (``benchmarks/screening.py``).
"""

from dataclasses import dataclass, replace
from typing import Self

_FOR_NOISE = 0.08
"""Share of a race's time that the noise alone may take."""
_LEAST_FLOOR_QUADS = 5
"""Quads from which the noise is known at the least, however short the race."""
_FOR_A_HEAT = 0.1
"""Share of a race's time that a heat which only screens may take."""
_LEAST_SCREEN_QUADS = 8
"""Quads that such a heat has at the least, however short the race."""
NUM_SEEDS = 3
"""Seeds on which a reduced precision is trained beside the full one."""


@dataclass(frozen=True)
class Pace:
    """How long a heat measures."""

    block_seconds: float = 0.1
    """Least length of a block side by side."""
    min_steps: int = 2
    """Fewest steps of a block, however long they take: five of 0.1 s each would make a race five times as long."""
    floor_quads: int = 8
    """Quads of alternating blocks in which two contestants of one setting show the noise."""
    screen_quads: int = 10
    """Most quads of a heat that only screens; it ends earlier where its verdict is clear or out of reach."""
    screen_confidence: float = 0.8
    """Confidence of a screening: who wins by luck meets the confirmation, who loses by bad luck is lost."""
    confirm_quads: int = 12
    """Most quads of a confirmation: with so many, one that was disturbed does not widen the interval."""
    confirm_confidence: float = 0.95
    """Confidence of a confirmation, and so of the gain that a race ends with."""
    turn_seconds: float = 1.0
    """Least length of a block where contestants take turns: the longer it is, the more it is worth its start."""
    turn_floor_quads: int = 3
    """Quads in turns that show the noise; fewer than side by side, since each costs two starts."""
    turn_screen_quads: int = 4
    """Most quads in turns of a heat that only screens."""
    turn_confirm_quads: int = 5
    """Most quads in turns of a confirmation."""

    def within(self, seconds: float) -> Self:
        """The pace for a race of so many seconds: fewer quads where the usual ones would take much of its time."""
        num_quads = seconds / (4 * self.block_seconds)
        floor_quads = max(_LEAST_FLOOR_QUADS, int(_FOR_NOISE * num_quads))
        screen_quads = max(_LEAST_SCREEN_QUADS, int(_FOR_A_HEAT * num_quads))
        return replace(
            self,
            floor_quads=min(self.floor_quads, floor_quads),
            screen_quads=min(self.screen_quads, screen_quads),
        )
