"""Every speed parameter, declared once: what it may be, where it applies, how it is judged.

``training/`` applies the knobs, ``search/resolve.py`` proposes them, and a race judges them by
their class of numerics.
"""

from autotune.speed.knobs.own import with_own
from autotune.speed.knobs.table import KNOBS

__all__ = ["KNOBS", "with_own"]
