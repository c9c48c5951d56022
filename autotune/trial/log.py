"""A trial's log: what it and its C code write to stdout and stderr, within a limit."""

import contextlib
import fcntl
import io
import os
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from typing_extensions import override

from autotune.disk import describe_disk_error

_MARK = b"\n[... the log outgrew its limit; its middle is left out here ...]\n"
_LOST = "\n[... {num_bytes} bytes are missing here: {problem} ...]\n"
_CHUNK_BYTES = 2**20
_LEAST_BYTES = 1024
_MOST_LATE_SECONDS = 2.0


class TrialLog:
    """Keeps the first and the last bytes of a log in one file, never more than ``max_bytes``.

    The file is in order and within the limit at every moment, so that a killed coordinator
    leaves a readable log; a trial that goes on later continues the same file.
    """

    def __init__(self, file: IO[bytes], *, max_bytes: int) -> None:
        assert max_bytes >= _LEAST_BYTES, max_bytes
        self.problem: str | None = None
        """Why nothing can be written at the moment: cause and file; None while it can."""
        self._num_lost = 0
        self._file = file
        self._max_bytes = max_bytes
        self._kept_bytes = max_bytes // 4
        self._size = file.seek(0, os.SEEK_END)

    @classmethod
    def open(cls, path: Path, *, max_bytes: int) -> "TrialLog":
        """The log at ``path``, which continues what is there; kept in memory where the disk takes no file."""
        try:
            path.touch()
            return cls(path.open("r+b", buffering=0), max_bytes=max_bytes)
        except OSError as error:
            log = cls.in_memory(max_bytes=max_bytes)
            log.problem = describe_disk_error(error, path)
            return log

    @classmethod
    def in_memory(cls, *, max_bytes: int) -> "TrialLog":
        """A log that is in no file yet."""
        return cls(io.BytesIO(), max_bytes=max_bytes)

    def moved_to(self, path: Path) -> "TrialLog":
        """The log at ``path``, which continues what is there by what this one has; this one is closed."""
        moved = TrialLog.open(path, max_bytes=self._max_bytes)
        self._file.seek(0)
        moved.write(self._file.read())
        self.close()
        return moved

    def write(self, chunk: bytes) -> None:
        """Add to the end; what is too much is cut out of the middle.

        What the disk does not take is lost, and the log says so where it goes on.
        """
        size = self._size
        try:
            if self._num_lost:
                self._write(_LOST.format(num_bytes=self._num_lost, problem=self.problem).encode())
            self._write(chunk)
        except OSError as error:
            self._num_lost += len(chunk)
            self.problem = describe_disk_error(error, Path(str(self._file.name)))
            self._size = self._file.truncate(min(size, self._file.seek(0, os.SEEK_END)))
            self._file.seek(self._size)
            return
        if self._num_lost:
            self._num_lost, self.problem = 0, None

    def _write(self, chunk: bytes) -> None:
        """Write within the limit, leaving out the middle as often as needed."""
        rest = memoryview(chunk)
        while rest:
            if self._size >= self._max_bytes:
                self._leave_out_middle()
            taken = self._file.write(rest[: self._max_bytes - self._size])
            self._size += taken
            rest = rest[taken:]

    def tail(self, *, num_lines: int) -> str:
        """The last lines of the log, as ``last_words`` picks them from its last 16 KiB."""
        self._file.seek(max(0, self._size - 2**14))
        text = self._file.read().decode(errors="replace")
        self._file.seek(self._size)
        return "\n".join(last_words(text, num_lines=num_lines))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _leave_out_middle(self) -> None:
        """Keep a quarter of the limit from each end of the file, and mark the gap."""
        self._file.seek(self._size - self._kept_bytes)
        kept = self._file.read()
        # Cut where a line starts, unless one line is longer than all that is kept.
        kept = kept[kept.find(b"\n") + 1 :]
        self._file.seek(self._kept_bytes)
        self._file.truncate()
        self._file.write(_MARK + kept)
        self._size = self._kept_bytes + len(_MARK) + len(kept)


def last_words(text: str, *, num_lines: int) -> Sequence[str]:
    """The last lines; after a crash, the cause and the crashed thread's stack as Python's fault handler wrote them."""
    _, fatal, dump = text.rpartition("Fatal Python error: ")
    if not fatal:
        lines = text.splitlines()
        return lines[len(lines) - min(num_lines, len(lines)) :]
    cause, *lines = dump.splitlines()
    crashed = next((index for index, line in enumerate(lines) if line.startswith("Current thread")), 0)
    return [fatal + cause, *lines[crashed:]][:num_lines]


class LogDrain(threading.Thread):
    """Carries what comes out of a pipe into a log, so that the writer is never held up.

    Owns ``descriptor``, the pipe's reading end, and the log.
    """

    def __init__(self, descriptor: int, *, log: TrialLog) -> None:
        super().__init__(name="log drain", daemon=True)
        self._descriptor = descriptor
        self._log = log
        self._lock = threading.Lock()
        self._is_finished = self._is_closed = False

    @override
    def run(self) -> None:
        while chunk := os.read(self._descriptor, _CHUNK_BYTES):
            with self._lock:
                if self._is_finished:
                    continue
                self._log.write(chunk)
        with self._lock:
            self._is_closed = True
            os.close(self._descriptor)

    @property
    def problem(self) -> str | None:
        """Why output is lost at the moment; None while the log can be written."""
        return self._log.problem

    def tail(self, *, num_lines: int) -> str:
        """The last lines so far."""
        with self._lock:
            return self._log.tail(num_lines=num_lines)

    def move_to(self, path: Path) -> None:
        """Continue the log at ``path``."""
        with self._lock:
            self._log = self._log.moved_to(path)

    def finish(self, *, num_lines: int = 0, timeout: float = 0.5) -> str:
        """Close the log after the last writer is gone, and return its last lines.

        A process that left its trial's group may hold the pipe open for ever: what it writes after
        ``timeout`` seconds is thrown away. What came before and was not carried yet, as on a machine that stood still
        meanwhile, has ``_MOST_LATE_SECONDS`` more.
        """
        self.join(timeout)
        deadline = time.monotonic() + _MOST_LATE_SECONDS
        while self.is_alive() and self._has_more() and time.monotonic() < deadline:
            self.join(0.01)
        with self._lock:
            self._is_finished = True
            lines = self._log.tail(num_lines=num_lines)
            self._log.close()
            return lines

    def _has_more(self) -> bool:
        """Whether something, or the end, is there to be read."""
        with self._lock:
            if self._is_closed:
                return False
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            return bool(poll.poll(0))


def open_pipe() -> tuple[int, int]:
    """A pipe's reading and writing end, roomy where the system allows it; no child inherits them by itself."""
    reading, writing = os.pipe()
    # An unprivileged user has a quota of large pipes: the usual 64 KiB do as well, only slower.
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _CHUNK_BYTES)
    return reading, writing
