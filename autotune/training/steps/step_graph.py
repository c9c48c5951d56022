"""A whole training step as one CUDA graph: forward, backward and optimizer, launched at once.

A step of many small kernels waits for the host, which launches them one by one. Recorded once for each shape of
batch and replayed, they cost a single launch (https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture).
What the host does in a step is not in the graph: so a step that counts or draws at random on the host is not recorded,
nor is one whose optimizer gets another momentum each time, and one that waits for the device can't be.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autotune.training.batches import Batch, change_tensors, is_all_tensors, list_tensors
from autotune.training.failures import InfeasibleError, one_line
from autotune.training.steps.settings import OptimizerSettings

_EAGER_STEPS = 2
"""Of each shape before it is recorded: compiling, cuDNN's search and the optimizer's first state are over then."""
_MOST_GRAPHS = 8
"""Shapes of batches that get a graph; steps of further ones are launched kernel by kernel."""
_MOST_SHAPES = 1000
_WORTH_RECORDING = 20
"""Steps: as many replays of 1 to 2 ms win what it takes to record one, 0.03 s."""

Step: TypeAlias = Callable[[Batch], Tensor]
"""Trains on a batch, and returns its mean loss without a graph of gradients."""
_Shape: TypeAlias = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype], ...]


class Recorder(Protocol):
    """Records what a function does on a device."""

    def eager(self, step: Callable[[], Tensor]) -> Tensor:
        """Run the function as it is, ready to be recorded later."""

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record the function without running it: what replays it, and the tensor that it then leaves its result in.

        Raises:
            RuntimeError: It does what can't be recorded; this process should end then, and use the device no more.
        """

    def forget(self) -> None:
        """Nothing that was recorded so far is replayed any more."""


class CudaRecorder:
    """Records CUDA graphs, which share their memory: one is replayed at a time."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def eager(self, step: Callable[[], Tensor]) -> Tensor:
        """On a stream of its own, as everything has to be that is recorded later."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = step()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """As a CUDA graph; what other threads do on the device meanwhile is no matter."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = step()
        return graph.replay, result

    def forget(self) -> None:
        """Let the next graphs have other memory: a pool whose graphs are all gone can't be used again (torch 2.11)."""
        self._pool = torch.cuda.graph_pool_handle()


class HostState:
    """What a step may change on the host: numbers, flags and texts of its modules, and of what its loss refers to."""

    def __init__(self, model: nn.Module, loss: Callable[[Batch], Tensor]) -> None:
        self._loss = loss
        self._modules = {f"{type(module).__name__} {name}".strip(): module for name, module in model.named_modules()}

    def read(self) -> dict[str, object]:
        """By the names of their owners, as they are now."""
        others = self._read_loss()
        held = {type(other).__name__: other for other in others.values() if _has_attributes(other)}
        found = {name: value for name, value in others.items() if _is_plain(value)}
        for owner, holder in {**self._modules, **held}.items():
            found |= {f"{owner}.{name}": value for name, value in vars(holder).items() if _is_plain(value)}
        return found

    def _read_loss(self) -> dict[str, object]:
        """What the function was bound to where it was made."""
        names = getattr(getattr(self._loss, "__code__", None), "co_freevars", ())
        cells = getattr(self._loss, "__closure__", None) or ()
        found: dict[str, object] = {"self": getattr(self._loss, "__self__", None)}
        for name, cell in zip(names, cells, strict=True):
            with suppress(ValueError):  # nothing is bound to the name yet
                found[name] = cell.cell_contents
        return found


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str)


def _has_attributes(value: object) -> bool:
    return hasattr(value, "__dict__") and not isinstance(value, nn.Module | type) and not callable(value)


class StepGraph:
    """Called with a batch, it trains on it like ``step``, which it has recorded once it knows the batch's shape.

    The tensor that it returns is overwritten by the next call. A learning rate that was set holds from the next step
    on. A loaded state of the optimizer, another setting of it (weight decay), or attributes that changed between two
    epochs (``look_again``), are noticed: the step is recorded anew. One that is another one each time, since it counts
    or draws at random on the host or its optimizer's momentum is scheduled, is launched kernel by kernel for good.

    Args:
        step: The whole step. It must leave no gradients, and do on the host what it does at every step.
        optimizer: What it steps; made ready by ``make_recordable``.
        host: What the step might change on the host.
        recorder: Records.
        on_refusal: Hears why the step is not recorded.

    Raises:
        InfeasibleError: The step could not be recorded.
    """

    def __init__(
        self,
        step: Step,
        *,
        optimizer: Optimizer,
        host: HostState,
        recorder: Recorder,
        on_refusal: Callable[[str], None],
    ) -> None:
        self._step = step
        self._optimizer = optimizer
        self._host = host
        self._recorder = recorder
        self._on_refusal = on_refusal
        self._is_refused = False
        self._graphs: dict[_Shape, _Graph] = {}
        self._num_eager: dict[_Shape, int] = {}
        self._state: object = None
        self._settings = OptimizerSettings(optimizer)
        self._num_steps = 0
        self._changed_at: int | None = None
        """The step before which a setting of the optimizer changed last."""
        self._attributes: dict[str, object] | None = None
        self._is_to_look = False
        self._has_more_to_record = True

    @property
    def will_record(self) -> bool:
        """The next step of the last batch's shape is no replay yet, so that it is slower than those that follow."""
        return not self._is_refused and (self._has_more_to_record or self._optimizer.state is not self._state)

    def look_again(self) -> None:
        """At the next step see whether the host's attributes have changed, as at the end of an epoch they may."""
        self._is_to_look = True

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss, a scalar on the device."""
        if self._optimizer.state is not self._state or self._is_to_look:
            self._look()
        self._num_steps += 1
        if not self._is_refused and self._settings.were_set():
            self._take_settings_over()
        tensors = tuple(list_tensors(batch))
        shape = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors)
        graph = self._graphs.get(shape)
        if graph is not None:
            self._has_more_to_record = False
            return graph.replay(tensors)
        num_eager = self._num_eager.get(shape, 0)
        can_record = len(self._graphs) < _MOST_GRAPHS and is_all_tensors(batch) and not self._is_refused
        self._has_more_to_record = can_record and num_eager < _EAGER_STEPS
        if can_record and num_eager >= _EAGER_STEPS:
            return self._record(batch, tensors, shape)
        if len(self._num_eager) < _MOST_SHAPES:
            self._num_eager[shape] = num_eager + 1
        is_last = can_record and num_eager == _EAGER_STEPS - 1
        return self._watched(batch) if is_last else self._eager(batch)

    def _eager(self, batch: Batch) -> Tensor:
        return self._recorder.eager(lambda: self._step(batch))

    def _look(self) -> None:
        self._is_to_look = False
        if self._optimizer.state is not self._state:  # another object once a state was loaded: graphs have the old one
            self._state = self._optimizer.state
            make_recordable(self._optimizer)
            self._settings.hold()
            self._num_eager.clear()
            self._forget()
        elif self._graphs and self._host.read() != self._attributes:
            self._forget()

    def _take_settings_over(self) -> None:
        changed = self._settings.take_over()
        if changed is None:
            return
        if self._graphs:
            self._forget()
        before, self._changed_at = self._changed_at, self._num_steps
        if before is not None and self._num_steps - before < _WORTH_RECORDING:
            hint = " (a schedule with cycle_momentum=False keeps it)" if changed in {"momentum", "betas"} else ""
            self._refuse(
                f"the optimizer's settings beside lr must stay for {_WORTH_RECORDING} steps, "
                f"got another {changed} after {self._num_steps - before}{hint}"
            )

    def _forget(self) -> None:
        self._graphs.clear()
        self._recorder.forget()

    def _record(self, batch: Batch, tensors: tuple[Tensor, ...], shape: _Shape) -> Tensor:
        make_recordable(self._optimizer)
        inputs = tuple(tensor.clone() for tensor in tensors)
        waiting = iter(inputs)
        held = change_tensors(batch, lambda _: next(waiting))
        try:
            replay, loss = self._recorder.record(lambda: self._step(held))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise InfeasibleError(
                f"cuda_graph: the step must not wait for the device nor copy to it, got {one_line(error)}; leave it off"
            ) from error
        self._attributes = self._host.read()
        self._graphs[shape] = graph = _Graph(inputs, replay, loss)
        return graph.replay(tensors)

    def _watched(self, batch: Batch) -> Tensor:
        """An eager step that shows whether it changes anything on the host."""
        attributes, generators = self._host.read(), _read_generators()
        loss = self._eager(batch)
        now = self._host.read()
        changed = next((name for name in now if now[name] != attributes.get(name)), None)
        if changed is not None:
            self._refuse(f"a step must change nothing on the host, got another {changed} after it")
        elif _read_generators() != generators:
            self._refuse("a step must draw its random numbers on the device, got some of the host's")
        return loss

    def _refuse(self, reason: str) -> None:
        self._is_refused = True
        self._on_refusal(f"cuda_graph: {reason}; leave it off")


class _Graph:
    def __init__(self, inputs: tuple[Tensor, ...], replay: Callable[[], None], loss: Tensor) -> None:
        self._inputs = inputs
        self._replay = replay
        self._loss = loss

    def replay(self, tensors: tuple[Tensor, ...]) -> Tensor:
        for held, tensor in zip(self._inputs, tensors, strict=True):
            held.copy_(tensor, non_blocking=True)
        self._replay()
        return self._loss


def _read_generators() -> tuple[object, ...]:
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


def is_recordable(optimizer: Optimizer) -> bool:
    """Whether the optimizer's step is the same on the host each time, and takes its learning rate from the device."""
    groups = optimizer.param_groups
    if isinstance(optimizer, torch.optim.SGD):
        return all(group["fused"] for group in groups)
    return type(optimizer).__module__.startswith("torch.optim") and all("capturable" in group for group in groups)


def make_recordable(optimizer: Optimizer) -> None:
    """Have what changes between steps on the device: the learning rate, and the optimizer's own count of steps."""
    for group in optimizer.param_groups:
        parameters = group["params"]
        if not parameters:
            continue
        device = parameters[0].device
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32).to(device)
        if "capturable" in group:
            group["capturable"] = True
        for parameter in parameters:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.device != parameter.device:
                    state[name] = value.to(parameter.device)
    # Else torch warns that the steps before the first recorded one are none.
    optimizer._warned_capturable_if_run_uncaptured = True  # noqa: SLF001
