"""A batch's gradient, added up over micro-batches: as many as are asked for, or as memory needs."""

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.shortages import is_out_of_memory
from autotune.training.batches import Batch, Count, count_samples, micro_batches
from autotune.training.failures import SINGLE_SAMPLE, one_line

Loss: TypeAlias = Callable[[Batch], Tensor]
"""A function from a batch, or a part of one, to its mean loss with its graph of gradients."""


class MicroBatchesState(TypedDict):
    """The most samples that a micro-batch may have, for a checkpoint; None where nothing has shown a limit."""

    limit: int | None


class MicroBatches:
    """How a batch is cut: into ``accumulate`` parts, or with ``auto`` into as few as memory has allowed so far."""

    def __init__(self, accumulate: Scalar) -> None:
        self.is_auto = accumulate == "auto"
        if not self.is_auto and (isinstance(accumulate, bool) or not isinstance(accumulate, int) or accumulate < 1):
            raise TaskError(f"accumulate: must be a whole number from 1 on, or auto, got {accumulate!r}; correct it")
        self._wish = accumulate if isinstance(accumulate, int) else 1
        self._batch_size = 1
        self._limit: int | None = None

    def expect(self, batch_size: int) -> None:
        """Take note of a batch's number of samples; the largest counts, since an epoch's last batch may be smaller."""
        self._batch_size = max(self._batch_size, batch_size)

    @property
    def is_needless(self) -> bool:
        """Whether no batch is ever cut."""
        return self._wish == 1 and not self.is_auto

    @property
    def size(self) -> int:
        """Number of samples in a micro-batch."""
        return max(1, self._batch_size // self._wish) if self._limit is None else self._limit

    @property
    def number(self) -> int:
        """Number of micro-batches in a whole batch."""
        return -(-self._batch_size // self.size) if self.is_auto else self._wish

    def halve(self, *, num_samples: int) -> bool:
        """Halve the micro-batches of a batch of ``num_samples``; returns False where they have one sample already."""
        size = min(self.size, num_samples)
        if size == 1:
            return False
        self._limit = size // 2
        return True

    def state_dict(self) -> MicroBatchesState:
        """The limit so far, for the checkpoint."""
        return {"limit": self._limit}

    def load_state_dict(self, state: MicroBatchesState) -> None:
        """Take the limit over from the checkpoint."""
        self._limit = state["limit"]


class Accumulator:
    """Called with a batch, it leaves the gradient of the batch's mean loss, and returns that loss.

    The gradients must be cleared when it is called, as they are after ``trial.step``. The loss
    of each part is weighted with its share of what ``count`` counts in the batch.

    With ``accumulate: auto``, a batch that finds no memory is tried again in parts of half the
    size, and later batches are cut in the same way. Nothing of the step is lost or counts twice: the
    gradients are cleared, and the model's buffers (BatchNorm's running statistics) and the
    random generators get their states back, which are copied at each step for that.
    Cutting does not help where the optimizer's own step runs out of memory.
    """

    def __init__(
        self,
        cut: MicroBatches,
        *,
        model: nn.Module,
        loss: Loss,
        count: Count,
        backward: Callable[[Tensor], None],
        device: torch.device,
        on_cut: Callable[[str], None],
    ) -> None:
        self._cut = cut
        self._model = model
        self._loss = loss
        self._count = count
        self._backward = backward
        self._device = device
        self._on_cut = on_cut
        self._is_whole = cut.is_needless

    def __call__(self, batch: Batch) -> Tensor:
        """The mean loss over the batch, a scalar without a graph, still on the device.

        Raises:
            torch.OutOfMemoryError: Memory ran out; with ``auto``, even for a single sample.
        """
        if self._is_whole:
            return self._take_whole(batch)
        if not self._cut.is_auto:
            return self._add_up(batch)
        before = _StepState.capture(self._model, device=self._device)
        while (loss := self._attempt(batch)) is None:
            self._model.zero_grad()
            before.restore(self._model, device=self._device)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return loss

    def _attempt(self, batch: Batch) -> Tensor | None:
        """The mean loss; None where memory ran out, and smaller parts are worth a try."""
        try:
            return self._add_up(batch)
        except (RuntimeError, MemoryError, ValueError) as error:
            reason = one_line(error)
            if self._cut.size == 1 and SINGLE_SAMPLE in reason:
                raise torch.OutOfMemoryError(
                    f"two samples do not fit, and one can't be normalised ({reason})"
                ) from error
            if not is_out_of_memory(error):
                raise
            if not self._cut.halve(num_samples=count_samples(batch)):
                raise torch.OutOfMemoryError(f"a single sample does not fit ({reason})") from error
            traceback.clear_frames(error.__traceback__)  # they hold the activations that there was no room for
        self._on_cut(f"{reason}; it goes on with {self._cut.number} micro-batches a batch")
        return None

    def _add_up(self, batch: Batch) -> Tensor:
        """The mean loss of the batch, whose gradients are added up over its micro-batches."""
        num_samples = count_samples(batch)
        self._cut.expect(num_samples)
        if num_samples <= self._cut.size:
            return self._take_whole(batch)
        total: Tensor | None = None
        whole = self._count(batch)
        for part in micro_batches(batch, size=self._cut.size):
            loss = self._loss(part) * (self._count(part) / whole)
            self._backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def _take_whole(self, batch: Batch) -> Tensor:
        """The mean loss of the batch, which is not cut."""
        loss = self._loss(batch)
        self._backward(loss)
        return loss.detach()


@dataclass(frozen=True)
class _StepState:
    """The model's buffers and the random generators' states before a step; a forward pass changes them."""

    buffers: list[Tensor]
    torch_rng: Tensor
    cuda_rng: Tensor | None
    numpy_rng: Any
    python_rng: Any

    @classmethod
    def capture(cls, model: nn.Module, *, device: torch.device) -> "_StepState":
        """Copy the buffers and states as they are now."""
        return cls(
            buffers=[buffer.clone() for buffer in model.buffers()],
            torch_rng=torch.get_rng_state(),
            cuda_rng=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            numpy_rng=np.random.get_state(),  # noqa: NPY002 - tasks of users draw from the global generator
            python_rng=random.getstate(),
        )

    def restore(self, model: nn.Module, *, device: torch.device) -> None:
        """Put the buffers and states back, so that the step may be taken again."""
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), self.buffers, strict=True):
                buffer.copy_(before)
        torch.set_rng_state(self.torch_rng)
        if self.cuda_rng is not None:
            torch.cuda.set_rng_state(self.cuda_rng, device)
        np.random.set_state(self.numpy_rng)  # noqa: NPY002 - as above
        random.setstate(self.python_rng)
