"""What only a CUDA device can show of a training: numbers, copies, memory, and what the driver tells."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from autotune.events import Outcome, Scalar
from autotune.hardware import TorchFacts
from autotune.speed.contestant.surroundings import read_counts
from autotune.training import Task
from autotune.training.batches import mover
from autotune.training.data.prefetch import copied_ahead
from autotune.training.machine.device import DeviceWatch, open_device, open_nvml
from autotune.training.machine.process_knobs import apply_process_knobs, process_knobs_in_force
from autotune.training.parameters import Parameters
from autotune.training.process.run import run_trial
from tests.training.trials import Recorder, Trained, loaded, order

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]


class Pictures(Task):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(0)
        return TensorDataset(torch.randn(64, 8, 12, 12, generator=generator), torch.arange(64) % 2)

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return self.train_data(params)

    def model(self, params: Parameters) -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(1600, 2))


@pytest.fixture
def device() -> torch.device:
    return open_device("cuda:0")


@pytest.fixture(autouse=True)
def _restored_flags() -> Iterator[None]:
    cudnn: Any = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.benchmark_limit, cudnn.deterministic
    yield
    cudnn.benchmark, cudnn.benchmark_limit, cudnn.deterministic = before
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32"
    torch.set_float32_matmul_precision("highest")
    for name in ("math", "flash", "mem_efficient", "cudnn"):
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(enabled=True)


def train_on_gpu(folder: Path, **knobs: Scalar) -> Trained:
    channel = Recorder()
    trial_order = order(folder, {"batch_size": 16, "lr": 0.01, **knobs}, epochs=2)
    trial_order = trial_order.model_copy(update={"device": "cuda:0"})
    trained = Trained(run_trial(trial_order, task=loaded(Pictures()), channel=channel), channel, folder)
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    return trained


def needs_ampere() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("needs compute capability 8.0")


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("fp32_precision_matmul", "ieee"),
        ("float32_matmul_precision", "high"),
        ("fp32_precision_conv", "tf32"),
        ("precision", "bf16"),
        ("precision", "fp16"),
        ("channels_last", True),
        ("optimizer_impl", "fused"),
        ("optimizer_impl", "for_loop"),
    ],
)
def test_knob_is_in_force_on_a_gpu(tmp_path: Path, knob: str, value: Scalar) -> None:
    needs_ampere()
    assert train_on_gpu(tmp_path, **{knob: value}).started.in_force[knob] == value


def test_optimizer_that_nobody_sets_is_told_as_torch_runs_it(tmp_path: Path) -> None:
    assert train_on_gpu(tmp_path).started.in_force["optimizer_impl"] == "foreach"


@pytest.mark.parametrize("knob", ["fp32_precision_matmul", "fp32_precision_conv"])
def test_tf32_rounds_and_ieee_does_not(device: torch.device, knob: str) -> None:
    needs_ampere()

    def compute() -> Tensor:
        torch.manual_seed(0)
        inputs = torch.randn(8, 64, 32, 32, device=device)
        if knob.endswith("conv"):
            return nn.functional.conv2d(inputs, torch.randn(64, 64, 3, 3, device=device))
        return inputs.view(-1, 1024) @ torch.randn(1024, 256, device=device)

    found = {}
    for precision in ("ieee", "tf32"):
        apply_process_knobs(Parameters({knob: precision}), cores=(), device=device)
        assert process_knobs_in_force(device)[knob] == precision
        found[precision] = compute()
    relative = ((found["tf32"] - found["ieee"]).abs().max() / found["ieee"].abs().max()).item()
    assert 1e-6 < relative < 1e-2


def test_gradients_of_fp16_are_scaled_and_the_weights_stay_finite(tmp_path: Path) -> None:
    trained = train_on_gpu(tmp_path, precision="fp16")
    assert all(bool(torch.isfinite(weight).all()) for weight in trained.weights.values())
    assert trained.metrics[-1]["val_loss"] == pytest.approx(
        train_on_gpu(tmp_path / "full").metrics[-1]["val_loss"], abs=0.2
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("is_there", [False, True], ids=["from the host", "made on the device"])
def test_batches_copied_ahead_are_the_batches(device: torch.device, *, channels_last: bool, is_there: bool) -> None:
    expected = [torch.full((16, 8, 64, 64), float(number)) for number in range(12)]
    work = torch.randn(2048, 2048, device=device)

    def batches() -> Iterator[Tensor]:
        for batch in expected:
            if is_there:
                for _ in range(5):  # what makes the batch comes late
                    _ = work @ work
                yield torch.zeros_like(batch, device=device) + float(batch[0, 0, 0, 0])
            else:
                yield batch.pin_memory()

    move = mover(device, channels_last=channels_last)
    assert move is not None
    sums = []
    for batch in copied_ahead(batches(), move, device=device):
        for _ in range(5):  # the step is long, and the copy of the next batch is over before it
            _ = work @ work
        sums.append(batch.mean())
        assert batch.is_contiguous(memory_format=torch.channels_last) is channels_last
        del batch
    assert torch.stack(sums).tolist() == list(range(12))


@pytest.mark.parametrize("knobs", [{}, {"channels_last": True}], ids=str)
def test_copies_ahead_change_no_weight(tmp_path: Path, knobs: dict[str, Scalar]) -> None:
    knobs = knobs | {"pin_memory": True, "cudnn_deterministic": True, "optimizer": "sgd"}
    plain = train_on_gpu(tmp_path / "plain", **knobs)
    ahead = train_on_gpu(tmp_path / "ahead", device_prefetch=True, **knobs)
    assert ahead.started.in_force["device_prefetch"] is True
    for name, weight in plain.weights.items():
        torch.testing.assert_close(ahead.weights[name], weight)


def test_what_is_held_on_the_device_is_not_copied_ahead(tmp_path: Path) -> None:
    told = train_on_gpu(tmp_path, cache="device", device_prefetch=True, pin_memory=True).started.in_force
    assert (told["cache"], told["device_prefetch"], told["pin_memory"]) == ("device", False, False)


def test_nvml_looks_at_the_device_that_torch_trains_on(device: torch.device) -> None:
    nvml, handle = open_nvml(device)
    assert nvml is not None
    assert nvml.nvmlDeviceGetMemoryInfo(handle).total >= torch.cuda.get_device_properties(device).total_memory
    clock, temperature = DeviceWatch(device).clock_and_temperature()
    assert clock is None or clock > 0
    assert temperature is None or temperature > 0


def test_allocator_tells_its_retries(device: torch.device) -> None:
    torch.ones(1, device=device)
    assert "num_alloc_retries" in torch.cuda.memory_stats(device)
    assert read_counts(device).allocator_retries >= 0


def test_facts_are_told_without_using_the_device() -> None:
    script = (
        "import torch; from autotune.training.machine.facts import torch_facts; "
        "from autotune.training.process.forking import *; "
        "facts = torch_facts(); assert not has_used_cuda(); assert not torch.cuda._is_in_bad_fork(); "
        "import os; pid = os.fork(); print(facts.model_dump_json(), flush=True) if pid else "
        "os._exit(int(torch.ones(2, device='cuda').sum().item()) - 2); assert os.waitpid(pid, 0)[1] == 0"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = TorchFacts.model_validate_json(done.stdout)
    assert [gpu.name for gpu in facts.accelerators] == [
        torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
    ]
    assert facts.accelerators[0].capability == torch.cuda.get_device_capability(0)
