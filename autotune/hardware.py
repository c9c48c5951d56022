"""The machine at hand, as plain facts; torch's part is told by a process that has torch."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from autotune.control_groups import memory_left, memory_limit
from autotune.errors import RunError

_ALLOCATORS = {"jemalloc": ("libjemalloc",), "tcmalloc": ("libtcmalloc_minimal", "libtcmalloc")}
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib",
)
PART_PREFIX = "MIG-"
"""Of the id of a part of a GPU, in CUDA_VISIBLE_DEVICES and in NVML."""


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
    """What torch answers about itself and the devices that it sees (``training/machine/facts.py``)."""

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
    accelerator_ids: tuple[str, ...] = ()
    """Of the accelerators in their order, the driver's ids, such as ``GPU-8f6d...``: no two of a machine are alike."""
    has_amx_bf16: bool = False
    """The CPU multiplies matrices of bf16 (AMX); False too in rows that are older than the field."""


class Machine(_Facts):
    """The host and torch's facts on it."""

    hostname: str
    system: str
    """Such as ``Linux 6.1 x86_64``."""
    cpu: str
    num_cores: int
    """Cores that this process may use (its affinity), not those that the host has."""
    memory_bytes: int
    """Memory of the host, or the part that a control group (such as a container) allows this process."""
    python_version: str
    torch: TorchFacts
    num_physical_cores: int | None = None
    """Physical cores among ``num_cores``: hyper-threads of one core count once. None where the system does not tell."""
    allocators: tuple[str, ...] = ()
    """Allocators of host memory that are installed: ``glibc``, ``jemalloc``, ``tcmalloc``."""
    cpu_quota: float | None = None
    """Cores that a container may use at once; None where that is no less than its affinity."""

    @property
    def hardware_fingerprint(self) -> str:
        """16 hex digits that differ when CPU, cores, a container's share of them, memory or accelerators differ.

        Which of the host's accelerators they are makes no difference, as long as they are alike.
        """
        placed = enumerate(self.torch.accelerators)
        accelerators = [a.model_copy(update={"index": place}).model_dump_json() for place, a in placed]
        gigabytes = round(self.memory_bytes / 2**30)
        quota = [] if self.cpu_quota is None else [f"quota {self.cpu_quota:g}"]
        return _digest(self.cpu, str(self.num_cores), str(gigabytes), *accelerators, *quota)

    def seen_from(self, device: str) -> "Machine":
        """The machine with those accelerators alone that a study on this device trains on: ``cuda`` has all."""
        kind, _, index = device.partition(":")
        accelerators = () if kind == "cpu" else self.torch.accelerators
        if index:
            accelerators = tuple(a for a in accelerators if a.index == int(index))
        return self.model_copy(update={"torch": self.torch.model_copy(update={"accelerators": accelerators})})

    @property
    def software_fingerprint(self) -> str:
        """16 hex digits that differ when system, Python, torch, CUDA or cuDNN differ."""
        torch = self.torch
        return _digest(
            self.system, self.python_version, torch.version, str(torch.cuda_version), str(torch.cudnn_version)
        )


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def describe_machine(torch: TorchFacts) -> Machine:
    """The host that this process runs on, completed with what torch said about itself."""
    num_cores, quota = len(usable_cores()), cpu_quota()
    return Machine(
        hostname=platform.node(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_name(),
        num_cores=num_cores,
        memory_bytes=host_memory_bytes(),
        python_version=platform.python_version(),
        torch=torch.model_copy(update={"accelerator_ids": ()}),  # any of a kind is the same machine
        num_physical_cores=len(cores) if (cores := physical_cores(usable_cores())) else None,
        allocators=_list_allocators(),
        cpu_quota=quota if quota is not None and quota < num_cores else None,
    )


def ask_machine() -> Machine:
    """The machine, with torch's part asked from a process of its own, which takes seconds.

    Raises:
        RunError: torch can't be imported there; the message ends with its last line.
    """
    command = [sys.executable, "-m", "autotune.training.machine.facts"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"]
        raise RunError(f"torch: must import, got: {lines[-1]}; reinstall it, then run `autotune hardware`")
    return describe_machine(TorchFacts.model_validate_json(answer.stdout))


def usable_cores() -> tuple[int, ...]:
    """Cores in this process's affinity; all of the host where the system has no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def host_memory_bytes(*, limit: Callable[[], int | None] = memory_limit) -> int:
    """Memory of the host, or what a control group lets this process have of it, such as a container's."""
    total, bound = int(psutil.virtual_memory().total), limit()
    return total if bound is None else min(total, bound)


def available_host_bytes(*, left: Callable[[], int | None] = memory_left) -> int:
    """Host memory that this process can have now without swapping."""
    available, bound = int(psutil.virtual_memory().available), left()
    return available if bound is None else min(available, bound)


def peak_process_bytes() -> int:
    """Most memory that this process has held resident so far."""
    try:
        import resource
    except ImportError:  # Windows
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_device_bytes(visible: str | None) -> int:
    """Memory of a GPU that processes hold now; 0 where NVML can't tell.

    Args:
        visible: The GPU as CUDA_VISIBLE_DEVICES names it; the first one if None.
    """
    import pynvml

    name = visible or "0"
    try:
        pynvml.nvmlInit()
        is_index = name.isdecimal()
        find = pynvml.nvmlDeviceGetHandleByIndex if is_index else pynvml.nvmlDeviceGetHandleByUUID
        handle = find(int(name) if is_index else name)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except pynvml.NVMLError:  # no driver, or a MIG device
        return 0


def count_gpus() -> int:
    """Number of GPUs that NVIDIA's driver knows, whether torch sees them or not; 0 without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0


def cpu_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """Cores that a container may use at once, whatever its affinity; None where nothing limits them."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def read_load() -> float | None:
    """The host's load average over the last minute; None where the system keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def read_cpu_clock_mhz() -> float | None:
    """The CPU's clock now, over all cores; None where it can't be read, as in many containers."""
    try:
        current = getattr(psutil.cpu_freq(), "current", None)
    except (AttributeError, OSError, NotImplementedError):  # on some systems psutil lacks the function itself
        return None
    return float(current) if current else None


def physical_cores(cores: Sequence[int]) -> tuple[int, ...]:
    """The first logical core of each physical one; empty where the system does not tell."""
    seen: dict[str, int] = {}
    for core in cores:
        siblings = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        if not siblings.exists():
            return ()
        seen.setdefault(siblings.read_text().strip(), core)
    return tuple(seen.values())


def find_allocator(name: str) -> str | None:
    """The shared library of ``jemalloc`` or ``tcmalloc``; None where there is none, or for another name."""
    if name not in _ALLOCATORS:
        return None
    given = (Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder)
    for folder in (*given, Path(sys.prefix, "lib"), *map(Path, _LIBRARY_FOLDERS)):
        for word in _ALLOCATORS[name]:
            if found := sorted(folder.glob(f"{word}.so*")):
                return str(found[0])
    return None


def _list_allocators() -> tuple[str, ...]:
    found = (name for name in _ALLOCATORS if find_allocator(name))
    return (*(("glibc",) if platform.libc_ver()[0] == "glibc" else ()), *found)


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
