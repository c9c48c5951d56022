"""What real messages of memory that ran out are read as."""

import errno
from collections.abc import Callable

import pytest
import torch
from torch._inductor.exc import InductorError
from torch._utils import ExceptionWrapper
from torch.utils.data._utils.pin_memory import pin_memory

from autotune.shortages import OutOfMemory, is_out_of_memory, read_out_of_memory, shorten
from tests.out_of_memory import ADVICE, NATIVE, NATIVE_IN_SHORT

MIB, GIB = 2**20, 2**30
ASYNC = """Allocation on device 0 would exceed allowed memory. (out of memory)
Currently allocated     : 13.74 GiB
Requested               : 640.00 MiB
Device limit            : 14.75 GiB
Free (according to CUDA): 27.06 MiB
PyTorch limit (set by user-supplied memory fraction)
                        : 17179869184.00 GiB"""
CUDA = (
    "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in "
    "https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)
NCCL = (
    "NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.hpp:275, unhandled cuda error (run with NCCL_DEBUG=INFO "
    "for details), NCCL version 2.26.2\nncclUnhandledCudaError: Call to CUDA function failed.\n"
    "Last error:\nCuda failure 2 'out of memory'"
)
UNKNOWN = OutOfMemory("device")
HOST = OutOfMemory("host")


def caught(error: Exception, *, where: str) -> BaseException:
    """What torch raises in the training's thread for an error of another one's."""
    try:
        raise error
    except type(error):
        wrapped = ExceptionWrapper(where=where)  # type: ignore[no-untyped-call]
    try:
        wrapped.reraise()  # type: ignore[no-untyped-call]
    except Exception as again:  # noqa: BLE001 - whatever torch makes of it
        return again
    raise AssertionError


class _ArrayMemoryError(MemoryError):
    """NumPy's own, which can't be made of a message."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        super().__init__(f"Unable to allocate 105. MiB for an array with shape {shape} and data type {dtype}")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # torch's allocators of a GPU's memory
        (torch.OutOfMemoryError(NATIVE), OutOfMemory("device", 546 * MIB)),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512 bytes. GPU 0"), OutOfMemory("device", 512)),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate more than 1EB memory."),
            OutOfMemory("device", 2**60),
        ),
        (torch.OutOfMemoryError(ASYNC), OutOfMemory("device", 640 * MIB)),
        (torch.OutOfMemoryError("two samples do not fit"), UNKNOWN),
        (RuntimeError("CUDA driver error: out of memory"), UNKNOWN),  # expandable segments
        # CUDA and its libraries
        (RuntimeError(CUDA), UNKNOWN),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), UNKNOWN),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), UNKNOWN),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), UNKNOWN),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), UNKNOWN),
        (
            RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
            UNKNOWN,
        ),
        (RuntimeError("Triton Error [CUDA]: out of memory"), UNKNOWN),
        (RuntimeError(NCCL), UNKNOWN),
        (InductorError(RuntimeError("Triton Error [CUDA]: out of memory"), None), UNKNOWN),
        (InductorError(torch.OutOfMemoryError(NATIVE), None), OutOfMemory("device", 546 * MIB)),
        # The host's
        (MemoryError(), HOST),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), HOST),
        (RuntimeError("std::bad_alloc"), HOST),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                "to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
            ),
            HOST,
        ),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you"), HOST),
        (RuntimeError("unable to mmap 160 bytes from file </torch_7_1>: Cannot allocate memory (12)"), HOST),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), HOST),
        (caught(RuntimeError(CUDA), where="in pin memory thread for device 0"), HOST),
        (caught(_ArrayMemoryError((21, 1024, 1280), "float32"), where="in DataLoader worker process 0"), HOST),
        (caught(OSError(errno.ENOMEM, "Cannot allocate memory"), where="in DataLoader worker process 0"), HOST),
        (
            RuntimeError(
                "Unexpected bus error encountered in worker. This might be caused by insufficient shared memory"
            ),
            OutOfMemory("host", is_of_workers=True),
        ),
        # Neither
        (RuntimeError("CUDA error: an illegal memory access was encountered"), None),
        (RuntimeError("CUDA error: operation failed due to a previous error during capture"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), None),
        (RuntimeError("out of resource: shared memory, Required: 147456, Hardware limit: 101376."), None),
        (RuntimeError("required rank 4 tensor to use channels_last memory format"), None),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed. "), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (ValueError("out of memory"), None),
    ],
    ids=lambda value: f"{type(value).__name__}: {value}"[:60].partition("\n")[0],
)
def test_message_is_read_as_whose_memory_ran_out(error: BaseException, expected: OutOfMemory | None) -> None:
    assert read_out_of_memory(error) == expected
    assert is_out_of_memory(error) == (expected is not None)


def test_what_another_error_was_raised_from_tells_the_size() -> None:
    """One line of it is kept, and cudaMallocAsync's message has the size in the third."""
    raised = torch.OutOfMemoryError("a single sample does not fit (OutOfMemoryError: Allocation on device 0)")
    raised.__cause__ = torch.OutOfMemoryError(ASYNC)
    assert read_out_of_memory(raised) == OutOfMemory("device", 640 * MIB)


def test_single_sample_that_the_host_has_no_room_for_is_no_device_that_is_too_small() -> None:
    raised = torch.OutOfMemoryError("a single sample does not fit (MemoryError)")
    raised.__cause__ = MemoryError()
    assert read_out_of_memory(raised) == HOST


class Pinned:
    def pin_memory(self) -> None:
        torch.empty(-1)


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda: torch.empty(-1, pin_memory=True), HOST),
        (lambda: pin_memory(Pinned()), HOST),  # type: ignore[no-untyped-call]
        (lambda: torch.empty(-1, device="cpu"), UNKNOWN),
    ],
    ids=["line", "DataLoader", "another"],
)
def test_page_locked_memory_is_the_hosts_though_cuda_says_the_same_of_it(
    ask: Callable[[], object], expected: OutOfMemory
) -> None:
    """It was called a crowd wherever others held a GiB of the GPU."""
    with pytest.raises(RuntimeError, match=r"negative dimension|no pinned memory") as asked:
        ask()
    assert read_out_of_memory(RuntimeError(CUDA).with_traceback(asked.value.__traceback__)) == expected


ASKED = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 364.31 MiB is "
    "free."
)
ALLOCATED = (
    " Of the allocated memory 72.12 GiB is allocated by PyTorch, and 3.78 GiB is reserved by PyTorch but unallocated."
)
OTHER, OWN = "Process 175080 has 1.46 GiB memory in use.", "Process 175356 has 77.26 GiB memory in use."
KNOWN = "Including non-PyTorch memory, this process has 77.26 GiB memory in use. 78.00 GiB allowed;"
IN_SHORT = "CUDA out of memory: 2.00 GiB asked for, 364.31 MiB of 79.10 GiB free"
HELD = f"{IN_SHORT}, process 175080 held 1.46 GiB"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NATIVE, NATIVE_IN_SHORT),
        (ASKED, IN_SHORT),
        (f"T: {ASKED}{ALLOCATED}{ADVICE}; it starts again", f"T: {IN_SHORT}; it starts again"),
        (f"one: {ASKED}{ADVICE} two: {ASKED}", f"one: {IN_SHORT} two: {IN_SHORT}"),
        (f"{ASKED} {OTHER} {KNOWN}{ALLOCATED}{ADVICE}", HELD),
        (f"{ASKED} {OTHER} {OWN}{ALLOCATED}", HELD),  # in a container: the larger one is torch's own
        (f"{ASKED} {OTHER} {OWN}", f"{HELD}, process 175356 held 77.26 GiB"),
        ("CUDA error: out of memory", "CUDA error: out of memory"),
        ("CUDA out of memory with 64 samples", "CUDA out of memory with 64 samples"),
    ],
)
def test_long_message_is_said_in_short(text: str, expected: str) -> None:
    assert shorten(text) == expected
