"""What is free on a file system, and what it says when it takes no more, in words that name the file."""

import errno
import os
from pathlib import Path

_WORDS = {
    errno.ENOSPC: "no space left on device",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "file larger than is allowed here",
    errno.EROFS: "read-only file system",
}


LEFT_FREE_BYTES = 16 * 2**20
"""Space that a checkpoint leaves free: the study's database is often on the same disk, and fails without room."""


def describe_disk_error(error: OSError, path: Path) -> str:
    """Cause and file, such as ``no space left on device, /data/autotune.files/...``."""
    words = _WORDS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
    return f"{words}, {path}"


def find_disk_error(error: BaseException | None) -> OSError | None:
    """The system's error behind one that hides it, as torch's and SQLAlchemy's do; None where there is none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def free_bytes(folder: Path) -> int:
    """What a user without privileges may still write to the folder's file system."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def format_bytes(count: int) -> str:
    """Binary units: ``31.3 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"  # noqa: PLR2004
        value /= 1024
    return f"{value:.1f} GiB"
