from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from autotune.events import Outcome, Scalar
from autotune.speed.knobs import KNOBS
from autotune.training.parameters import Parameters
from tests.training.tasks import Points
from tests.training.trials import Trained, train

NEEDS_CUDA = {"pin_memory", "cudnn_benchmark", "cudnn_deterministic"}


class Pictures(Points):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(0)
        return TensorDataset(torch.randn(16, 2, 6, 6, generator=generator), torch.arange(16) % 2)

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return self.train_data(params)

    def model(self, params: Parameters) -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


def in_force(tmp_path: Path, **knobs: Scalar) -> dict[str, Scalar]:
    return trained_with(tmp_path, **knobs).started.in_force


def trained_with(tmp_path: Path, **knobs: Scalar) -> Trained:
    trained = train(Pictures(), tmp_path, knobs | {"batch_size": 8, "lr": 0.01}, epochs=1)
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    assert trained.finished.unread_parameters == ()
    return trained


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("torch_threads", 2),
        ("float32_matmul_precision", "medium"),
        ("precision", "fp32"),
        ("precision", "bf16"),
        ("precision", "fp16"),
        ("channels_last", True),
        ("channels_last", False),
        ("optimizer_impl", "for_loop"),
        ("optimizer_impl", "foreach"),
        ("optimizer_impl", "fused"),
        ("accumulate", 4),
        ("num_workers", 1),
        ("compile", "off"),
    ],
)
def test_knob_is_in_force_as_asked(tmp_path: Path, knob: str, value: Scalar) -> None:
    assert in_force(tmp_path, **{knob: value})[knob] == value


def test_loader_knobs_are_in_force_together(tmp_path: Path) -> None:
    knobs: dict[str, Scalar] = {"num_workers": 1, "prefetch_factor": 3, "persistent_workers": True}
    assert in_force(tmp_path, **knobs).items() >= knobs.items()


def test_every_knob_that_holds_on_a_cpu_is_told_without_being_asked_for(tmp_path: Path) -> None:
    told = in_force(tmp_path, num_workers=1).keys()
    assert KNOBS.keys() - told == NEEDS_CUDA - told


def test_pinned_memory_is_not_in_force_on_a_cpu(tmp_path: Path) -> None:
    assert in_force(tmp_path, pin_memory=True)["pin_memory"] is False


def test_bf16_runs_the_model_in_bf16(tmp_path: Path) -> None:
    seen = []

    class Looking(Pictures):
        def loss(self, outputs: Any, targets: Any) -> Tensor:
            seen.append(outputs.dtype)
            return super().loss(outputs, targets)

    train(Looking(), tmp_path, {"precision": "bf16"}, epochs=1)
    assert set(seen) == {torch.bfloat16}


def test_channels_last_reaches_weights_and_batches(tmp_path: Path) -> None:
    seen = []

    class Looking(Pictures):
        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            seen.append(batch[0].is_contiguous(memory_format=torch.channels_last))
            return super().forward(model, batch)

    train(Looking(), tmp_path, {"channels_last": True, "num_workers": 1}, epochs=1)
    assert set(seen) == {True}


@pytest.mark.parametrize(("knob", "value"), [("precision", "fp8"), ("precision", "bf61")])
def test_unknown_precision_fails_in_one_line(tmp_path: Path, knob: str, value: str) -> None:
    finished = train(Pictures(), tmp_path, {knob: value}).finished
    assert finished.reason == f"TaskError: precision: must be one of fp32, bf16, fp16, got '{value}'"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inductor's own, when it is imported
def test_compiled_model_trains_and_its_checkpoint_keeps_the_plain_names(tmp_path: Path) -> None:
    plain = trained_with(tmp_path / "plain")
    compiled = trained_with(tmp_path / "compiled", compile="default")
    assert compiled.started.in_force["compile"] == "default"
    assert compiled.weights.keys() == plain.weights.keys()
    for name, weight in plain.weights.items():
        torch.testing.assert_close(compiled.weights[name], weight, rtol=1e-3, atol=1e-4)
