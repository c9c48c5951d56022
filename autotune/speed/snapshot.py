"""A training's state, taken before the warm-up and put back after it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autotune.training.checkpoint import Stateful
from autotune.training.rng import capture_rng, restore_rng


class Snapshot:
    """States of the objects that a checkpoint would hold, and of the random generators; kept on the CPU.

    How many steps a warm-up takes depends on the machine's mood. With its state put back, the
    losses that follow depend on the seed alone.
    """

    def __init__(self, objects: Mapping[str, Stateful], *, device: torch.device) -> None:
        self._objects = dict(objects)
        self._device = device
        self._states = {name: _copied(item.state_dict()) for name, item in self._objects.items()}
        self._rng = capture_rng(device)

    @property
    def is_empty(self) -> bool:
        """The loop has handed nothing to ``trial.checkpoint.restore``."""
        return not self._objects

    def put_back(self) -> None:
        """Give every object its state; in place, so that compiled graphs stay valid."""
        for name, item in self._objects.items():
            item.load_state_dict(self._states[name])
        restore_rng(self._rng, device=self._device)


def _copied(state: Any) -> Any:  # noqa: ANN401 - each class has its own
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_copied(value) for value in state)
    return state
