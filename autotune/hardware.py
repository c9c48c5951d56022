"""The machine at hand, as plain facts; torch's part is told by a process that has torch."""

import hashlib

from pydantic import BaseModel, ConfigDict


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Accelerator(_Facts):
    """One device that torch can train on, beside the CPU."""

    index: int
    name: str
    memory_bytes: int
    capability: tuple[int, int]
    """CUDA compute capability, such as (9, 0)."""


class TorchFacts(_Facts):
    """What torch answers about itself and the devices that it sees (``training/facts.py``)."""

    version: str
    cuda_version: str | None
    cudnn_version: int | None
    num_threads: int
    accelerators: tuple[Accelerator, ...]
    cpu_capability: str
    """Such as ``AVX512``: torch.backends.cpu.get_cpu_capability()."""
    has_bf16_cpu: bool
    """The CPU has bf16 instructions (AVX512_BF16 or AMX)."""
    has_fp16_cpu: bool
    """The CPU has fp16 instructions (AVX512_FP16 or AMX_FP16)."""
    has_compiler: bool
    """torch.compile can work: a C++ compiler for the CPU, Triton for CUDA."""
    compile_modes: tuple[str, ...]
    has_muon: bool


class Machine(_Facts):
    """The host and torch's facts on it."""

    hostname: str
    system: str
    """Such as ``Linux 6.1 x86_64``."""
    cpu: str
    num_cores: int
    """Cores that this process may use (its affinity), not those that the host has."""
    memory_bytes: int
    python_version: str
    torch: TorchFacts

    @property
    def hardware_fingerprint(self) -> str:
        """16 hex digits that differ when CPU, cores, memory or accelerators differ."""
        accelerators = [a.model_dump_json() for a in self.torch.accelerators]
        gigabytes = round(self.memory_bytes / 2**30)
        return _digest(self.cpu, str(self.num_cores), str(gigabytes), *accelerators)

    @property
    def software_fingerprint(self) -> str:
        """16 hex digits that differ when system, Python, torch, CUDA or cuDNN differ."""
        torch = self.torch
        return _digest(self.system, self.python_version, torch.version, str(torch.cuda_version), str(torch.cudnn_version))


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
