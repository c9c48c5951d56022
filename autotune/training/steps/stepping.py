"""The two calls that end a step, backward and the optimizer's, as the parameters want them."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autotune.training.parameters import Parameters
from autotune.training.steps.pacing import Pacer


class Stepper:
    """Scales losses where fp16 needs it, clips gradients where that is asked for, and shows both to a race.

    The scale moves when the next loss comes, and not after each optimizer: where several step after one
    backward, all of them must divide their gradients by the scale that these were made with
    (https://docs.pytorch.org/docs/stable/notes/amp_examples.html#working-with-multiple-models-losses-and-optimizers).
    Its state is the scaler's.
    """

    def __init__(self, params: Parameters, *, scaler: torch.amp.GradScaler | None) -> None:
        self.pacer: Pacer | None = None
        """Of a race."""
        self._params = params
        self._scaler = scaler
        self._has_stepped = False

    def backward(self, loss: Tensor) -> None:
        """``loss.backward()``, of the scaled loss where there is a scaler."""
        if self.pacer is not None:
            self.pacer.see_loss(loss)
        if self._scaler is not None:
            self._move_scale(self._scaler)
            loss = self._scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: Optimizer) -> None:
        """Clip, step, and clear the gradients."""
        if self.pacer is None:
            self._step(optimizer)
            return
        self.pacer.begin_optimizer()
        self._step(optimizer)
        self.pacer.end_optimizer()

    def _step(self, optimizer: Optimizer) -> None:
        scaler = self._scaler
        if self._gradient_clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            clipped = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(clipped, self._gradient_clip)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            self._has_stepped = True
        optimizer.zero_grad()

    def _move_scale(self, scaler: torch.amp.GradScaler) -> None:
        if self._has_stepped:
            self._has_stepped = False
            scaler.update()

    @cached_property
    def _gradient_clip(self) -> float | None:
        clip = self._params.get("gradient_clip")
        return None if clip is None else float(clip)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: the scale as the next loss finds it."""
        assert self._scaler is not None
        self._move_scale(self._scaler)
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        assert self._scaler is not None
        self._scaler.load_state_dict(state)
