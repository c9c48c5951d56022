import pytest
import torch

from autotune.training.machine.crowding import DeviceMemory, crowding, memory_at, requested_bytes

GIB = 2**30
REAL_MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB "
    "of which 1.20 GiB is free. Including non-PyTorch memory, this process has 65.10 GiB memory in use."
)


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
    ("message", "expected"),
    [
        (REAL_MESSAGE, round(2.5 * GIB)),
        ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has", 20 * 2**20),
        ("CUDA out of memory. Tried to allocate 512 bytes. GPU 0 has", 512),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", 0),
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported", 0),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 400 bytes.", None),
    ],
)
def test_request_is_read_from_torchs_message(message: str, expected: int | None) -> None:
    assert requested_bytes(torch.OutOfMemoryError(message)) == expected


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
