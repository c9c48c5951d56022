"""What fixes the cost of a training step before any speed knob, and which workloads are alike."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.search.implied import EVERYDAY_NAMES
from autotune.spec.optimizers import OPTIMIZER_ARGUMENTS

_SCHEDULE = {"schedule", "schedule_gamma", "schedule_step", "warmup", "gradient_clip"}
_COSTLESS = OPTIMIZER_ARGUMENTS - EVERYDAY_NAMES | _SCHEDULE
"""Learning parameters that change what a step computes, but not how long it takes. Arguments with everyday names are
not among them, since a task may use such a name for a size (``d``)."""
_STATEFUL = ("amsgrad", "centered", "momentum")
"""Arguments of an optimizer with which, unless they are 0 or false, it keeps more of each weight."""
_SIZE = re.compile("width|depth|mult|ratio|expan|scale|growth|resolution")
_RATE = re.compile("drop|lr|rate|loss|weight|smooth|init|crop")
"""A float is taken for a size (``width_multiplier``, ``mlp_ratio``) if its name matches ``_SIZE`` and not ``_RATE``;
any other float is a rate or a probability."""


@dataclass(frozen=True)
class Workload:
    """A task with those learning parameters that change what a step costs, on one device."""

    task: str
    device: str
    num_cores: int
    features: Mapping[str, Scalar]
    """Architecture, batch size and optimizer; floats that are rates (dropout) cost no time and are left out."""

    @classmethod
    def of(cls, task: str, learning: Mapping[str, Scalar], *, device: str, num_cores: int) -> "Workload":
        """The workload of these learning parameters."""
        features = {
            name: value
            for name, value in sorted(learning.items())
            if name not in _COSTLESS and (not isinstance(value, float) or _is_size(name))
        }
        return cls(task, device, num_cores, features)

    @property
    def digest(self) -> str:
        """32 hex digits, the same for the same workload."""
        text = json.dumps([self.task, self.device, self.num_cores, self.features], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def words(self) -> str:
        """Such as ``batch_size 64, width 16``."""
        return ", ".join(f"{name} {value}" for name, value in self.features.items()) or "the task as it is"

    def distance(self, other: "Workload") -> float:
        """How unlike another workload of the same task is: each doubling of a number adds 1, as does another value."""
        names = {*self.features, *other.features}
        return sum(_distance(self.features.get(name), other.features.get(name)) for name in names)

    def nearest(self, others: "Iterable[Workload]") -> "Workload | None":
        """The workload with the smallest distance to this one, the first on a tie; None where ``others`` is empty."""
        return min(others, key=self.distance, default=None)


def kept_state(learning: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Arguments with which the optimizer keeps more of each weight: they change no step's cost, but what is held."""
    return tuple(name for name in _STATEFUL if learning.get(name))


def _is_size(name: str) -> bool:
    return bool(_SIZE.search(name)) and not _RATE.search(name)


def _distance(one: Scalar, other: Scalar) -> float:
    if one == other:
        return 0.0
    numbers = [v for v in (one, other) if isinstance(v, int | float) and not isinstance(v, bool) and v > 0]
    if len(numbers) < 2:  # noqa: PLR2004 - two are compared
        return 1.0
    return abs(math.log2(numbers[0] / numbers[1]))
