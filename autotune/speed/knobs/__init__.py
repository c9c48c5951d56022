"""Every speed parameter, declared once: what it may be, where it applies, how it is judged.

``training/`` applies the knobs, ``search/resolve.py`` proposes them, and a race judges them by
their class of numerics.
"""

from collections.abc import Mapping

from autotune.speed.knob import Knob
from autotune.speed.knobs.kernels import KERNEL_KNOBS
from autotune.speed.knobs.loader import LOADER_KNOBS
from autotune.speed.knobs.precision import PRECISION_KNOBS
from autotune.speed.knobs.process import PROCESS_KNOBS
from autotune.speed.knobs.step import STEP_KNOBS

__all__ = ["KNOBS"]

KNOBS: Mapping[str, Knob] = {
    knob.name: knob for knob in (*LOADER_KNOBS, *KERNEL_KNOBS, *PRECISION_KNOBS, *STEP_KNOBS, *PROCESS_KNOBS)
}
"""By name, in the order in which a person reads them."""
