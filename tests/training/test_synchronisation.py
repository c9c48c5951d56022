"""Nothing in a step waits for the device: what would is counted, on any device."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from autotune.events import Outcome, Scalar
from autotune.training.process.run import run_trial
from autotune.training.steps.stepping import Stepper
from tests.training.tasks import Points
from tests.training.trials import Recorder, loaded, order, train

# Adam's step counts stand on the CPU wherever its parameters are: reading them waits for no device.
SGD: dict[str, Scalar] = {"optimizer": "sgd", "momentum": 0.9}
LOOK_SECONDS = "autotune.training.reporting.divergence._LOOK_SECONDS"

WAITING = {getattr(torch.ops.aten, name).default for name in ("_local_scalar_dense", "nonzero")}


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what brings a value from the device to Python: ``item``, ``float``, ``bool`` and ``tolist`` alike."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in WAITING:
            self.count += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Waits]:
    with Waits() as waits:
        yield waits


def test_counter_sees_what_waits() -> None:
    with counted() as waits:
        value = torch.ones(()) + 1
        assert waits.count == 0
        _ = value.item(), float(value), bool(value > 0)
        assert waits.count == 3


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"nesterov": True},
        {"optimizer": "adam", "optimizer_impl": "fused"},
        {"optimizer_impl": "foreach"},
        {"gradient_clip": 0.5},
        {"accumulate": 4},
        {"accumulate": "auto"},
        {"schedule": "one_cycle", "warmup": 0.1},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_number_of_waits_does_not_grow_with_the_steps_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Scalar]
) -> None:
    monkeypatch.setattr(LOOK_SECONDS, 1e9)  # the look at the loss is by the clock: once, at the first step
    counts = []
    for batch_size in (8, 16):  # six steps an epoch, and three
        with counted() as waits:
            trained = train(Points(), tmp_path / str(batch_size), SGD | knobs | {"batch_size": batch_size})
        assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
        counts.append(waits.count)
    assert counts[0] == counts[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")  # says torch, once
@pytest.mark.parametrize("knobs", [{}, {"gradient_clip": 0.5}, {"accumulate": 4}, {"precision": "bf16"}], ids=str)
def test_no_step_synchronises_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Scalar]) -> None:
    monkeypatch.setattr(LOOK_SECONDS, 1e9)
    step = Stepper.step
    seen = []

    def strict_from_the_second_on(self: Stepper, optimizer: torch.optim.Optimizer) -> None:
        step(self, optimizer)
        seen.append(1)
        torch.cuda.set_sync_debug_mode("error" if 1 < len(seen) < 6 else "default")

    monkeypatch.setattr(Stepper, "step", strict_from_the_second_on)
    parameters: dict[str, Scalar] = {"batch_size": 8, "pin_memory": True} | knobs
    trial_order = order(tmp_path, parameters, epochs=1).model_copy(update={"device": "cuda"})
    finished = run_trial(trial_order, task=loaded(Points()), channel=Recorder())
    torch.cuda.set_sync_debug_mode("default")
    assert len(seen) == 6, finished
    assert finished.outcome is Outcome.COMPLETE, finished


def test_evaluation_waits_once_a_metric(tmp_path: Path) -> None:
    counts = []
    for size in (2, 5, 10):  # five validation batches, two, one
        with counted() as waits:
            train(Points(), tmp_path / str(size), {"batch_size": 42, "validation_batch_size": size}, epochs=1)
        counts.append(waits.count)
    assert len(set(counts)) == 1


def test_counter_sees_a_task_that_waits_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting(Points):
        def loss(self, outputs: Any, targets: Any) -> Tensor:
            loss = super().loss(outputs, targets)
            self.last = loss.item()
            return loss

    monkeypatch.setattr(LOOK_SECONDS, 1e9)
    counts = []
    for batch_size in (8, 16):
        with counted() as waits:
            parameters = SGD | {"batch_size": batch_size, "validation_batch_size": 10}
            train(Waiting(), tmp_path / str(batch_size), parameters)
        counts.append(waits.count)
    assert counts[0] - counts[1] == 9  # three epochs of three steps more
