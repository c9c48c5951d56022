"""Whether memory ran out because a trial is too large, or because others hold the device's memory."""

import os
from contextlib import suppress
from dataclasses import dataclass

import torch

from autotune.shortages import read_out_of_memory
from autotune.training.machine.device import open_nvml

_GIB = 2**30
_SLACK_BYTES = _GIB
"""Memory that no process holds and none can have: the driver keeps some hundred MB of a device for itself."""
_CONTEXT_BYTES = _GIB // 2
"""Guess of what a process's CUDA context and its libraries' workspaces hold, where NVML does not tell."""


@dataclass(frozen=True)
class DeviceMemory:
    """A device's memory at the moment when a request failed, in bytes."""

    total: int
    free: int
    own: int
    """Bytes that this process holds, its CUDA context included."""
    requested: int
    """Bytes that were asked for in vain; 0 where the error does not tell, as for a handle, a workspace, a graph or a
    module, which are mostly of a few MB."""

    @property
    def others(self) -> int:
        """Bytes that other processes hold."""
        return max(0, self.total - self.free - self.own)


def crowding(memory: DeviceMemory) -> str | None:
    """Whose memory is in the way, in words; None where the trial would not have fitted on the device alone either.

    A trial's need is known up to the request that failed: a trial that would have gone on to need more than the
    device has is tried again, and fails then when it has the device alone.
    """
    would_fit = memory.own + memory.requested + _SLACK_BYTES <= memory.total
    if not would_fit or memory.others < _SLACK_BYTES:
        return None
    held = f"other processes hold {memory.others / _GIB:.1f} GiB of {memory.total / _GIB:.1f} GiB"
    return f"out of memory on a crowded device: {held}"


def memory_at(error: BaseException, *, device: torch.device) -> DeviceMemory | None:
    """The GPU's memory, asked before anything of the failed step is freed; None where the error is of another kind."""
    told = read_out_of_memory(error)
    if told is None or told.shortage != "device" or device.type != "cuda":
        return None
    requested = told.requested_bytes or 0
    nvml, handle = open_nvml(device)
    if nvml is None:  # a driver without NVML
        free, total = torch.cuda.mem_get_info(device)
        return DeviceMemory(total=total, free=free, own=_least_own(device), requested=requested)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return None
    held = None
    with suppress(nvml.NVMLError):  # of a part of a GPU not everybody may ask this
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        # In a container NVML tells the host's process ids, and then this one is not among them.
        held = next((process.usedGpuMemory for process in processes if process.pid == os.getpid()), None)
    own = int(held) if held else _least_own(device)
    return DeviceMemory(total=int(memory.total), free=int(memory.free), own=own, requested=requested)


def _least_own(device: torch.device) -> int:
    """What this process holds at least, where NVML does not tell."""
    return torch.cuda.memory_reserved(device) + _CONTEXT_BYTES
