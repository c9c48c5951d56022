"""The two calls that end a step, backward and the optimizer's, as the parameters want them."""

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autotune.training.pacing import Pacer
from autotune.training.parameters import Parameters


class Stepper:
    """Scales losses where fp16 needs it, clips gradients where that is asked for, and shows both to a race."""

    def __init__(self, params: Parameters, *, scaler: torch.amp.GradScaler | None) -> None:
        self.pacer: Pacer | None = None
        """Of a race."""
        self._params = params
        self._scaler = scaler

    def backward(self, loss: Tensor) -> None:
        """``loss.backward()``, of the scaled loss where there is a scaler."""
        if self.pacer is not None:
            self.pacer.see_loss(loss)
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

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
            scaler.update()
        optimizer.zero_grad()

    @cached_property
    def _gradient_clip(self) -> float | None:
        clip = self._params.get("gradient_clip")
        return None if clip is None else float(clip)
