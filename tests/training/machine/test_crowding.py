from types import SimpleNamespace

import pynvml
import pytest
import torch

from autotune.training.machine.crowding import DeviceMemory, crowding, memory_at

GIB = 2**30
REAL_MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB "
    "of which 1.20 GiB is free. Including non-PyTorch memory, this process has 65.10 GiB memory in use."
)
ASYNC_MESSAGE = (
    "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    "Currently allocated     : 13.74 GiB\nRequested               : 640.00 MiB\n"
    "Device limit            : 14.75 GiB\nFree (according to CUDA): 27.06 MiB"
)


def without_nvml(monkeypatch: pytest.MonkeyPatch, *, free: int, total: int, reserved: int) -> None:
    """A GPU that torch alone tells of."""
    monkeypatch.setattr("autotune.training.machine.crowding.open_nvml", lambda _: (None, None))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, total))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved)


def memory(*, total: float, free: float, own: float, requested: float) -> DeviceMemory:
    return DeviceMemory(*(round(value * GIB) for value in (total, free, own, requested)))


@pytest.mark.parametrize(
    ("at_failure", "expected"),
    [
        (
            memory(total=80, free=1, own=66.7, requested=2.5),
            "out of memory on a crowded device: other processes hold 12.3 GiB of 80.0 GiB",
        ),
        (memory(total=80, free=0.1, own=10, requested=0.5), "other processes hold 69.9 GiB of 80.0 GiB"),
        (memory(total=80, free=1, own=78.5, requested=2.5), None),  # alone on the device, and too large for it
        (memory(total=80, free=0.5, own=40, requested=45), None),  # crowded too, but it would never fit
        (memory(total=80, free=0.2, own=79.2, requested=0.3), None),  # the rest is the driver's
        (memory(total=80, free=39.5, own=40, requested=2), None),  # a limit of the process's own (memory fraction)
    ],
)
def test_device_is_crowded_where_the_trial_alone_would_have_fitted(at_failure: DeviceMemory, expected: str) -> None:
    assert (expected or "None") in str(crowding(at_failure))


@pytest.mark.parametrize(
    ("error", "requested"),
    [
        (torch.OutOfMemoryError(REAL_MESSAGE), 2.5 * GIB),
        (torch.OutOfMemoryError(ASYNC_MESSAGE), 640 * 2**20),
        (RuntimeError("CUDA driver error: out of memory"), 0),
        (RuntimeError("Triton Error [CUDA]: out of memory"), 0),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), 0),
    ],
    ids=lambda value: str(value)[:40],
)
def test_whoever_asked_in_vain_on_a_device_that_others_fill_is_crowded(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, requested: float
) -> None:
    """It was called too large, and the study launched nothing of its size any more."""
    without_nvml(monkeypatch, free=GIB // 4, total=80 * GIB, reserved=10 * GIB)
    at_failure = memory_at(error, device=torch.device("cuda", 0))
    assert at_failure is not None
    assert at_failure.requested == requested
    assert "other processes hold 69.2 GiB of 80.0 GiB" in str(crowding(at_failure))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 400 bytes."),
        RuntimeError("Caught AcceleratorError in pin memory thread for device 0.\nCUDA error: out of memory"),
        ValueError("boom"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_nobody_is_in_the_way_of_the_hosts_memory(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    without_nvml(monkeypatch, free=GIB // 4, total=80 * GIB, reserved=10 * GIB)
    assert memory_at(error, device=torch.device("cuda", 0)) is None


class Driver:
    """NVML of a part of a GPU, which tells nobody who is on it."""

    NVMLError = pynvml.NVMLError

    def nvmlDeviceGetMemoryInfo(self, _: object) -> SimpleNamespace:  # noqa: N802 - NVML's name
        return SimpleNamespace(total=20 * GIB, free=GIB // 4)

    def nvmlDeviceGetComputeRunningProcesses(self, _: object) -> list[SimpleNamespace]:  # noqa: N802 - NVML's name
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)


def test_crowd_is_seen_where_the_driver_does_not_tell_who_holds_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotune.training.machine.crowding.open_nvml", lambda _: (Driver(), None))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 10 * GIB)
    at_failure = memory_at(torch.OutOfMemoryError(REAL_MESSAGE), device=torch.device("cuda", 0))
    assert at_failure is not None
    assert "other processes hold 9.2 GiB of 20.0 GiB" in str(crowding(at_failure))


def test_cpu_is_never_called_crowded() -> None:
    assert memory_at(torch.OutOfMemoryError(REAL_MESSAGE), device=torch.device("cpu")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_request_that_no_device_could_fill_is_a_real_limit() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate") as caught:
        torch.empty(2 * torch.cuda.get_device_properties(device).total_memory, dtype=torch.uint8, device=device)
    at_failure = memory_at(caught.value, device=device)
    assert at_failure is not None
    assert at_failure.requested > at_failure.total
    assert crowding(at_failure) is None
