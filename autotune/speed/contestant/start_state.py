"""The state that a training starts from, taken before the warm-up and put back after it."""

from collections.abc import Mapping

import torch

from autotune.training.checkpoints.checkpoint import Stateful
from autotune.training.checkpoints.snapshot import Snapshot
from autotune.training.rng import capture_rng, restore_rng


class StartState:
    """States of the objects that a checkpoint would hold, and of the random generators; kept on the CPU.

    How many steps a warm-up takes depends on the machine's mood. With its state put back, the
    losses that follow depend on the seed alone.
    """

    def __init__(self, objects: Mapping[str, Stateful], *, device: torch.device) -> None:
        self._objects = dict(objects)
        self._device = device
        snapshot = Snapshot()
        self._states = {name: snapshot.take(item.state_dict(), name) for name, item in self._objects.items()}
        self._arrive = snapshot.seal()
        self._rng = capture_rng(device)

    @property
    def is_empty(self) -> bool:
        """The loop has handed nothing to ``trial.checkpoint.restore``."""
        return not self._objects

    def put_back(self) -> None:
        """Give every object its state; in place, so that compiled graphs stay valid."""
        self._arrive()
        for name, item in self._objects.items():
            item.load_state_dict(self._states[name])
        restore_rng(self._rng, device=self._device)
