"""What was around while a block was timed: load, clocks, what the allocator and the compiler did."""

import sys
from dataclasses import dataclass

import torch

from autotune.hardware import read_cpu_clock_mhz
from autotune.training.machine.device import DeviceWatch


@dataclass(frozen=True)
class Counts:
    """What has happened in the process so far."""

    allocator_retries: int
    graphs: int
    """Graphs that torch.compile has made."""


def read_counts(device: torch.device) -> Counts:
    """How often CUDA's allocator had to try again, and how many graphs torch.compile has made."""
    retries = torch.cuda.memory_stats(device).get("num_alloc_retries", 0) if device.type == "cuda" else 0
    # Nothing is compiled where it was not even imported, and importing it takes a second.
    dynamo = sys.modules.get("torch._dynamo.utils")
    graphs = dynamo.counters["stats"]["unique_graphs"] if dynamo is not None else 0
    return Counts(allocator_retries=int(retries), graphs=int(graphs))


def read_clock_and_temperature(watch: DeviceWatch, *, device: torch.device) -> tuple[float | None, float | None]:
    """The GPU's clock in MHz and temperature in degrees Celsius, or the CPU's clock; None where one can't be read."""
    if device.type == "cuda":
        return watch.clock_and_temperature()
    return read_cpu_clock_mhz(), None
