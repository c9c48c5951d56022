"""A whole training step as one CUDA graph: forward, backward and optimizer, launched at once.

A step of many small kernels waits for the host, which launches them one by one. Recorded once for each shape of
batch and replayed, they cost a single launch (https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture).
What the host does in a step is not in the graph. So it is replayed only while all that it was made of is as it was:
a step that counts, draws at random or gets other tensors on the host is not recorded, nor is one whose optimizer gets
another momentum each time, and one that waits for the device can't be.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from autotune.shortages import is_out_of_memory
from autotune.training.batches import Batch, change_tensors, is_all_tensors, list_tensors, nesting
from autotune.training.failures import InfeasibleError, one_line
from autotune.training.steps.host_state import Glance, HostState, first_difference
from autotune.training.steps.settings import OptimizerSettings, complete_momentum, make_recordable, read_state

_EAGER_STEPS = 2
"""Of each shape before it is recorded: compiling, cuDNN's search and the optimizer's first state are over then."""
_MOST_GRAPHS = 8
"""Shapes of batches that get a graph; steps of further ones are launched kernel by kernel."""
_MOST_SHAPES = 1000
_WORTH_RECORDING = 20
"""Steps: as many replays of 1 to 2 ms win what it takes to record one, 0.03 s."""
_LOOK_EVERY = 500
"""Steps: to look at all that the graphs of 200 modules were made of takes as long as a few of them."""

Step: TypeAlias = Callable[[Batch], Tensor]
"""Trains on a batch, and returns its mean loss without a graph of gradients."""
_Shape: TypeAlias = tuple[object, ...]


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


class StepGraph:
    """Called with a batch, it trains on it like ``step``, which it has recorded once it knows the batch's shape.

    The tensor that it returns is overwritten by the next call. A learning rate that was set holds from the next step
    on. A loaded state of the optimizer, another setting of it (weight decay), and another tensor or attribute of the
    modules and of what the loss refers to are noticed: after some steps as they are the step is recorded anew. Before
    each step it is looked at what ``Glance`` sees; at all that ``HostState`` sees every 500 steps and at an epoch's end
    (``look_again``), until when a changed ``p`` of a Dropout, say, does not count. One that is another one each time,
    since it changes something or draws at random on the host, or somebody sets something again and again, is launched
    kernel by kernel for good.

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
        self._num_states = 0
        self._settings = OptimizerSettings(optimizer)
        self._num_steps = 0
        self._changed_at: int | None = None
        """The step before which something that graphs are made of changed last."""
        self._found: dict[str, object] | None = None
        """What the graphs were made of; before there is one, what is to be as it was."""
        self._glance: Glance | None = None
        self._is_to_look = False
        self._has_more_to_record = True

    @property
    def will_record(self) -> bool:
        """The next step of the last batch's shape is no replay yet, so that it is slower than those that follow."""
        return not self._is_refused and (self._has_more_to_record or self._optimizer.state is not self._state)

    def look_again(self) -> None:
        """At the next step look at the whole of the host's state, as at the end of an epoch it may be another one."""
        self._is_to_look = True

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss, a scalar on the device."""
        if self._optimizer.state is not self._state:
            self._begin()
        self._num_steps += 1
        if not self._is_refused:
            if self._settings.were_set():
                self._take_settings_over()
            if self._should_look():
                self._look()
        tensors = tuple(list_tensors(batch))
        shape = (nesting(batch), *((t.shape, t.stride(), t.dtype, t.device, t.requires_grad) for t in tensors))
        graph = self._graphs.get(shape)
        if graph is not None:
            self._has_more_to_record = False
            return graph.replay(tensors)
        num_eager = self._num_eager.get(shape, 0)
        can_record = not self._is_refused and len(self._graphs) < _MOST_GRAPHS and self._can_hold(batch, tensors)
        self._has_more_to_record = can_record and num_eager < _EAGER_STEPS
        if can_record and num_eager >= _EAGER_STEPS:
            return self._record(batch, tensors, shape)
        if len(self._num_eager) < _MOST_SHAPES:
            self._num_eager[shape] = num_eager + 1
        is_last = can_record and num_eager == _EAGER_STEPS - 1
        return self._watched(batch) if is_last else self._eager(batch)

    def _can_hold(self, batch: Batch, tensors: tuple[Tensor, ...]) -> bool:
        """The batch's values are all where kernels read them: the host may read, and branch on, what it has itself."""
        device = next(each.device for group in self._optimizer.param_groups for each in group["params"])
        return is_all_tensors(batch) and all(t.device == device and not t.requires_grad for t in tensors)

    def _eager(self, batch: Batch) -> Tensor:
        complete_momentum(self._optimizer)
        return self._recorder.eager(lambda: self._step(batch))

    def _begin(self) -> None:
        """With another state of the optimizer, which is another object once it was loaded: graphs have the old one."""
        self._state = self._optimizer.state
        make_recordable(self._optimizer)
        self._settings.hold()
        self._forget()

    def _take_settings_over(self) -> None:
        changed = self._settings.take_over()
        if changed is not None:
            make_recordable(self._optimizer)  # a group that was added is as it was made
            self._settings.hold()
            hint = " (a schedule with cycle_momentum=False keeps it)" if changed in {"momentum", "betas"} else ""
            self._start_over("the optimizer's settings beside lr", changed, hint=hint)

    def _should_look(self) -> bool:
        if self._glance is None:
            return False
        is_due = self._is_to_look or self._num_steps % _LOOK_EVERY == 0
        return is_due or len(self._optimizer.state) != self._num_states or not self._glance.is_same()

    def _look(self) -> None:
        self._is_to_look = False
        assert self._found is not None
        changed = first_difference(self._found, self._read())
        if changed is None:
            self._glance = self._host.glance()  # equal objects may stand where others did
        else:
            self._start_over("what a step finds on the host", changed)

    def _read(self) -> dict[str, object]:
        return self._host.read() | read_state(self._optimizer)

    def _start_over(self, what: str, changed: str, *, hint: str = "") -> None:
        """Graphs were made of what is another one now: it is launched kernel by kernel until it can be recorded."""
        self._forget()
        before, self._changed_at = self._changed_at, self._num_steps
        if before is not None and self._num_steps - before < _WORTH_RECORDING:
            self._refuse(
                f"{what} must stay for {_WORTH_RECORDING} steps, "
                f"got another {changed} after {self._num_steps - before}{hint}"
            )

    def _forget(self) -> None:
        self._graphs.clear()
        self._num_eager.clear()  # what is new is compiled, and gets its state in the optimizer, in no recording
        self._found = self._glance = None
        self._is_to_look = False
        self._has_more_to_record = True
        self._recorder.forget()

    def _record(self, batch: Batch, tensors: tuple[Tensor, ...], shape: _Shape) -> Tensor:
        before, generators = self._read(), self._host.read_generators()
        changed = None if self._found is None else first_difference(self._found, before)
        if changed is not None:
            self._start_over("what a step finds on the host", changed)
            self._num_eager[shape] = 1
            return self._eager(batch)
        inputs = tuple(tensor.clone() for tensor in tensors)
        waiting = iter(inputs)
        held = change_tensors(batch, lambda _: next(waiting))
        graph = _Graph(inputs, *self._recorded(held))
        self._found = self._read()
        changed = first_difference(before, self._found) or first_difference(generators, self._host.read_generators())
        if changed is not None:  # this time the host has done its part, and no other time
            loss = graph.replay(tensors)
            self._start_over("what a step finds on the host", changed)
            return loss
        self._glance = self._host.glance()
        self._num_states = len(self._optimizer.state)
        self._graphs[shape] = graph
        return graph.replay(tensors)

    def _recorded(self, held: Batch) -> tuple[Callable[[], None], Tensor]:
        try:
            return self._recorder.record(lambda: self._step(held))
        except RuntimeError as error:
            # The end of a recording that broke off raises, too, and what broke it off is behind that.
            for each in _chain(error):
                if is_out_of_memory(each):
                    raise each from None
            raise InfeasibleError(
                f"cuda_graph: the step must not wait for the device nor copy to it, got {one_line(error)}; leave it off"
            ) from error

    def _watched(self, batch: Batch) -> Tensor:
        """An eager step that shows whether it changes anything on the host."""
        complete_momentum(self._optimizer)
        host, state, generators = self._host.read(), read_state(self._optimizer), self._host.read_generators()
        loss = self._eager(batch)
        host_after, state_after = self._host.read(), read_state(self._optimizer)
        changed, moved = first_difference(host, host_after), first_difference(state, state_after)
        if changed is not None:
            self._refuse(f"a step must change nothing on the host, got another {changed} after it")
        elif (drawn := first_difference(generators, self._host.read_generators())) is not None:
            self._refuse(f"a step must draw its random numbers on the device, got some of the host's ({drawn})")
        elif moved is not None:
            self._start_over("what the optimizer keeps", moved)
        elif self._found is None:
            self._found = host_after | state_after
        return loss

    def _refuse(self, reason: str) -> None:
        self._is_refused = True
        self._forget()
        self._on_refusal(f"cuda_graph: {reason}; leave it off")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that were on their way when it was raised."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__context__


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
