"""What a trial aims at and how long it may train, in words that every room knows."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Resource: TypeAlias = Literal["epochs", "seconds", "samples"]
"""What a trial's length and a pruner's rungs are counted in."""

_MOST_STEPS = 1000


def grain(resource: Resource, *, max_resource: int) -> int:
    """The distance of the steps at which a search is told of a trial: every epoch, a thousandth of the rest.

    So that trials are told at the same steps, and a pruner's copy of them stays small.
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
    """Seen at this value or above; else at this value or below."""

    @property
    def objective(self) -> str:
        """Name of the seconds until it is seen, among metrics: ``time_to_val_accuracy``."""
        return f"time_to_{self.metric}"

    def shortfall(self, value: float) -> float:
        """How much is missing to the bound, at least 0; NaN stays NaN."""
        missing = self.bound - value if self.is_at_least else value - self.bound
        return 0.0 if missing <= 0 else missing

    def is_seen(self, value: float) -> bool:
        """The value has come to the bound; NaN never has."""
        return self.shortfall(value) == 0

    @property
    def text(self) -> str:
        """Such as ``val_accuracy at least 0.97``."""
        return f"{self.metric} {'at least' if self.is_at_least else 'at most'} {self.bound:g}"
