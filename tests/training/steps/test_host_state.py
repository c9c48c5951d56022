"""What is told of the host: which changes are seen, and by which names."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autotune.training.batches import Batch
from autotune.training.steps.host_state import HostState, SeenTensor, first_difference


class Task:
    """What a user's task may have in its attributes."""

    def __init__(self) -> None:
        self.scale = 1.0
        self.weights = torch.ones(2)
        self.criterion = nn.CrossEntropyLoss(torch.ones(2))
        self.queue = [torch.ones(2)]
        self.table = {"low": 0}
        self.bins = np.zeros(3)
        self.activation: Callable[[Tensor], Tensor] = nn.functional.relu

    def loss(self, batch: Batch) -> Tensor:
        return torch.as_tensor(batch)


def put(name: str, make: Callable[[Any], object]) -> Callable[[Task], None]:
    return lambda task: setattr(task, name, make(getattr(task, name)))


CHANGES: dict[str, Callable[[Task], object]] = {
    "Task.scale": put("scale", lambda _: 1),
    "Task.weights": put("weights", lambda weights: weights.clone()),
    "CrossEntropyLoss.weight": lambda task: setattr(task.criterion, "weight", torch.ones(2)),
    "Task.queue": lambda task: task.queue.append(torch.ones(2)),
    "Task.table": lambda task: task.table.update(low=1),
    "Task.bins": put("bins", lambda bins: bins + 1),
    "Task.activation": put("activation", lambda _: nn.functional.gelu),
    "Task.added": lambda task: setattr(task, "added", None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_in_a_task_is_named(name: str) -> None:
    task = Task()
    host = HostState(nn.Linear(3, 2), task.loss)
    before = host.read()
    assert first_difference(before, host.read()) is None
    CHANGES[name](task)
    assert first_difference(before, host.read()) == name


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda net: setattr(net, "0", nn.Linear(3, 2)), "Sequential.0"),
        (lambda net: net[0].bias.requires_grad_(requires_grad=False), "Linear 0.bias"),
        (lambda net: net.train(mode=False), "Sequential.training"),
        (lambda net: net[0].register_forward_hook(print), "Linear 0._forward_hooks"),
    ],
    ids=["module", "requires_grad", "mode", "hook"],
)
def test_what_changed_in_a_model_is_named(change: Callable[[nn.Module], object], name: str) -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    host = HostState(net, Task().loss)
    before = host.read()
    change(net)
    assert first_difference(before, host.read()) == name


def test_a_tensor_that_changed_in_its_place_is_the_same() -> None:
    tensor = torch.ones(2)
    seen = SeenTensor(tensor)
    tensor.add_(1)
    assert seen == SeenTensor(tensor)
    tensor.data = tensor.data * 2
    assert seen != SeenTensor(tensor)


def test_memory_of_a_tensor_that_was_seen_is_given_to_no_other() -> None:
    seen = [SeenTensor(torch.ones(1000)) for _ in range(20)]
    assert all(first != second for first in seen for second in seen if first is not second)


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(2).to_sparse(), torch.empty(2, device="meta"), torch.empty(0)],
    ids=["sparse", "meta", "empty"],
)
def test_a_tensor_without_an_address_is_known_by_itself(tensor: Tensor) -> None:
    assert SeenTensor(tensor) == SeenTensor(tensor)
    assert SeenTensor(tensor) != SeenTensor(tensor.clone())


def test_a_tensor_of_the_host_beside_a_model_on_a_device_counts_by_its_value() -> None:
    """A kernel is launched with the number that it holds."""
    task = Task()
    host = HostState(nn.Linear(3, 2, device="meta"), task.loss)
    before = host.read()
    task.weights.add_(1)
    assert first_difference(before, host.read()) == "Task.weights"


def test_a_tensor_of_the_host_that_holds_nan_is_as_it_was() -> None:
    """NaN is not equal to itself, and nothing was recorded beside one."""
    task = Task()
    task.weights.fill_(torch.nan)
    host = HostState(nn.Linear(3, 2, device="meta"), task.loss)
    assert first_difference(host.read(), host.read()) is None


def test_what_a_function_in_a_loss_was_bound_to_is_seen() -> None:
    weight = 1.0

    def weigh(value: Tensor) -> Tensor:
        return value * weight

    def loss(batch: Batch, *, wrapped: Callable[[Tensor], Tensor]) -> Tensor:
        return wrapped(weigh(batch))

    host = HostState(nn.Linear(3, 2), partial(loss, wrapped=torch.sin))
    before, glance = host.read(), host.glance()
    assert glance.is_same()
    weight = 2.0
    assert first_difference(before, host.read()) == "weigh.weight"
    assert not glance.is_same()


@pytest.mark.parametrize(
    ("generator", "draw"),
    [
        (np.random.default_rng(0), lambda generator: generator.random()),
        (np.random.Generator(np.random.MT19937(0)), lambda generator: generator.random()),
        (np.random.RandomState(0), lambda generator: generator.random()),
        (torch.Generator(), lambda generator: torch.rand((), generator=generator)),
    ],
    ids=["numpy", "numpy, an array of words", "numpy of old", "torch"],
)
def test_a_draw_from_a_generator_in_an_attribute_is_seen(generator: Any, draw: Callable[[Any], object]) -> None:
    task = SimpleNamespace(generator=generator)
    host = HostState(nn.Linear(3, 2), lambda batch: batch * draw(task.generator))
    before = host.read_generators()
    assert first_difference(before, host.read_generators()) is None
    draw(generator)
    assert first_difference(before, host.read_generators()) == "SimpleNamespace.generator"


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "weight", nn.Parameter(torch.ones(2, 3))),
        lambda net: setattr(net.weight, "data", torch.ones(2, 3)),
        lambda net: net.bias.requires_grad_(requires_grad=False),
        lambda net: net.register_parameter("more", nn.Parameter(torch.ones(2))),
    ],
    ids=["parameter", "data", "requires_grad", "one more"],
)
def test_another_tensor_of_a_module_is_seen_at_a_glance(change: Callable[[nn.Module], object]) -> None:
    net = nn.Linear(3, 2)
    glance = HostState(net, Task().loss).glance()
    assert glance.is_same()
    change(net)
    assert not glance.is_same()
