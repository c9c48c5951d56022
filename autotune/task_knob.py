"""A speed parameter that a task declares itself, and the words in which any knob is described."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.events import Scalar

Numerics: TypeAlias = Literal["exact", "reordered", "reduced precision"]
"""What a knob does to the result: nothing; other random draws or last bits; fewer digits."""

Needs: TypeAlias = Literal["live", "new loader", "new graph", "relaunch"]
"""What a change costs in a running process: nothing, a new DataLoader, a new model or graph, a new process."""

Bottleneck: TypeAlias = Literal["input", "launch", "compute"]
"""What a step waits for: its data; the launching of many small operations; the operations themselves."""


class TaskKnob(BaseModel):
    """A speed parameter of a task's own: searched and raced like a built-in one, read by ``params.get``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    choices: tuple[Scalar, ...]
    simplest: Scalar = None
    """The value that the task uses where a trial sets none; the first choice if None."""
    numerics: Numerics = "reordered"
    needs: Needs | None = None
    """What a change costs; unless it is given, a new process. Where ``relaunch`` is given, a race also waits for a slow
    start, such as of a kernel that is compiled first, which it soon takes for a hang otherwise."""
    moves: tuple[Bottleneck, ...] = ("input", "launch", "compute")
    """The bottlenecks that it can move."""
    needs_positive: str | None = None
    """Another knob, such as ``num_workers``, that must be above zero or on for this one to have an effect."""
    goes_with: Mapping[str, tuple[Scalar, ...]] = {}
    """Values of other knobs that all choices but the simplest are limited to: ``{"num_workers": (0,)}`` for what can't
    be done in a worker. Other combinations are neither proposed nor raced."""
    summary: str = "a knob of the task's own"
