"""Trials as fresh interpreters, where no fork server can be."""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self

from autotune.errors import TaskError
from autotune.hardware import TorchFacts
from autotune.task_knob import TaskKnob
from autotune.trial.descendants import signal_group
from autotune.trial.log import last_words
from autotune.trial.messages import ANSWER, CHUNK_BYTES, Answer, Ended, Launch, LineBuffer, Prepare, Ready, Refused
from autotune.trial.starter import await_set_up, describe_end, import_path, start_module

_MODULE = "autotune.trial.child"
_END_SECONDS = 10.0
_GROUP_SECONDS = 1.0
_TAIL_BYTES = 2**14


class Spawner:
    """Starts a new interpreter for each trial, which imports torch and the task again.

    Not by ``multiprocessing``'s spawn: that imports the coordinator's main module in the trial,
    and what a trial prints before its first line runs would miss the log.
    """

    def __init__(self, facts: TorchFacts, *, knobs: tuple[TaskKnob, ...] = ()) -> None:
        self._facts = facts
        self._knobs = knobs
        self._living: dict[int, threading.Thread] = {}
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._reading, self._writing = socket.socketpair()
        self._reading.settimeout(0)

    @classmethod
    def start(cls, task: str, *, tell: Callable[[str], None]) -> Self:
        """Try the task in a process of its own; ``tell`` is told a line where that takes long.

        Raises TaskError when the task can't be imported or set up, or ends the process in the attempt.
        """
        with tempfile.TemporaryFile() as log:
            answer, end = _try_task(task, log=log.fileno(), tell=tell)
            log.seek(0)
            lines = last_words(log.read().decode(errors="replace"), num_lines=8)
        match answer:
            case Ready():
                return cls(answer.facts, knobs=answer.knobs)
            case Refused():
                raise TaskError(answer.reason)
            case _:
                what = f"task {task}: importing it and its setup() must not end the process, got {end}, last lines:"
                raise TaskError("\n".join([what, *lines]))

    @property
    def facts(self) -> TorchFacts:
        """What torch answers in a trial's process."""
        return self._facts

    @property
    def knobs(self) -> tuple[TaskKnob, ...]:
        """Speed parameters that the task declares itself; see Starter."""
        return self._knobs

    @property
    def outlives_the_coordinator(self) -> bool:
        """False: the spawner is a part of the coordinator; see Starter."""
        return False

    def start_trial(self, launch: Launch, *, near: socket.socket, far: socket.socket, log: int) -> int:
        """Start an interpreter; see Starter."""
        process = start_module(_MODULE, descriptor=far.fileno(), output=log)
        near.sendall(launch.model_copy(update={"import_path": import_path()}).model_dump_json().encode() + b"\n")
        # A thread each: the one way to wait for a process that does not take SIGCHLD from the coordinator.
        thread = threading.Thread(target=self._await_end, args=(process,), name="trial reaper", daemon=True)
        self._living[process.pid] = thread
        thread.start()
        return process.pid

    def fileno(self) -> int:
        """Readable when a trial has ended."""
        return self._reading.fileno()

    def read_ended(self) -> list[Ended]:
        """Trials that have ended since the last call; see Starter."""
        with contextlib.suppress(BlockingIOError):
            self._reading.recv(CHUNK_BYTES)
        ended = []
        with contextlib.suppress(queue.Empty):
            while True:
                ended.append(self._ended.get_nowait())
        for end in ended:
            self._living.pop(end.pid).join()
        return ended

    def signal(self, pid: int, *, number: int) -> None:
        """Send a signal to a trial's process group; see Starter."""
        if pid in self._living:
            signal_group(pid, number=number)

    def close(self) -> None:
        """Kill every trial and wait for it."""
        for pid, thread in self._living.items():
            signal_group(pid, number=signal.SIGKILL)
            thread.join(_END_SECONDS)
        self._reading.close()
        self._writing.close()

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a process's end, kill what is left of its group, and tell."""
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Not reaped yet, so the number is still this group's.
        signal_group(process.pid, number=signal.SIGKILL)
        returncode = process.wait()
        _await_group(process.pid)
        number = -returncode if returncode < 0 else None
        self._ended.put(Ended(pid=process.pid, status=returncode if number is None else 128 + number, signal=number))
        # Closed or full: nobody listens any more, or has a call waiting already.
        with contextlib.suppress(OSError):
            self._writing.send(b".", socket.MSG_DONTWAIT)


def _try_task(task: str, *, log: int, tell: Callable[[str], None]) -> tuple[Answer | None, str]:
    """What a process answers that imports the task and sets it up, and how it ended."""
    ours, theirs = socket.socketpair()
    process = start_module(_MODULE, descriptor=theirs.fileno(), output=log)
    theirs.close()
    answer = None
    try:
        request = Prepare(task=task, import_path=import_path())
        with ours, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(request.model_dump_json().encode() + b"\n")
            await_set_up(ours, task=task, tell=tell, last_line=partial(_last_line, log))
            answer = _receive(ours)
        end = describe_end(process.wait(_END_SECONDS))
    finally:
        signal_group(process.pid, number=signal.SIGKILL)
        process.wait()
    return answer, end


def _receive(near: socket.socket) -> Answer | None:
    """The answer that comes over the socket; None where its other end closes first."""
    lines = LineBuffer()
    while chunk := near.recv(CHUNK_BYTES):
        if received := lines.feed(chunk):
            return ANSWER.validate_json(received[0])
    return None


def _last_line(log: int) -> str:
    """The last line of the log; its place is the writing process's, too, and is left where it is."""
    size = os.fstat(log).st_size
    return "".join(
        last_words(os.pread(log, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(errors="replace"), num_lines=1)
    )


def _await_group(group: int) -> None:
    """Wait a moment for killed members to die; they are not children of this process."""
    deadline = time.monotonic() + _GROUP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.002)
