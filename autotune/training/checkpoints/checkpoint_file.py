"""The file that a checkpoint is: written whole or not at all, read without running code."""

import contextlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, cast

import torch

from autotune.disk import find_disk_error
from autotune.errors import TaskError
from autotune.training.checkpoints.background import forkable
from autotune.training.failures import one_line
from autotune.training.rng import RngState

FORMAT = 1


def temporary_of(path: Path) -> Path:
    """The file in which a checkpoint is written until it is whole."""
    return path.with_suffix(".tmp")


class CheckpointFile(TypedDict):
    """What ``checkpoint.pt`` holds."""

    format: int
    objects: dict[str, Any]
    """The states of the objects that the training loop handed over, by its names for them."""
    own: dict[str, Any]
    """The states of the trial's own parts: meter, reports, scaler."""
    rng: RngState


def read_checkpoint(path: Path) -> CheckpointFile:
    """The checkpoint's content, on the CPU.

    Raises:
        TaskError: The file can't be read, or another version wrote it.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = one_line(error)
        raise TaskError(
            f"{path}: the checkpoint can't be read ({reason}); delete it to train from the start"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TaskError(f"{path}: the checkpoint is of another version of autotune; delete it to train from the start")
    return cast("CheckpointFile", content)


def write_checkpoint(path: Path, content: CheckpointFile, *, check: Callable[[], None] = lambda: None) -> None:
    """Write the checkpoint whole or not at all, even in a power cut.

    Args:
        path: Where the checkpoint is to be.
        content: What it holds.
        check: Called when all is written, before the new file takes the old one's place; it raises to prevent that.

    Raises:
        OSError: The disk takes no more, or takes nothing; the checkpoint that was there before still is.
    """
    temporary = temporary_of(path)
    try:
        # A file of its own: a process that was stopped while it wrote one of this name may go on with that.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            torch.save(content, file)
            file.flush()
            with forkable(file.fileno()):
                os.fsync(file.fileno())
        check()
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # its half would be what fills the disk
        # torch.save says "unexpected pos 704 vs 598" where the system said that there is no space left.
        cause = find_disk_error(error)
        if cause is None or cause is error:
            raise
        raise cause from error
    if os.name == "posix":  # Windows can't open a folder, and needs not: NTFS journals the rename
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            with forkable(folder):
                os.fsync(folder)
        finally:
            os.close(folder)
