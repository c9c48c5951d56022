import subprocess
import sys

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


@pytest.mark.slow
def test_facts_are_printed_as_json() -> None:
    command = [sys.executable, "-m", "autotune.training.machine.facts"]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=50).stdout
    assert TorchFacts.model_validate_json(printed).version == torch.__version__
