"""A whole training step as one CUDA graph: forward, backward and optimizer, launched at once.

A step of many small kernels waits for the host, which launches them one by one. Recorded once for each shape of
batch and replayed, they cost a single launch (https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture).
A graph does not hold what the host does in a step. So it is replayed only while all that it was made of is as it was.
A step is not recorded if it counts, draws at random or gets other tensors on the host, or if its optimizer gets another
momentum each time; a step that waits for the device can't be.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from torch import Tensor
from torch.optim import Optimizer

from autotune.shortages import is_out_of_memory
from autotune.training.batches import Batch, change_tensors, is_all_tensors, list_tensors, nesting
from autotune.training.failures import InfeasibleError, one_line
from autotune.training.steps.host_state import Glance, HostState, first_difference
from autotune.training.steps.recorder import Recorder
from autotune.training.steps.settings import OptimizerSettings, complete_momentum, make_recordable, read_state

_EAGER_STEPS = 2
"""Steps of each shape that come before it is recorded: compiling, cuDNN's search and the optimizer's first state are
over then."""
_MOST_GRAPHS = 8
"""Shapes of batches that get a graph; steps of further shapes are launched kernel by kernel."""
_MOST_SHAPES = 1000
"""Shapes of batches whose steps are counted, so that the memory for it is bounded."""
_WORTH_RECORDING = 20
"""Steps that a graph must serve to be worth its recording of 0.03 s, which so many replays of 1 to 2 ms win."""
_LOOK_EVERY = 500
"""Steps between two looks at all that graphs were made of: for 200 modules, a look takes as long as a few steps."""

Step: TypeAlias = Callable[[Batch], Tensor]
"""A function that trains on a batch, and returns its mean loss without a graph of gradients."""
_Shape: TypeAlias = tuple[object, ...]


class StepGraph:
    """Called with a batch, it trains on it like ``step``, which it records once it knows the batch's shape.

    The tensor that it returns is overwritten by the next call. A learning rate that was set holds from the next step
    on. It notices a loaded state of the optimizer, another setting of the optimizer (weight decay), and another tensor
    or attribute of the modules and of what the loss refers to; some steps are launched kernel by kernel then, and the
    step is recorded anew. What ``Glance`` sees is compared before each step, and all that ``HostState`` sees every 500
    steps and at an epoch's end (``look_again``); until then a changed ``p`` of a Dropout, for example, does not count.
    A step that keeps changing, since it changes something or draws at random on the host, or since somebody sets
    something again and again, is launched kernel by kernel for good.

    Args:
        step: The whole step. It must leave no gradients, and do on the host what it does at every step.
        optimizer: The optimizer that it steps, made ready by ``make_recordable``.
        host: What the step might change on the host.
        recorder: Records the step.
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
        """Number of the step before which something that graphs are made of changed last."""
        self._found: dict[str, object] | None = None
        """What the graphs were made of, or what the first graph is to be made of."""
        self._glance: Glance | None = None
        self._is_to_look = False
        self._has_more_to_record = True

    @property
    def will_record(self) -> bool:
        """Whether the next step of the last batch's shape is no replay yet, and so slower than those that follow."""
        return not self._is_refused and (self._has_more_to_record or self._optimizer.state is not self._state)

    def look_again(self) -> None:
        """Compare all of the host's state at the next step, since the end of an epoch may have changed it."""
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
        """Whether all of the batch is on the device; the host could branch on values that it has itself."""
        device = next(each.device for group in self._optimizer.param_groups for each in group["params"])
        return is_all_tensors(batch) and all(t.device == device and not t.requires_grad for t in tensors)

    def _eager(self, batch: Batch) -> Tensor:
        """Take a step kernel by kernel."""
        complete_momentum(self._optimizer)
        return self._recorder.eager(lambda: self._step(batch))

    def _begin(self) -> None:
        """Begin anew where the optimizer's state was loaded: it is another object then, and graphs have the old one."""
        self._state = self._optimizer.state
        make_recordable(self._optimizer)
        self._settings.hold()
        self._forget()

    def _take_settings_over(self) -> None:
        """Take over what was set in the optimizer, and start over where graphs do not have it."""
        changed = self._settings.take_over()
        if changed is not None:
            make_recordable(self._optimizer)  # a group that was added is as it was made
            self._settings.hold()
            hint = " (a schedule with cycle_momentum=False keeps it)" if changed in {"momentum", "betas"} else ""
            self._start_over("the optimizer's settings beside lr", changed, hint=hint)

    def _should_look(self) -> bool:
        """Whether all of the host's state is to be compared before this step."""
        if self._glance is None:
            return False
        is_due = self._is_to_look or self._num_steps % _LOOK_EVERY == 0
        return is_due or len(self._optimizer.state) != self._num_states or not self._glance.is_same()

    def _look(self) -> None:
        """Compare all of the host's state with what graphs were made of, and start over where it has changed."""
        self._is_to_look = False
        assert self._found is not None
        changed = first_difference(self._found, self._read())
        if changed is None:
            self._glance = self._host.glance()  # equal objects may stand where others did
        else:
            self._start_over("what a step finds on the host", changed)

    def _read(self) -> dict[str, object]:
        """All that a graph is made of, by name."""
        return self._host.read() | read_state(self._optimizer)

    def _start_over(self, what: str, changed: str, *, hint: str = "") -> None:
        """Forget the graphs, which were made of what has changed; refuse to record where that happens too often."""
        self._forget()
        before, self._changed_at = self._changed_at, self._num_steps
        if before is not None and self._num_steps - before < _WORTH_RECORDING:
            self._refuse(
                f"{what} must stay for {_WORTH_RECORDING} steps, "
                f"got another {changed} after {self._num_steps - before}{hint}"
            )

    def _forget(self) -> None:
        """Drop all graphs, and what they were made of."""
        self._graphs.clear()
        self._num_eager.clear()  # what is new is compiled, and gets its state in the optimizer, in no recording
        self._found = self._glance = None
        self._is_to_look = False
        self._has_more_to_record = True
        self._recorder.forget()

    def _record(self, batch: Batch, tensors: tuple[Tensor, ...], shape: _Shape) -> Tensor:
        """Record the step and replay it once; where something has changed meanwhile, start over."""
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
        """What replays the step, and its loss; raises InfeasibleError where it can't be recorded."""
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
        """Take a step kernel by kernel, and refuse to record later ones where it changes anything on the host."""
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
        """Launch all further steps kernel by kernel, and say why."""
        self._is_refused = True
        self._forget()
        self._on_refusal(f"cuda_graph: {reason}; leave it off")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that were being handled when it was raised."""
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
        """Train on these tensors; the loss is overwritten by the next call."""
        for held, tensor in zip(self._inputs, tensors, strict=True):
            held.copy_(tensor, non_blocking=True)
        self._replay()
        return self._loss
