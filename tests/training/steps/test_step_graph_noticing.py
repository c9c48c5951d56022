"""A recorded step trains as a plain one does, whatever changes under it: tensors, attributes, the optimizer's state.

Each of these trained wrongly, and without a word, while a graph was replayed as it had been recorded.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autotune.events import Scalar
from autotune.training.batches import Batch
from tests.training.steps.rerun import ADAM, Net, Rerun, Training, batch_of, train_both

PLAIN_SGD: dict[str, Scalar] = {"optimizer": "sgd", "momentum": 0.0, "lr": 0.125}


class Averaging(Net):
    """Its buffer is another tensor after each forward pass, as the cluster sizes of many a VQ-VAE are."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.ones(()))
        self.average: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = super().forward(inputs)
        self.average = self.average * 0.5 + outputs.detach().mean()
        return outputs * (1 + self.average)


class Following(Net):
    """A second layer follows the first by ``data``, as the teacher of MoCo or BYOL does."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Linear(3, 2).requires_grad_(requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        self.teacher.weight.data = self.teacher.weight.data * 0.5 + self.layer.weight.data * 0.5
        outputs: Tensor = super().forward(inputs) - self.teacher(inputs)
        return outputs


class OfAverages(Training):
    def make_net(self) -> Net:
        return Averaging()


class OfFollowers(Training):
    def make_net(self) -> Net:
        return Following()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(OfAverages, "Averaging.average"), (OfFollowers, "Linear teacher.weight")],
    ids=["a buffer", "by data"],
)
def test_a_step_that_puts_another_tensor_in_the_place_of_one_is_not_recorded(kind: type[Training], name: str) -> None:
    recorded = train_both(kind=kind, num_steps=10)
    assert recorded.recorder.num_recorded == 0
    [reason] = recorded.refusals
    assert reason == f"cuda_graph: a step must change nothing on the host, got another {name} after it; leave it off"


class Weighing(Training):
    """The loss has weights, which the loop replaces after its sixth step."""

    weights: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.weights = torch.ones(2)

    def loss(self, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1], weight=self.weights)

    def act(self, number: int) -> None:
        if number == 6:
            self.weights = torch.tensor([1.0, 5.0])


def test_a_tensor_that_a_loop_puts_in_the_place_of_one_is_trained_with_from_the_next_step_on() -> None:
    recorded = train_both(kind=Weighing, num_steps=16)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (4, [])


class Annealing(Training):
    """A number of the model is another one after each step."""

    def act(self, number: int) -> None:
        self.net.scale = 1.0 / (number + 1)


def test_a_number_that_a_loop_sets_after_each_step_is_trained_with_kernel_by_kernel() -> None:
    recorded = train_both(kind=Annealing, num_steps=12)
    assert recorded.recorder.num_replayed == 0
    [reason] = recorded.refusals
    assert "what a step finds on the host must stay for 20 steps, got another Net.scale after" in reason


class Mixing(Training):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.generator = np.random.default_rng(0)

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * self.generator.beta(0.2, 0.2)


def test_a_step_that_draws_from_a_generator_of_its_own_is_not_recorded() -> None:
    recorded = train_both(kind=Mixing)
    assert recorded.recorder.num_recorded == 0
    [reason] = recorded.refusals
    assert "random numbers on the device, got some of the host's (Mixing.generator)" in reason


def at(when: int, do: Callable[[Optimizer], object]) -> Callable[[Optimizer, int], None]:
    def act(optimizer: Optimizer, number: int) -> None:
        if number == when:
            do(optimizer)

    return act


def add_group(optimizer: Optimizer) -> None:
    added = optimizer.param_groups[0]["params"].pop()
    optimizer.state.pop(added, None)
    optimizer.add_param_group({"params": [added], "lr": 0.5})


def set_momentum(optimizer: Optimizer) -> None:
    optimizer.param_groups[0]["momentum"] = 0.9


CHANGES: dict[str, tuple[Callable[[Optimizer], object], Mapping[str, Scalar] | None]] = {
    "momentum": (set_momentum, PLAIN_SGD),
    "a group of SGD": (add_group, None),
    "a group of Adam": (add_group, ADAM),
    "a state that was cleared of SGD": (lambda optimizer: optimizer.state.clear(), None),
    "a state that was cleared of Adam": (lambda optimizer: optimizer.state.clear(), ADAM),
}


@pytest.mark.parametrize(("change", "parameters"), CHANGES.values(), ids=CHANGES)
def test_what_the_optimizer_keeps_for_a_change_is_made_before_it_is_recorded(
    change: Callable[[Optimizer], object], parameters: Mapping[str, Scalar] | None
) -> None:
    recorded = train_both(at(6, change), parameters=parameters, num_steps=16)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (4, [])


class Unfreezing(Training):
    """The optimizer has all parameters from the start, and one of them is frozen for seven steps."""

    def make_net(self) -> Net:
        net = Net()
        net.layer.bias.requires_grad = False
        return net

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if len(self.optimizer.param_groups[0]["params"]) == 1:
            self.optimizer.param_groups[0]["params"].append(self.net.layer.bias)

    def act(self, number: int) -> None:
        if number == 6:
            self.net.layer.bias.requires_grad = True


@pytest.mark.parametrize("parameters", [PLAIN_SGD, ADAM], ids=["sgd", "adam"])
def test_a_parameter_that_is_unfrozen_is_trained_from_the_next_step_on(parameters: Mapping[str, Scalar]) -> None:
    recorded = train_both(kind=Unfreezing, parameters=parameters, num_steps=16)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (4, [])


def test_a_parameter_that_is_unfrozen_beside_others_with_momentum_is_trained_as_by_a_loop_over_tensors() -> None:
    """The fused kernel by itself refuses a group of which some parameters have no momentum yet."""
    plain = Unfreezing({"optimizer": "sgd", "momentum": 0.5, "lr": 0.125, "optimizer_impl": "for_loop"})
    recorded = Unfreezing()
    for number in range(16):
        torch.testing.assert_close(recorded.step(batch_of(4, number=number)), plain.plain(batch_of(4, number=number)))
        plain.act(number)
        recorded.act(number)
    torch.testing.assert_close(recorded.net.layer.bias, plain.net.layer.bias)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (2, [])


class Sharing(Training):
    """Two groups were given one tensor for their learning rates."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        [group] = self.optimizer.param_groups
        group["lr"] = torch.tensor(0.125)
        added = group["params"].pop()
        self.optimizer.add_param_group({"params": [added], "lr": group["lr"]})


def test_the_learning_rate_of_one_group_is_not_that_of_another_with_which_it_shared_a_tensor() -> None:
    def act(optimizer: Optimizer, number: int) -> None:
        optimizer.param_groups[1]["lr"] = 0.25 / (number + 1)

    recorded = train_both(act, kind=Sharing, num_steps=12)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (2, [])
    torch.testing.assert_close(float(recorded.optimizer.param_groups[0]["lr"]), 0.125)


class CountsOnce(Rerun):
    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        assert isinstance(self.model, Net)
        self.model.counts = True
        recorded = super().record(step)
        self.model.counts = False
        return recorded


def test_a_step_that_changes_something_while_it_is_recorded_is_replayed_once() -> None:
    plain, recorded = Training(), Training(recorder=CountsOnce())
    for number in range(3):
        expected = plain.plain(batch_of(4, number=number))
        torch.testing.assert_close(recorded.step(batch_of(4, number=number)), expected)
    assert recorded.step.will_record
    recorded.step(batch_of(4))
    assert (recorded.recorder.num_recorded, recorded.recorder.num_replayed, recorded.recorder.num_eager) == (1, 1, 3)


class Dropping(Training):
    def make_net(self) -> Net:
        net = super().make_net()
        net.drop = nn.Dropout(0.0)
        return net


def test_an_attribute_of_a_torch_module_counts_after_five_hundred_steps_at_the_latest() -> None:
    training = Dropping()
    for _ in range(4):
        training.step(batch_of(4))
    training.net.drop.p = 0.5  # type: ignore[union-attr]
    for _ in range(500):
        training.step(batch_of(4))
    assert (training.recorder.num_recorded, training.refusals) == (2, [])
