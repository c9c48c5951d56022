"""Notices that a training has lost its way: a loss or a metric that is NaN or infinite."""

import math
import time
from collections.abc import Mapping

from torch import Tensor

from autotune.training.failures import DivergedError

_LOOK_SECONDS = 1.0


class LossWatch:
    """Looks at the training loss about once a second, since each look waits for the device."""

    def __init__(self) -> None:
        self._next_look = 0.0

    def check(self, loss: Tensor, *, epoch: int) -> None:
        """Look at the loss if the last look was a second ago.

        Raises:
            DivergedError: The loss is NaN or infinite.
        """
        now = time.perf_counter()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        check_finite({"the training loss": float(loss)}, epoch=epoch)


def check_finite(values: Mapping[str, float], *, epoch: int) -> None:
    """Check that every value of an epoch is finite, so that a sampler can learn from it.

    Raises:
        DivergedError: A value is NaN or infinite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(f"epoch {epoch}: {name} is {value}")
