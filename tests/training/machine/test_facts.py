import subprocess
import sys
from types import SimpleNamespace

import pynvml
import pytest
import torch

from autotune.hardware import TorchFacts
from autotune.training.machine.facts import torch_facts


def test_facts_are_torchs_own() -> None:
    facts = torch_facts()
    assert facts.version == torch.__version__
    assert facts.num_threads == torch.get_num_threads()
    assert facts.has_muon == hasattr(torch.optim, "Muon")
    assert len(facts.accelerators) == torch.cuda.device_count()


def test_facts_leave_cuda_alone() -> None:
    torch_facts()
    assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def test_machine_without_a_compiler_has_no_compile_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    facts = torch_facts()
    assert not facts.has_compiler
    assert facts.compile_modes == ()


GIB = 2**30
GPUS = {"gpu0": "GPU-aa11", "gpu1": "GPU-bb22"}
PARTS = {"gpu1": ["MIG-cc33", "MIG-cd44"]}
"""The second could have seven."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML as it answers beside two GPUs, one of which is parted."""

    def part(gpu: str, index: int) -> str:
        if index >= len(PARTS[gpu]):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return PARTS[gpu][index]

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: len(GPUS),
        "nvmlDeviceGetHandleByIndex": lambda index: list(GPUS)[index],
        "nvmlDeviceGetUUID": lambda handle: GPUS.get(handle, handle),
        "nvmlDeviceGetMaxMigDeviceCount": lambda gpu: 7 if gpu in PARTS else 0,
        "nvmlDeviceGetMigDeviceHandleByIndex": part,
        "nvmlDeviceGetName": lambda handle: f"name of {handle}",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=(80 if handle in GPUS else 10) * GIB),
        "nvmlDeviceGetCudaComputeCapability": lambda handle: {"gpu0": (8, 0), "gpu1": (9, 0)}[handle],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(GPUS))


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["gpu0", "gpu1"]),
        ("1,0", ["gpu1", "gpu0"]),
        ("GPU-bb", ["gpu1"]),
        ("0,7,1", ["gpu0"]),
        ("", []),
        ("MIG-cd44", ["MIG-cd44"]),
        ("MIG-cd44,MIG-cc33", ["MIG-cd44", "MIG-cc33"]),
        ("MIG-c", []),  # of two
        ("MIG-ee", []),
    ],
)
def test_devices_are_those_that_the_environment_leaves_in_its_order(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = torch_facts().accelerators
    assert [(each.index, each.name) for each in found] == [(i, f"name of {name}") for i, name in enumerate(names)]


@pytest.mark.usefixtures("driver")
def test_part_of_a_gpu_has_its_own_memory_and_cuda_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """``device: auto`` trained on the CPU; and where torch counts parts no process may fork after that."""

    def refuse() -> int:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "device_count", refuse)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-cc33")
    (part,) = torch_facts().accelerators
    assert (part.memory_bytes, part.capability) == (10 * GIB, (9, 0))


@pytest.mark.slow
def test_facts_are_printed_as_json() -> None:
    command = [sys.executable, "-m", "autotune.training.machine.facts"]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=50).stdout
    assert TorchFacts.model_validate_json(printed).version == torch.__version__
