"""Reads from an error whose memory ran out, and says it in short; the one place that knows the messages of libraries.

It does without torch, so that the coordinator's side can use it, too.
"""

import errno
import re
import traceback
from dataclasses import dataclass
from typing import Literal, TypeAlias

Shortage: TypeAlias = Literal["device", "host"]
"""Whose memory ran out; for a training on the CPU both words mean the same memory."""
HOST_MEMORY = "the host's memory"
"""Words in the reason of a trial that ran out of the host's memory beside a GPU; rows have no other mark of that."""

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = r"[\d.]+ (?:bytes|KiB|MiB|GiB)"
_REQUEST = re.compile(rf"(?:Tried to allocate|^Requested\s*:) ({_SIZE})", re.MULTILINE)
"""Finds the requested bytes in messages of torch's CUDA allocators: its own (c10/cuda/CUDACachingAllocator.cpp, also
with expandable segments), and the one on cudaMallocAsync (CUDAMallocAsyncAllocator.cpp), whose message has a table."""
_LONG_MESSAGE = re.compile(
    rf"CUDA out of memory\. Tried to allocate (?P<requested>{_SIZE})\."
    rf"\s+GPU \d+ has a total capaci?ty of (?P<total>{_SIZE}) of which (?P<free>{_SIZE}) is free\."
    rf"(?P<held>(?:\s+(?:Process \d+|Including non-PyTorch memory, this process) has {_SIZE} memory in use\.)*)"
    rf"(?:\s+{_SIZE} allowed;)?"
    rf"(?:\s+Of the allocated memory (?P<allocated>{_SIZE}) is allocated by PyTorch,"
    rf"(?: with {_SIZE} allocated in private pools \(e\.g\., CUDA Graphs\),)?"
    rf" and (?P<reserved>{_SIZE}) is reserved by PyTorch but unallocated\.)?"
    r"(?:\s+If reserved but unallocated memory is large try setting \S+ to avoid fragmentation\.)?"
    r"(?:\s+See documentation for Memory Management\s+(?:\(\S+\)|and \w+))?"
)
"""The whole message of torch's own CUDA allocator, as torch 2.1 to 2.14 have it."""
_HOLDER = re.compile(rf"(Process \d+|this process) has ({_SIZE}) memory")
_ENDLESS_REQUEST = "Tried to allocate more than 1EB memory"
_DEVICE = re.compile(
    "out of memory"  # torch's allocators; the driver's text, also in errors of CUDA, Triton and NCCL (torch 2.13)
    # Of CUDA's libraries, for a handle or a workspace: cuBLAS, cuFFT, cuSOLVER, cuSPARSE and cuDNN 8 say ALLOC_FAILED,
    # cuRAND ALLOCATION_FAILED, cuDNN 9 CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED.
    "|ALLOC(?:ATION)?_FAILED"
    "|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY",
    re.IGNORECASE,
)
_NO_PAGES = "Cannot allocate memory"
"""The C library's message where a mapping or a new process finds no memory."""
_HOST = (
    "can't allocate memory",  # torch's allocator for the CPU (c10/core/impl/alloc_cpu.cpp)
    "not enough memory",  # the same on Windows
    _NO_PAGES,
    "std::bad_alloc",  # C++, where nobody caught it
    "HOST_ALLOCATION_FAILED",  # cuDNN 9
    "ArrayMemoryError",  # NumPy, from a DataLoader worker: torch can't raise it again as what it is
)
_OF_WORKERS = "insufficient shared memory"
"""Part of the message about a DataLoader worker's bus error."""
_PINNING_THREAD = "in pin memory thread"
_PINNING_FILE = "torch/utils/data/_utils/pin_memory.py"


@dataclass(frozen=True)
class OutOfMemory:
    """What an error tells of memory that ran out."""

    shortage: Shortage
    requested_bytes: int | None = None
    """Bytes that were asked of the device in vain; None where the message does not tell, as with most libraries."""
    is_of_workers: bool = False
    """The shared memory ran out through which DataLoader workers send batches."""


def read_out_of_memory(error: BaseException) -> OutOfMemory | None:
    """What the error tells about memory that ran out; None for any other error.

    Of such errors that were raised from one another, the first counts: later ones may have lost a part of its message.
    """
    told: OutOfMemory | None = None
    each: BaseException | None = error
    while each is not None and (read := _read(each)) is not None:
        told, each = read, each.__cause__
    return told


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the device or of the host."""
    return _read(error) is not None


def shorten(text: str) -> str:
    """The text, with torch's long message about memory of a GPU that ran out in one short sentence, for people.

    It says what was asked for, what was free of how much, and which other processes held some of it. Advice on
    the allocator is left out.
    """
    return _LONG_MESSAGE.sub(_in_short, text)


def _in_short(message: re.Match[str]) -> str:
    requested, free, total = message["requested"], message["free"], message["total"]
    held = [f"{name.lower()} held {size}" for name, size in _others(message)]
    return ", ".join([f"CUDA out of memory: {requested} asked for, {free} of {total} free", *held])


def _others(message: re.Match[str]) -> list[tuple[str, str]]:
    """The processes that held memory besides the one whose message it is, each with how much.

    In a container the driver has other numbers for processes, so that torch does not know which is its own: it is
    taken for the smallest of those that hold what torch has reserved.
    """
    holders = _HOLDER.findall(message["held"])
    if any(name == "this process" for name, _ in holders):
        return [each for each in holders if each[0] != "this process"]
    if message["allocated"] is None:
        return holders
    reserved = _bytes_of(message["allocated"]) + _bytes_of(message["reserved"])
    own = min((each for each in holders if _bytes_of(each[1]) >= reserved), key=_size_of_holder, default=None)
    return [each for each in holders if each != own]


def _size_of_holder(holder: tuple[str, str]) -> int:
    return _bytes_of(holder[1])


def _bytes_of(size: str) -> int:
    """Such as ``2.50 GiB`` in bytes."""
    number, _, unit = size.partition(" ")
    return round(float(number) * _UNITS[unit])


def _read(error: BaseException) -> OutOfMemory | None:
    # By name: torch's own is torch.OutOfMemoryError, and torch is not imported here.
    is_named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    if is_named or isinstance(error, RuntimeError):
        return _read_text(error, is_named=is_named)
    is_host = isinstance(error, MemoryError) or (isinstance(error, OSError) and _has_no_pages(error))
    return OutOfMemory("host") if is_host else None


def _read_text(error: BaseException, *, is_named: bool) -> OutOfMemory | None:
    text = str(error)
    if _OF_WORKERS in text:
        return OutOfMemory("host", is_of_workers=True)
    if any(words in text for words in _HOST):
        return OutOfMemory("host")
    if not is_named and _DEVICE.search(text) is None:
        return None
    requested = _requested_bytes(text)
    is_pinned = requested is None and (_PINNING_THREAD in text or _is_pinning(error))
    return OutOfMemory("host" if is_pinned else "device", requested)


def _has_no_pages(error: OSError) -> bool:
    return error.errno == errno.ENOMEM or _NO_PAGES in str(error)


def _requested_bytes(text: str) -> int | None:
    if _ENDLESS_REQUEST in text:
        return 2**60
    found = _REQUEST.search(text)
    return None if found is None else _bytes_of(found[1])


def _is_pinning(error: BaseException) -> bool:
    """Whether page-locked host memory was asked for, for which CUDA's error is the same as for device memory.

    It was if the DataLoader's pinning function raised the error, or a line that names ``pin_memory``.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    return "pin_memory" in (frames[-1].line or "") or any(frame.filename.endswith(_PINNING_FILE) for frame in frames)
