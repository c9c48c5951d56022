"""Where a checkpoint goes on a disk that may be full: training goes on without it, and says so once."""

import contextlib
import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from autotune.disk import LEFT_FREE_BYTES, describe_disk_error, format_bytes, free_bytes
from autotune.events import QUOTA
from autotune.training.checkpoints.checkpoint_file import CheckpointFile, temporary_of, write_checkpoint
from autotune.training.failures import FencedError


class Saver:
    """Writes a trial's checkpoints, and tells where one can't be written."""

    def __init__(self, path: Path, *, max_bytes: int | None = None, tell: Callable[[str | None], None]) -> None:
        """Write to this path.

        Args:
            path: The checkpoint's file, in a folder of the trial's own that lies in the study's.
            max_bytes: The most that all checkpoints of the study may take together; None for no limit.
            tell: Called with the problem in one line when writing fails, and with None when it works again.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._tell = tell
        self._problem: str | None = None
        self._owner = path.with_suffix(".owner")
        self._mark: str | None = None

    def begin(self) -> None:
        """Become the process that trains the trial; one that did so before can save no more."""
        mark = uuid.uuid4().hex
        with contextlib.suppress(OSError):  # on a full disk nobody is fenced off
            self._owner.write_text(mark)
            self._mark = mark

    def save(self, content: CheckpointFile, *, num_bytes: int) -> bool:
        """Write the checkpoint whole, or leave the last one as it is; returns whether it was written.

        Args:
            content: What to write.
            num_bytes: Size of its tensors; the file is a little larger.

        Raises:
            FencedError: Another process trains the trial now.
        """
        self._check_owner()
        try:
            problem = self._find_problem(num_bytes)
            if problem is None:
                write_checkpoint(self._path, content, check=self._check_owner)
        except OSError as error:
            problem = describe_disk_error(error, self._path)
        if (problem is None) != (self._problem is None):
            self._tell(problem)
        self._problem = problem
        return problem is None

    def _check_owner(self) -> None:
        """Raise FencedError where another process has begun to train the trial."""
        if self._mark is None:
            return
        try:
            mark = self._owner.read_text()
        except OSError:
            mark = ""  # the trial has ended, and its checkpoint is gone
        if mark != self._mark:
            raise FencedError("another process trains this trial now, since this one seemed dead")

    def _find_problem(self, num_bytes: int) -> str | None:
        """Why a checkpoint of this size can't be written, in one line; None where it can."""
        if free_bytes(self._path.parent) < num_bytes + LEFT_FREE_BYTES:
            return describe_disk_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self._path)
        if self._max_bytes is None:
            return None
        names = (self._path.name, temporary_of(self._path).name)
        others = sum(_size(each) for name in names for each in self._path.parents[1].glob(f"*/{name}"))
        if others + num_bytes <= self._max_bytes:
            return None
        used = f"{format_bytes(num_bytes)} more than the {format_bytes(others)} that are used"
        return f"{QUOTA} allows the study {format_bytes(self._max_bytes)}, got {used}, {self._path}"


def _size(path: Path) -> int:
    """The file's size in bytes; 0 where it is gone meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
