"""Knobs of a trial's process as a whole."""

from autotune.speed.knob import Knob
from autotune.speed.knobs.loader import MOST_WORKERS

PROCESS_KNOBS = (
    Knob(
        name="torch_threads",
        summary="threads within one operation on the CPU",
        numerics="reordered",
        needs="live",
        simplest=1,
        docs="https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html",
        moves=("input", "launch", "compute"),
        raced=(1, 2, 4, 8, 16, 32),
        low=1,
        high=MOST_WORKERS,
        has_auto=True,
    ),
)
"""In the order in which a person reads them."""
