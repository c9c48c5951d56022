"""Who trains where: devices and cores, leased to one trial each."""

import os
import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from autotune.errors import DeviceError
from autotune.hardware import PART_PREFIX, TorchFacts, usable_cores

Place: TypeAlias = tuple[str, str | None]
"""A device of this host: leases of one place share its memory."""


@dataclass(frozen=True)
class Lease:
    """A device and cores that one trial has to itself until they are released."""

    device: str
    """The device's name inside the trial: ``cpu``, or ``cuda:0`` for the one GPU that it sees."""
    visible_devices: str | None
    """CUDA_VISIBLE_DEVICES of the trial; None leaves the variable as it is."""
    cores: tuple[int, ...]
    """CPU cores; empty where the system has no affinity."""
    accelerator: int | None = None
    """The device's index among the accelerators that torch sees here; None for the CPU."""

    @property
    def place(self) -> Place:
        """The device's identity on this host; equal for leases that share its memory."""
        return self.device, self.visible_devices


class DevicePool:
    """Leases for ``jobs`` trials at once.

    Every job gets the same number of cores, so that trials' throughputs can be compared; what an
    uneven division leaves over is for the coordinator. With more jobs than cores, cores are
    shared. With GPUs, jobs take them in turn.
    """

    def __init__(self, devices: Sequence[str], *, cores: Sequence[int], jobs: int) -> None:
        """Share devices and cores out.

        Args:
            devices: As ``list_devices`` names them; at least one.
            cores: Cores to share; empty where the system has no affinity.
            jobs: Trials at once; at least one.
        """
        self._free = deque(
            _lease(devices[job % len(devices)], cores=_share(cores, job=job, jobs=jobs)) for job in range(jobs)
        )
        self.num_leases = jobs
        """Number of leases, free or not."""
        self.num_cores = len(self._free[0].cores) or os.cpu_count() or 1
        """Number of cores of each lease."""

    def acquire(self, *, place: Place | None = None, but: Collection[Place] = ()) -> Lease | None:
        """A free lease, or None; only one on ``place`` where that is given, and never one on a device in ``but``."""
        found = next((one for one in self._free if place in {None, one.place} and one.place not in but), None)
        if found is not None:
            self._free.remove(found)
        return found

    def release(self, lease: Lease) -> None:
        """Take a lease back; its trial is gone."""
        self._free.appendleft(lease)


def resolve_device(asked: str, *, facts: TorchFacts, where: str = "device") -> str:
    """The device that ``auto`` means here, or the one asked for: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises DeviceError, which begins with ``where``, for a device that is not there; ``auto`` too where a part of a GPU
    is named by its id and can't be found, for nobody who names one means the CPU.
    """
    count = len(facts.accelerators)
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if asked != "cpu" and not count and facts.cuda_version and named.startswith(PART_PREFIX):
        rule = f"{where}: {asked} must find what CUDA_VISIBLE_DEVICES names, got {named}, a part of a GPU (MIG)"
        raise DeviceError(f"{rule} that NVML does not list here; name it as `nvidia-smi -L` does, or set device: cpu")
    if asked == "auto":
        return "cuda" if count else "cpu"
    if asked == "cpu" or (asked == "cuda" and count):
        return asked
    matched = re.fullmatch(r"cuda:(\d+)", asked)
    if matched and int(matched[1]) < count:
        return asked
    known = ", ".join(["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))])
    built = "" if facts.cuda_version else f" (torch {facts.version} is built without CUDA)"
    raise DeviceError(f"{where}: must be one of {known}, got {asked}{built}; set device: auto")


def make_pool(asked: str, *, facts: TorchFacts, jobs: int, where: str = "device") -> DevicePool:
    """Leases on the devices that the spec asked for, and on all cores that this process may use.

    Raises DeviceError, which begins with ``where``, for a device that is not there.
    """
    device = resolve_device(asked, facts=facts, where=where)
    return DevicePool(list_devices(device, facts=facts), cores=usable_cores(), jobs=jobs)


def list_devices(device: str, *, facts: TorchFacts) -> tuple[str, ...]:
    """The devices that a resolved one stands for: ``cuda`` is every GPU."""
    if device == "cuda":
        return tuple(f"cuda:{index}" for index in range(len(facts.accelerators)))
    return (device,)


def _lease(device: str, *, cores: tuple[int, ...]) -> Lease:
    """A device with its name for the trial, and the CUDA_VISIBLE_DEVICES that makes it the only one there."""
    if not device.startswith("cuda"):
        return Lease(device, None, cores)
    index = int(device.removeprefix("cuda:"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # The variable that we were given may name a part of the host's GPUs, in another order, or by UUID.
    name = visible.split(",")[index].strip() if visible else str(index)
    return Lease("cuda:0", name, cores, accelerator=index)


def _share(cores: Sequence[int], *, job: int, jobs: int) -> tuple[int, ...]:
    """The cores of one job, as many as every job gets; with more jobs than cores, one that others share."""
    if not cores:
        return ()
    if jobs > len(cores):
        return (cores[job % len(cores)],)
    size = len(cores) // jobs
    # Neighbouring numbers: they tend to share a cache and a memory node.
    return tuple(cores[job * size : (job + 1) * size])
