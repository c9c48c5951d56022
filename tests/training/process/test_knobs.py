from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.backends.cuda import enable_cudnn_sdp, enable_flash_sdp, enable_math_sdp, enable_mem_efficient_sdp
from torch.utils.data import Dataset, TensorDataset

from autotune.events import Outcome, Scalar, Started
from autotune.speed.knobs import KNOBS
from autotune.training.parameters import Parameters
from autotune.training.process.loading import load_task
from autotune.training.process.run import run_trial
from autotune.training.steps.models import model_knobs_in_force, prepare_model
from tests.training.tasks import Points
from tests.training.trials import Recorder, Trained, is_same_weights, loaded, order, train

NEEDS_CUDA = {"cudnn_benchmark", "cudnn_benchmark_limit", "cudnn_deterministic", "cuda_allocator"}
NEEDS_DEVICES = {"ddp_bucket_cap_mb", "ddp_gradient_as_bucket_view", "ddp_static_graph"}


@pytest.fixture(autouse=True)
def restored_process_knobs() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    onednn: Any = torch.backends.mkldnn  # torch's stubs do not know its parts
    for place in (onednn.conv, onednn.rnn):
        place.fp32_precision = "none"
    for allow in (enable_math_sdp, enable_flash_sdp, enable_mem_efficient_sdp, enable_cudnn_sdp):
        allow(enabled=True)


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
        ("fp32_precision_matmul", "ieee"),
        ("fp32_precision_matmul", "bf16"),
        ("fp32_precision_conv", "bf16"),
        ("fp32_precision_rnn", "tf32"),
        ("sdpa_backend", "auto"),
        ("sdpa_backend", "math"),
        ("sdpa_backend", "flash"),
        ("precision", "fp32"),
        ("precision", "bf16"),
        ("precision", "fp16"),
        ("channels_last", True),
        ("channels_last", False),
        ("optimizer_impl", "for_loop"),
        ("optimizer_impl", "foreach"),
        ("optimizer_impl", "fused"),
        ("accumulate", 4),
        ("validation_batch_size", 5),
        ("num_workers", 1),
        ("cache", "off"),
        ("cache", "memory"),
        ("compile", "off"),
    ],
)
def test_knob_is_in_force_as_asked(tmp_path: Path, knob: str, value: Scalar) -> None:
    assert in_force(tmp_path, **{knob: value})[knob] == value


def test_loader_knobs_are_in_force_together(tmp_path: Path) -> None:
    knobs: dict[str, Scalar] = {
        "num_workers": 1,
        "prefetch_factor": 3,
        "persistent_workers": True,
        "in_order": False,
        "worker_start_method": "forkserver",
    }
    assert in_force(tmp_path, **knobs).items() >= knobs.items()


OWN_CLASSES = """
import torch
from torch import nn
from torch.utils.data import Dataset
from autotune.training import Task

class Numbers(Dataset):
    def __len__(self):
        return 16
    def __getitem__(self, index):
        return torch.full((4,), index / 16), index % 2

class Own(Task):
    def train_data(self, params):
        return Numbers()
    def validation_data(self, params):
        return Numbers()
    def model(self, params):
        return nn.Linear(4, 2)
    def collate(self, samples):
        return torch.stack([x for x, _ in samples]), torch.tensor([y for _, y in samples])
"""


@pytest.mark.slow
def test_workers_may_be_new_interpreters_that_know_the_classes_of_the_tasks_file(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_CLASSES)
    task = load_task(f"{tmp_path / 'own.py'}:Own").target
    plain = train(task, tmp_path / "plain", epochs=1)
    spawned = train(task, tmp_path / "spawned", {"num_workers": 1, "worker_start_method": "spawn"}, epochs=1)
    assert spawned.finished.outcome is Outcome.COMPLETE, spawned.finished
    assert spawned.started.in_force["worker_start_method"] == "spawn"
    assert is_same_weights(spawned, plain)


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_old_and_new_names_of_the_precision_of_products_agree(tmp_path: Path, precision: str) -> None:
    in_force(tmp_path, fp32_precision_matmul=precision)
    assert torch.backends.cuda.matmul.allow_tf32 is (precision != "ieee")
    expected = {"ieee": "highest", "tf32": "high", "bf16": "medium"}[precision]
    assert torch.get_float32_matmul_precision() == expected


def test_a_task_that_sets_a_precision_of_its_own_keeps_the_trial_alive(tmp_path: Path) -> None:
    class Setting(Pictures):
        def model(self, params: Parameters) -> nn.Module:
            torch.backends.cuda.matmul.fp32_precision = "tf32"
            return super().model(params)

    told = train(Setting(), tmp_path, {"lr": 0.01}, epochs=1).started.in_force
    assert told["float32_matmul_precision"] is None
    assert told["fp32_precision_matmul"] == "ieee"  # of the CPU, where it trains


def test_channels_last_is_told_of_convolutions_whatever_other_parameters_have_four_dimensions() -> None:
    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.zeros(1, 4, 4, 4))
            self.conv = nn.Conv2d(2, 4, 3)

    model = prepare_model(Placed(), device=torch.device("cpu"), channels_last=True)
    assert model_knobs_in_force(model, compile_mode="off")["channels_last"] is True


def test_channels_last_3d_reaches_weights_and_batches(tmp_path: Path) -> None:
    seen = []

    class Volumes(Points):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            return TensorDataset(torch.randn(8, 2, 4, 4, 4), torch.arange(8) % 2)

        def validation_data(self, params: Parameters) -> Dataset[Any]:
            return self.train_data(params)

        def model(self, params: Parameters) -> nn.Module:
            return nn.Sequential(nn.Conv3d(2, 3, 3), nn.Flatten(), nn.Linear(24, 2))

        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            seen.append(batch[0].is_contiguous(memory_format=torch.channels_last_3d))
            return super().forward(model, batch)

    trained = train(Volumes(), tmp_path, {"channels_last_3d": True, "lr": 0.01}, epochs=1)
    assert trained.started.in_force["channels_last_3d"] is True
    assert set(seen) == {True}


def test_attention_runs_where_its_backend_can_and_nowhere_else(tmp_path: Path) -> None:
    in_force(tmp_path, sdpa_backend="cudnn")
    query = torch.randn(1, 1, 4, 8)
    with pytest.raises(RuntimeError, match=r"No viable backend|No available kernel"):
        nn.functional.scaled_dot_product_attention(query, query, query)


def test_unknown_attention_fails_in_one_line(tmp_path: Path) -> None:
    finished = train(Pictures(), tmp_path, {"sdpa_backend": "fast"}).finished
    assert (
        finished.reason == "TaskError: sdpa_backend: must be one of auto, math, flash, mem_efficient, cudnn, got 'fast'"
    )


def test_every_knob_that_holds_on_a_cpu_is_told_without_being_asked_for(tmp_path: Path) -> None:
    told = in_force(tmp_path, num_workers=1).keys()
    assert KNOBS.keys() - told == (NEEDS_CUDA | NEEDS_DEVICES) - told


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
def test_model_of_a_class_of_torchs_own_is_compiled() -> None:
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    model = prepare_model(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), device=torch.device("cpu"), compile_mode="default")
    for _ in range(2):
        model(torch.zeros(3, 4))
    assert counters["stats"]["unique_graphs"] == before + 1
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inductor's own, when it is imported
def test_compiled_model_trains_and_its_checkpoint_keeps_the_plain_names(tmp_path: Path) -> None:
    plain = trained_with(tmp_path / "plain")
    compiled = trained_with(tmp_path / "compiled", compile="default")
    assert compiled.started.in_force["compile"] == "default"
    assert compiled.weights.keys() == plain.weights.keys()
    # Not the weights: the bias ahead of a BatchNorm has a gradient of rounding errors alone, which Adam makes steps of.
    for one, other in zip(compiled.metrics, plain.metrics, strict=True):
        assert one == pytest.approx(other, rel=1e-2)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_metrics_do_not_depend_on_the_size_of_a_validation_batch(tmp_path: Path, size: int) -> None:
    plain = trained_with(tmp_path / "plain")
    sized = trained_with(tmp_path / "sized", validation_batch_size=size)
    assert plain.started.in_force["validation_batch_size"] == 8
    assert sized.metrics[0] == pytest.approx(plain.metrics[0], rel=1e-6)
    assert is_same_weights(sized, plain)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_validation_batch_is_larger_on_a_gpu_where_nobody_sets_it(tmp_path: Path) -> None:
    trial_order = order(tmp_path, {"batch_size": 8}, epochs=1).model_copy(update={"device": "cuda"})
    channel = Recorder()
    run_trial(trial_order, task=loaded(Pictures()), channel=channel)
    assert channel.of(Started)[0].in_force["validation_batch_size"] == 32


def test_memory_formats_leave_parameters_of_another_rank_alone() -> None:
    model = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3)])
    prepared = prepare_model(model, device=torch.device("cpu"), channels_last=True, channels_last_3d=True)
    flat, volume = (next(module.parameters()) for module in prepared.children())
    assert flat.is_contiguous(memory_format=torch.channels_last)
    assert volume.is_contiguous(memory_format=torch.channels_last_3d)
