"""What a trial aims at and how long it may train, in words that every room knows."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Resource: TypeAlias = Literal["epochs", "seconds", "samples"]
"""What a trial's length and a pruner's rungs are counted in."""

BASELINE_NUMBER = 0
"""The trial number of a study's baseline, which is asked for first."""

_MOST_STEPS = 1000


def grain(resource: Resource, *, max_resource: int) -> int:
    """The distance between the steps at which a search is told of a trial: 1 epoch, or a thousandth of other resources.

    The grid makes trials report at the same steps, and keeps a pruner's copy of the reports small.
    """
    return 1 if resource == "epochs" else max(1, max_resource // _MOST_STEPS)


SAMPLES_PER_SECOND = "samples_per_second"
PEAK_MEMORY_BYTES = "peak_memory_bytes"
MEASUREMENTS = (SAMPLES_PER_SECOND, PEAK_MEMORY_BYTES)
"""Objectives that a trial measures by itself; no task reports them."""


class Target(BaseModel):
    """A value that a metric should come to, the sooner the better."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    """The task's metric, such as ``val_accuracy``."""
    bound: float
    is_at_least: bool
    """The target is reached at ``bound`` or above; if False, at ``bound`` or below."""

    @property
    def objective(self) -> str:
        """Name of the metric that holds the seconds until the target is reached: ``time_to_val_accuracy``."""
        return f"time_to_{self.metric}"

    def shortfall(self, value: float) -> float:
        """Distance from the value to the bound; 0 once the bound is reached, and NaN for NaN."""
        missing = self.bound - value if self.is_at_least else value - self.bound
        return 0.0 if missing <= 0 else missing

    def is_seen(self, value: float) -> bool:
        """Whether the value has reached the bound; NaN never has."""
        return self.shortfall(value) == 0

    @property
    def text(self) -> str:
        """Such as ``val_accuracy at least 0.97``."""
        return f"{self.metric} {'at least' if self.is_at_least else 'at most'} {self.bound:g}"
