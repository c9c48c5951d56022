"""The table of the built-in knobs."""

from collections.abc import Mapping

from autotune.speed.knobs.distributed import DDP_KNOBS
from autotune.speed.knobs.kernels import KERNEL_KNOBS
from autotune.speed.knobs.knob import Knob
from autotune.speed.knobs.loader import LOADER_KNOBS
from autotune.speed.knobs.precision import PRECISION_KNOBS
from autotune.speed.knobs.process import PROCESS_KNOBS
from autotune.speed.knobs.step import STEP_KNOBS

KNOBS: Mapping[str, Knob] = {
    knob.name: knob
    for knob in (*LOADER_KNOBS, *KERNEL_KNOBS, *PRECISION_KNOBS, *STEP_KNOBS, *PROCESS_KNOBS, *DDP_KNOBS)
}
"""All built-in knobs by name, in the order in which a person reads them."""
