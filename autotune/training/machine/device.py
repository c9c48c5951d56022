"""The device that a trial trains on: waiting for it, its memory, and what NVML says of it."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

from autotune.errors import TaskError
from autotune.hardware import PART_PREFIX, available_host_bytes, peak_process_bytes
from autotune.shortages import is_out_of_memory
from autotune.training.failures import CrowdedError, one_line

if TYPE_CHECKING:
    from types import ModuleType

_SAMPLE_SECONDS = 1.0


def open_device(name: str) -> torch.device:
    """The torch device of this name, after a first use that shows that it is there.

    Raises:
        CrowdedError: The device is full: a process takes some hundred MB of a GPU before it holds any tensor.
        TaskError: torch sees no such device in this process.
    """
    try:
        device = torch.empty(1, device=name).device
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        if is_out_of_memory(error):
            rule = f"device: {name} must have room for a process to begin, got none"
            raise CrowdedError(f"{rule} ({one_line(error)}); end what holds its memory") from error
        raise TaskError(
            f"device: {name} is not there for this trial ({one_line(error)}); choose device: cpu"
        ) from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device) -> int:
    """The most bytes held so far: allocated on a CUDA device, or resident in this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_process_bytes()


def held_memory_bytes(device: torch.device) -> int | None:
    """Bytes that this process keeps of a CUDA device's memory, in use or not; None on a CPU."""
    return int(torch.cuda.memory_reserved(device)) if device.type == "cuda" else None


def available_memory_bytes(device: torch.device) -> int:
    """Bytes that are free now on a CUDA device, or on the host as far as its container allows."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_host_bytes()


class DeviceWatch:
    """Looks at a CUDA device about once a second while an epoch is trained; sees nothing on a CPU.

    It is opened by the first look at the latest; before that, CUDA is not started.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._is_open = False
        self._next_sample = time.perf_counter() + _SAMPLE_SECONDS
        self._utilisations: list[float] = []
        self._watts: list[float] = []

    def open(self) -> None:
        """Open NVML, which takes some milliseconds; a second call does nothing."""
        if not self._is_open:
            self._is_open = True
            self._nvml, self._handle = open_nvml(self._device)

    def sample(self) -> None:
        """Look at utilisation and power if the last look was a second ago."""
        now = time.perf_counter()
        if now < self._next_sample:
            return
        self._next_sample = now + _SAMPLE_SECONDS
        self.open()
        if self._nvml is None:
            return
        try:
            self._utilisations.append(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100)
            self._watts.append(self._nvml.nvmlDeviceGetPowerUsage(self._handle) / 1000)
        except self._nvml.NVMLError:  # a virtual or a MIG device tells neither
            self._nvml = None

    def take(self) -> tuple[float | None, float | None]:
        """Mean utilisation (0 to 1) and power in watts since the last call; None where unknown."""
        if not self._utilisations:  # an epoch of less than a second; NVML's own figure covers about one
            self._next_sample = 0.0
            self.sample()
        seen = _mean(self._utilisations), _mean(self._watts)
        self._utilisations, self._watts = [], []
        return seen

    def clock_and_temperature(self) -> tuple[float | None, float | None]:
        """The multiprocessors' clock in MHz and the temperature in degrees Celsius, now; None where unknown."""
        self.open()
        if self._nvml is None:
            return None, None
        try:
            return (
                float(self._nvml.nvmlDeviceGetClockInfo(self._handle, self._nvml.NVML_CLOCK_SM)),
                float(self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU)),
            )
        except self._nvml.NVMLError:
            return None, None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def open_nvml(device: torch.device) -> "tuple[ModuleType | None, Any]":
    """NVML's module and its handle of the device; two Nones for a CPU, and where NVML does not know the device."""
    if device.type != "cuda":
        return None, None
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None, None
    # By its id: NVML counts all devices, torch those that CUDA_VISIBLE_DEVICES leaves.
    identity = torch.cuda.get_device_properties(device).uuid
    for prefix in ("GPU-", PART_PREFIX):
        with suppress(pynvml.NVMLError):
            return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"{prefix}{identity}")
    return None, None
