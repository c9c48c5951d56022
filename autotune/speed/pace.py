"""How long a race measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How long a heat measures."""

    block_seconds: float = 0.2
    min_steps: int = 5
    floor_quads: int = 6
    """Quads of alternating blocks in which two contestants of one setting show the noise."""
    screen_quads: int = 5
    """Most quads of a heat that only screens; it ends earlier where its verdict is clear."""
    screen_confidence: float = 0.8
    """Of a screening: who wins by luck meets the confirmation, who loses by bad luck is lost."""
    confirm_quads: int = 10
    """With so many, one that was disturbed does not widen the interval."""
    confirm_confidence: float = 0.95
