"""A recorder without a GPU: what it has recorded is run again, in the world that it was recorded in.

A graph has the numbers, flags and random numbers of its recording, and the addresses of its tensors. So a replay here
gets the modules' attributes, the places of all tensors, the optimizer's groups and state and the host's random
generators as they were, and leaves on the host no trace of itself: only what stands in the recorded tensors is new.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autotune.events import Scalar
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters
from autotune.training.steps.host_state import HostState
from autotune.training.steps.optimizers import make_optimizer
from autotune.training.steps.step_graph import StepGraph

TREE = ("_parameters", "_buffers")


class World:
    """All that a step reads on the host: attributes, the places of tensors, the optimizer, random generators."""

    def __init__(self, model: nn.Module, owner: object, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        holders = [*model.modules(), owner]
        places = [vars(holder) for holder in holders]
        places += [vars(module)[name] for module in model.modules() for name in TREE]
        self._named = self._places = [(place, dict(place)) for place in places]
        self._groups = list(optimizer.param_groups)
        self._lists = [(group["params"], list(group["params"])) for group in optimizer.param_groups]
        self._state = dict(optimizer.state)
        kept = [(place, dict(place)) for place in (*self._groups, *self._state.values())]
        self._places = [*self._named, *kept]
        self._tensors = [(each, each.detach(), each.requires_grad) for each in self._find_tensors()]
        self._random = random.getstate(), np.random.get_state()  # noqa: NPY002
        generators = [value for place in places for value in place.values() if isinstance(value, np.random.Generator)]
        self._generators = [(each, each.bit_generator.state) for each in generators]

    def _find_tensors(self) -> Iterator[Tensor]:
        parameters = [each for group in self._optimizer.param_groups for each in group["params"]]
        found = [value for place, _ in self._places for value in place.values() if isinstance(value, Tensor)]
        yield from {id(each): each for each in (*parameters, *found)}.values()

    def restore(self) -> None:
        for place, content in self._places:
            place.clear()
            place.update(content)
        for tensor, memory, needs_gradient in self._tensors:
            if tensor.is_leaf:
                tensor.data = memory
                tensor.requires_grad_(needs_gradient)
        self._optimizer.param_groups[:] = self._groups
        for parameters, copy in self._lists:
            parameters[:] = copy
        self._optimizer.state.clear()
        self._optimizer.state.update(self._state)
        random.setstate(self._random[0])
        np.random.set_state(self._random[1])  # noqa: NPY002
        for generator, state in self._generators:
            generator.bit_generator.state = state

    def named(self) -> dict[tuple[Any, ...], Tensor]:
        """All tensors by where they stand."""
        found: dict[tuple[Any, ...], Any] = {
            (id(place), name): value for place, content in self._named for name, value in content.items()
        }
        for parameter, state in self._optimizer.state.items():
            found |= {("state", id(parameter), name): value for name, value in state.items()}
        return {key: value.detach() for key, value in found.items() if isinstance(value, Tensor)}


class Rerun:
    """Counts what it did.

    Args:
        error: Raised by each recording.
    """

    model: nn.Module
    owner: object
    optimizer: Optimizer

    def __init__(self, *, error: RuntimeError | None = None) -> None:
        self.num_eager = 0
        self.num_recorded = 0
        self.num_replayed = 0
        self.num_forgotten = 0
        self._error = error

    def eager(self, step: Callable[[], Tensor]) -> Tensor:
        self.num_eager += 1
        return step()

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """On the host the step is run; on the device nothing happens, so that new tensors hold garbage."""
        if self._error is not None:
            raise self._error
        self.num_recorded += 1
        result = torch.full((), torch.nan)
        before = self._world()
        values = [(tensor, tensor.clone()) for tensor in before.named().values()]
        step()
        for tensor, value in values:
            tensor.copy_(value)
        after = self._world().named()
        old = {tensor.data_ptr() for tensor in before.named().values()}
        made = {key: tensor for key, tensor in after.items() if tensor.data_ptr() not in old}
        for tensor in made.values():
            tensor.copy_(torch.full_like(tensor, torch.nan))

        def replay() -> None:
            self.num_replayed += 1
            now = self._world()
            before.restore()
            result.copy_(step())
            replayed = self._world().named()
            now.restore()
            for key, tensor in made.items():
                tensor.copy_(replayed[key])

        return replay, result

    def forget(self) -> None:
        self.num_forgotten += 1

    def _world(self) -> World:
        return World(self.model, self.owner, self.optimizer)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.num_calls = 0
        self.scale = 1.0
        self.counts = False
        self.draws = False

    def forward(self, inputs: Tensor) -> Tensor:
        self.num_calls += int(self.counts)
        noise = random.random() if self.draws else 0.0
        outputs: Tensor = self.layer(inputs) * self.scale + noise
        return outputs


class Training:
    """A model with its recorded step."""

    def __init__(self, parameters: Mapping[str, Scalar] | None = None, *, recorder: Rerun | None = None) -> None:
        torch.manual_seed(0)
        self.net = self.make_net()
        self.recorder = recorder or Rerun()
        given = Parameters(parameters or {"optimizer": "sgd", "momentum": 0.5, "lr": 0.125})
        self.recorder.model, self.recorder.owner = self.net, self
        self.optimizer = self.recorder.optimizer = make_optimizer(self.net, given, is_recorded=True)
        self.refusals: list[str] = []
        self.step = StepGraph(
            self.plain,
            optimizer=self.optimizer,
            host=HostState(self.net, self.loss),
            recorder=self.recorder,
            on_refusal=self.refusals.append,
        )

    def make_net(self) -> Net:
        return Net()

    def act(self, number: int) -> None:
        """Whatever a loop does after each step."""

    def loss(self, batch: Batch) -> Tensor:
        inputs, targets = batch[0], batch[1]
        return nn.functional.cross_entropy(self.net(inputs), targets)

    def plain(self, batch: Batch) -> Tensor:
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


def batch_of(size: int, *, number: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(size, 3, generator=generator), torch.arange(size) % 2


ADAM: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.125, "optimizer_impl": "fused"}


def train_both(
    act: Callable[[Optimizer, int], None] | None = None,
    *,
    num_steps: int = 8,
    parameters: Mapping[str, Scalar] | None = None,
    kind: type[Training] = Training,
) -> Training:
    """The recorded training, which ends as a plain one does.

    ``act`` is called after each step of both with the optimizer, and so is what the kind of training does itself.
    """
    plain, recorded = kind(parameters), kind(parameters)
    for number in range(num_steps):
        batch = batch_of(4 - number % 2, number=number)
        torch.testing.assert_close(recorded.step(batch), plain.plain(batch))
        for training in (plain, recorded):
            if act is not None:
                act(training.optimizer, number)
            training.act(number)
    torch.testing.assert_close(recorded.net.layer.weight, plain.net.layer.weight)
    return recorded
