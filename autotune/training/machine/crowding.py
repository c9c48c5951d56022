"""Whether memory ran out because a trial is too large, or because others hold the device's memory."""

import os
import re
from dataclasses import dataclass

import torch

from autotune.training.machine.device import open_nvml

_GIB = 2**30
_SLACK_BYTES = _GIB
"""What nobody holds and nobody can have: the driver keeps some hundred MB of a device for itself."""
_CONTEXT_BYTES = _GIB // 2
"""A process's CUDA context with the libraries' workspaces, where NVML does not tell what a process holds."""
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": _GIB}
_REQUEST = re.compile(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")
"""In the message of torch's allocator for CUDA (c10/cuda/CUDACachingAllocator.cpp, format_size)."""
_OF_LIBRARIES = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""Of a handle, a workspace, a graph or a module: mostly a few MB, on a device that somebody has filled."""


@dataclass(frozen=True)
class DeviceMemory:
    """A device's memory at the moment when a request failed, in bytes."""

    total: int
    free: int
    own: int
    """Held by this process, its CUDA context included."""
    requested: int

    @property
    def others(self) -> int:
        """Held by other processes."""
        return max(0, self.total - self.free - self.own)


def crowding(memory: DeviceMemory) -> str | None:
    """Who is in the way, in words; None where the trial would not have fitted on the device alone either.

    What a trial needs is known up to the request that failed: one that goes on to need more
    than the device has fails again, and then alone.
    """
    would_fit = memory.own + memory.requested + _SLACK_BYTES <= memory.total
    if not would_fit or memory.others < _SLACK_BYTES:
        return None
    held = f"other processes hold {memory.others / _GIB:.1f} GiB of {memory.total / _GIB:.1f} GiB"
    return f"out of memory on a crowded device: {held}"


def requested_bytes(error: BaseException) -> int | None:
    """The size of the request that failed, as torch's allocator for CUDA tells it.

    0 where CUDA's own libraries asked, which don't tell; None of an error of the host's memory.
    """
    found = _REQUEST.search(str(error))
    if found is None:
        return 0 if any(words in str(error) for words in _OF_LIBRARIES) else None
    return round(float(found[1]) * _UNITS[found[2]])


def memory_at(error: BaseException, *, device: torch.device) -> DeviceMemory | None:
    """The device's memory, to be asked before anything of the failed step is freed; None where it can't be known."""
    requested = requested_bytes(error)
    if requested is None or device.type != "cuda":
        return None
    nvml, handle = open_nvml(device)
    if nvml is None:  # a part of a device, or a driver without NVML
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device) + _CONTEXT_BYTES
        return DeviceMemory(total=total, free=free, own=own, requested=requested)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return None
    # In a container NVML tells the host's process ids, and then this one is not among them.
    held = next((process.usedGpuMemory for process in processes if process.pid == os.getpid()), None)
    own = int(held) if held else torch.cuda.memory_reserved(device) + _CONTEXT_BYTES
    return DeviceMemory(total=int(memory.total), free=int(memory.free), own=own, requested=requested)
