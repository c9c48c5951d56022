"""The two calls that end a step, backward and the optimizer's, as the parameters want them, and a step as a whole."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autotune.training.batches import Batch
from autotune.training.parameters import Parameters
from autotune.training.steps.host_state import HostState
from autotune.training.steps.pacing import Pacer
from autotune.training.steps.recorder import CudaRecorder, Recorder
from autotune.training.steps.settings import is_recordable, make_recordable
from autotune.training.steps.step_graph import Step, StepGraph


class Stepper:
    """Scales losses where fp16 needs it, clips gradients where that is asked for, and shows both to a race.

    The scale moves when the next loss comes, and not after each optimizer's step: where several optimizers step after
    one backward, all of them must divide their gradients by the scale that these were made with
    (https://docs.pytorch.org/docs/stable/notes/amp_examples.html#working-with-multiple-models-losses-and-optimizers).
    Its state in a checkpoint is the scaler's.
    """

    def __init__(self, params: Parameters, *, scaler: torch.amp.GradScaler | None, wants_graph: bool = False) -> None:
        self.pacer: Pacer | None = None
        """Sees the steps of a race; None in a trial."""
        self.wants_graph = wants_graph
        """Whether steps are to be recorded where they can be."""
        self._graph: StepGraph | None = None
        self._params = params
        self._scaler = scaler
        self._has_stepped = False

    def backward(self, loss: Tensor) -> None:
        """Call ``loss.backward()``, on the scaled loss where there is a scaler."""
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

    def can_record(self, optimizer: Optimizer) -> bool:
        """Whether this optimizer's steps are to be recorded and can be; with a scaler, steps wait for the device."""
        return self.wants_graph and self._scaler is None and is_recordable(optimizer)

    def whole(
        self,
        gradient: Step,
        optimizer: Optimizer,
        *,
        host: HostState | None,
        on_refusal: Callable[[str], None],
        recorder: Callable[[], Recorder] = CudaRecorder,
    ) -> Step:
        """Gradient and optimizer step as one function.

        Args:
            gradient: Leaves a batch's gradient, and returns its mean loss.
            optimizer: Steps after it.
            host: What the step might change on the host; None for a step that is not recorded.
            on_refusal: Hears why the step is not recorded although ``host`` is given.
            recorder: Makes what records.
        """

        def step(batch: Batch) -> Tensor:
            loss = gradient(batch)
            self.step(optimizer)
            return loss

        if host is None:
            return step
        make_recordable(optimizer)
        graph = StepGraph(step, optimizer=optimizer, host=host, recorder=recorder(), on_refusal=on_refusal)
        self._graph = graph

        def replayed(batch: Batch) -> Tensor:
            pacer, self.pacer = self.pacer, None  # it would see what is recorded, and nothing that is replayed
            try:
                loss = graph(batch)
            finally:
                self.pacer = pacer
            if pacer is not None:
                pacer.see_loss(loss)
                pacer.end_whole()
            return loss

        return replayed

    @property
    def will_record(self) -> bool:
        """Whether the next step is recorded, or comes before one that is."""
        return self._graph is not None and self._graph.will_record

    def look_again(self) -> None:
        """Have recorded steps compare all of the host's state, which the end of an epoch may have changed."""
        if self._graph is not None:
            self._graph.look_again()

    def _step(self, optimizer: Optimizer) -> None:
        """Clip, step, and clear the gradients, without showing it to a pacer."""
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
        """Let the scaler choose its next scale, once after each step."""
        if self._has_stepped:
            self._has_stepped = False
            scaler.update()

    @cached_property
    def _gradient_clip(self) -> float | None:
        clip = self._params.get("gradient_clip")
        return None if clip is None else float(clip)

    def state_dict(self) -> dict[str, Any]:
        """The scaler's state as the next loss finds it, for the checkpoint."""
        assert self._scaler is not None
        self._move_scale(self._scaler)
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give the scaler its state from the checkpoint."""
        assert self._scaler is not None
        self._scaler.load_state_dict(state)
