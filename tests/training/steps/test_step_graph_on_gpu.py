"""A training whose step is one CUDA graph, beside the same training launched kernel by kernel."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset, TensorDataset

from autotune.events import Adjusted, Outcome, Scalar
from autotune.spec.optimizers import OPTIMIZERS
from autotune.training import Task
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters
from autotune.training.process.run import run_trial
from autotune.training.steps.host_state import HostState
from autotune.training.steps.recorder import CudaRecorder
from autotune.training.steps.settings import make_recordable
from autotune.training.steps.step_graph import Step, StepGraph
from tests.training.trials import Recorder, Trained, is_same_weights, loaded, order

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]


class Pictures(Task):
    """70 samples: the last of an epoch's batches of 16 is a smaller one."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(0)
        return TensorDataset(torch.randn(70, 3, 8, 8, generator=generator), torch.arange(70) % 2)

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return self.train_data(params)

    def model(self, params: Parameters) -> nn.Module:
        layers = (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
        return nn.Sequential(*layers[:-1], nn.Dropout(params.get("dropout", 0.0)), layers[-1])


class Waiting(Pictures):
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = super().loss(outputs, targets)
        return loss * (1.0 if loss.item() > 0 else 2.0)


class Counting(Pictures):
    num_losses = 0

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.num_losses += 1
        return super().loss(outputs, targets)


class Drawing(Pictures):
    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, targets = batch
        return model(inputs + random.random()), targets


def train(
    folder: Path,
    knobs: Mapping[str, Scalar] | None = None,
    *,
    task: Task | None = None,
    channel: Recorder | None = None,
) -> Trained:
    channel = channel or Recorder()
    parameters = {"batch_size": 16, "lr": 0.01, "cudnn_deterministic": True, **(knobs or {})}
    trial_order = order(folder, parameters, epochs=4).model_copy(update={"device": "cuda:0"})
    return Trained(run_trial(trial_order, task=loaded(task or Pictures()), channel=channel), channel, folder)


def assert_close(first: Trained, second: Trained) -> None:
    assert first.finished.outcome is second.finished.outcome is Outcome.COMPLETE, (first.finished, second.finished)
    for name, weight in first.weights.items():
        torch.testing.assert_close(second.weights[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in {"muon", "sparse_adam"}])
def test_a_recorded_training_learns_as_a_plain_one(tmp_path: Path, name: str) -> None:
    knobs: dict[str, Scalar] = {"optimizer": name, "schedule": "cosine", "gradient_clip": 1.0}
    plain = train(tmp_path / "plain", knobs)
    recorded = train(tmp_path / "recorded", {**knobs, "cuda_graph": True})
    assert_close(plain, recorded)
    assert recorded.metrics[-1]["val_loss"] == pytest.approx(plain.metrics[-1]["val_loss"], rel=1e-2)
    assert recorded.started.in_force["cuda_graph"] is (name not in {"adagrad", "adafactor"})


@pytest.mark.parametrize(
    "knobs",
    [
        {"optimizer_impl": "fused"},
        {"optimizer_impl": "foreach"},
        {"optimizer_impl": "for_loop"},
        {"precision": "bf16"},
        {"compile": "default"},
        {"accumulate": 2},
        {"channels_last": True},
        {"num_workers": 1, "pin_memory": True, "device_prefetch": True},
        {"cache": "device"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings(
    "ignore::UserWarning:torch._inductor", "ignore::DeprecationWarning:torch.jit"
)  # of compiling
def test_a_recorded_step_goes_with_other_knobs(tmp_path: Path, knobs: dict[str, Scalar]) -> None:
    plain = train(tmp_path / "plain", {"optimizer": "adamw", **knobs})
    recorded = train(tmp_path / "recorded", {"optimizer": "adamw", "cuda_graph": True, **knobs})
    assert recorded.started.in_force["cuda_graph"] is True
    assert recorded.finished.outcome is Outcome.COMPLETE, recorded.finished
    assert recorded.metrics[-1]["val_loss"] == pytest.approx(plain.metrics[-1]["val_loss"], rel=0.05, abs=0.01)


@pytest.mark.parametrize("knobs", [{"precision": "fp16"}, {"accumulate": "auto"}], ids=str)
def test_what_asks_the_device_in_a_step_is_not_recorded(tmp_path: Path, knobs: dict[str, Scalar]) -> None:
    trained = train(tmp_path, {"cuda_graph": True, **knobs})
    assert trained.finished.outcome is Outcome.COMPLETE
    assert trained.started.in_force["cuda_graph"] is False


def test_dropout_draws_anew_at_each_replay(tmp_path: Path) -> None:
    trained = train(tmp_path, {"cuda_graph": True, "dropout": 0.5, "lr": 0.0, "optimizer": "sgd"})
    losses = [metrics["train_loss"] for metrics in trained.metrics]
    assert len(set(losses)) == len(losses)


def test_a_recorded_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    knobs: dict[str, Scalar] = {"cuda_graph": True, "optimizer": "adamw", "schedule": "cosine"}
    whole = train(tmp_path / "whole", knobs)
    train(tmp_path / "parts", knobs, channel=Recorder(stop_after=12))
    rest = train(tmp_path / "parts", knobs)
    assert_close(whole, rest)
    assert [report.epoch for report in rest.reports] == [1, 2, 3, 4]
    assert rest.reports[-1].lr == pytest.approx(whole.reports[-1].lr)


def test_the_same_recorded_training_twice_is_the_same(tmp_path: Path) -> None:
    knobs: dict[str, Scalar] = {"cuda_graph": True, "dropout": 0.5}
    assert is_same_weights(train(tmp_path / "first", knobs), train(tmp_path / "second", knobs))


def one_cycle(optimizer: Optimizer, **options: Any) -> Callable[[], None]:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=40, **options).step


def by_hand(optimizer: Optimizer, name: str, values: Iterable[float]) -> Callable[[], None]:
    coming = iter(values)

    def act() -> None:
        optimizer.param_groups[0][name] = next(coming)

    return act


SETTING: dict[str, tuple[Callable[[Optimizer], Callable[[], None]], int]] = {
    "lr by hand": (lambda optimizer: by_hand(optimizer, "lr", [0.1 / n for n in range(1, 13)]), 0),
    "lr by schedule": (lambda optimizer: one_cycle(optimizer, cycle_momentum=False), 0),
    "lr and momentum by schedule": (one_cycle, 1),
    "weight decay once": (lambda optimizer: by_hand(optimizer, "weight_decay", [0.0] * 6 + [0.5] * 6), 0),
}


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize(("setting", "num_refusals"), SETTING.values(), ids=SETTING)
def test_what_is_set_in_the_optimizer_holds_for_a_recorded_step(
    setting: Callable[[Optimizer], Callable[[], None]], num_refusals: int, optimizer_class: Any
) -> None:
    refusals: list[str] = []
    weights = []
    for is_recorded in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(3, 2, device="cuda")
        more = {"momentum": 0.9} if optimizer_class is torch.optim.SGD else {}
        optimizer = optimizer_class(model.parameters(), lr=0.05, weight_decay=0.0, fused=True, **more)
        step = step_of(model, optimizer)
        if is_recorded:
            make_recordable(optimizer)
            step = StepGraph(
                step,
                optimizer=optimizer,
                host=HostState(model, step),
                recorder=CudaRecorder(),
                on_refusal=refusals.append,
            )
        act = setting(optimizer)
        for number in range(12):
            step(torch.full((4, 3), 1.0 + number, device="cuda"))
            act()
        weights.append(model.weight)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)
    assert len(refusals) == num_refusals


def step_of(model: nn.Module, optimizer: Optimizer) -> Step:
    def step(batch: Tensor) -> Tensor:
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found: Tensor = loss.detach()
        return found

    return step


def train_twice(make: Callable[[], nn.Module], act: Callable[[nn.Module, Optimizer, int], None]) -> list[str]:
    """Twelve steps of SGD, launched kernel by kernel and recorded, come to the same; why nothing was recorded."""
    refusals: list[str] = []
    weights = []
    for is_recorded in (False, True):
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001, fused=True)
        step = step_of(model, optimizer)
        if is_recorded:
            make_recordable(optimizer)
            host, recorder = HostState(model, step), CudaRecorder()
            step = StepGraph(step, optimizer=optimizer, host=host, recorder=recorder, on_refusal=refusals.append)
        for number in range(12):
            step(torch.full((4, 3), 1.0 + 0.1 * number, device="cuda"))
            torch.full((2, 3), 7.0, device="cuda")  # takes memory that was freed
            act(model, optimizer, number)
        weights.append([parameter.detach() for parameter in model.parameters()])
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)
    return refusals


def linear() -> nn.Module:
    return nn.Linear(3, 2, device="cuda")


def test_a_momentum_that_is_set_once_is_trained_with() -> None:
    """Its buffers, made while a step was recorded, were overwritten by the gradient at each replay."""

    def act(_: nn.Module, optimizer: Optimizer, number: int) -> None:
        if number == 5:
            optimizer.param_groups[0]["momentum"] = 0.9

    assert train_twice(linear, act) == []


def test_a_parameter_that_is_unfrozen_is_trained() -> None:
    def half_frozen() -> nn.Module:
        model = nn.Linear(3, 2, device="cuda")
        model.bias.requires_grad = False
        return model

    def act(model: nn.Module, _: Optimizer, number: int) -> None:
        if number == 5:
            model.requires_grad_(requires_grad=True)

    assert train_twice(half_frozen, act) == []


def test_a_tensor_that_a_loop_replaces_is_read_where_it_is() -> None:
    def act(model: nn.Module, _: Optimizer, number: int) -> None:
        if number == 5:
            for parameter in model.parameters():
                parameter.data = parameter.data * 0.5

    assert train_twice(linear, act) == []


class Averaging(nn.Module):
    """Its buffer is another tensor after each forward pass."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2, device="cuda")
        self.register_buffer("average", torch.ones((), device="cuda"))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs)
        self.average = self.average * 0.5 + outputs.detach().mean()
        return outputs * (1 + self.average)


def test_a_buffer_that_the_step_replaces_is_trained_with_kernel_by_kernel() -> None:
    """A graph would read the memory of the one that was there first, which is freed."""
    [reason] = train_twice(Averaging, lambda *_: None)
    assert "must change nothing on the host, got another Averaging.average" in reason


def record_twice() -> list[float]:
    """The losses of a step that is recorded, forgotten for a loaded state, and recorded again."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2, device="cuda")
    optimizer = torch.optim.Adam(model.parameters())
    make_recordable(optimizer)
    step = step_of(model, optimizer)
    graph = StepGraph(step, optimizer=optimizer, host=HostState(model, step), recorder=CudaRecorder(), on_refusal=print)
    batch = torch.ones(4, 3, device="cuda")
    losses = []
    for _ in range(3):
        losses += [float(graph(batch)) for _ in range(5)]
        assert not graph.will_record
        optimizer.load_state_dict(optimizer.state_dict())
        assert graph.will_record
    return losses


def fail_to_record(folder: str) -> str | None:
    """Why a training whose step waits for the device ends."""
    return train(Path(folder), {"cuda_graph": True}, task=Waiting()).finished.reason


def run_apart(call: str, **environment: str) -> Any:
    """In a process of its own: one whose recording failed can't go on, and allocators are chosen at the start."""
    script = f"import json; from {__name__} import *; print(json.dumps({call}))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("allocator", ["backend:native", "expandable_segments:True", "backend:cudaMallocAsync"])
def test_a_step_is_recorded_anew_under_every_allocator(allocator: str) -> None:
    losses = run_apart("record_twice()", PYTORCH_ALLOC_CONF=allocator)
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == len(losses)


def test_a_step_that_waits_for_the_device_is_infeasible(tmp_path: Path) -> None:
    reason = run_apart(f"fail_to_record({str(tmp_path)!r})")
    assert reason.startswith("InfeasibleError: cuda_graph: the step must not wait for the device")


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (Counting(), "must change nothing on the host, got another Counting.num_losses"),
        (Drawing(), "must draw its random numbers on the device"),
    ],
    ids=["counts on the host", "draws on the host"],
)
def test_a_step_that_a_graph_would_not_repeat_is_launched_kernel_by_kernel(
    tmp_path: Path, task: Task, rule: str
) -> None:
    trained = train(tmp_path, {"cuda_graph": True}, task=task)
    assert trained.finished.outcome is Outcome.COMPLETE
    [adjusted] = [event for event in trained.channel.events if isinstance(event, Adjusted)]
    assert rule in adjusted.reason
    assert adjusted.in_force["cuda_graph"] is False
