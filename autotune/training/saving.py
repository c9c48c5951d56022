"""Where a checkpoint goes on a disk that may be full: training goes on without it, and says so once."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from autotune.disk import describe_disk_error, free_bytes
from autotune.training.checkpoint_file import CheckpointFile, write_checkpoint

LEFT_FREE_BYTES = 16 * 2**20
"""A checkpoint leaves so much of the disk: the study's database is often on the same one, and ends without room."""


class Saver:
    """Writes a trial's checkpoints, and tells where one can't be written."""

    def __init__(self, path: Path, *, tell: Callable[[str | None], None]) -> None:
        """``tell`` hears the problem when writing fails, and None when it works again."""
        self._path = path
        self._tell = tell
        self._problem: str | None = None

    def save(self, content: CheckpointFile, *, num_bytes: int) -> bool:
        """Write it whole, or leave the last one that was written; whether it was written.

        Args:
            content: What to write.
            num_bytes: Of its tensors; what is written is a little more.
        """
        try:
            self._check_room(num_bytes)
            write_checkpoint(self._path, content)
        except OSError as error:
            problem = describe_disk_error(error, self._path)
            if self._problem is None:
                self._tell(problem)
            self._problem = problem
            return False
        if self._problem is not None:
            self._problem = None
            self._tell(None)
        return True

    def _check_room(self, num_bytes: int) -> None:
        if free_bytes(self._path.parent) < num_bytes + LEFT_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
