"""The allocator of the host's memory: what glibc is told, and which one is in force."""

import ctypes
import sys
from pathlib import Path

from autotune.events import Scalar

# malloc.h of glibc; mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


class _Retention:
    """Remembers whether glibc was told to keep what is freed, since it can't be asked."""

    is_on = False


def retain_freed_memory() -> None:
    """Let glibc keep what is freed, large tensors too, whose pages are otherwise unmapped and faulted in anew.

    Raising M_MMAP_THRESHOLD is not enough: glibc refuses more than 32 MiB.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        _Retention.is_on = bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, _NEVER))


def allocator_in_force() -> Scalar:
    """The host's allocator: ``jemalloc`` or ``tcmalloc`` where one is loaded, else ``retain`` or ``default``."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text() if maps.exists() else ""
    for name in ("jemalloc", "tcmalloc"):
        if f"lib{name}" in loaded:
            return name
    return "retain" if _Retention.is_on else "default"
