"""The coordinator's end of a fork server."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from typing import Self

from autotune.errors import ForkServerError, TaskError
from autotune.hardware import TorchFacts
from autotune.task_knob import TaskKnob
from autotune.trial.descendants import signal_group
from autotune.trial.log import LogDrain, TrialLog, open_pipe
from autotune.trial.messages import (
    ANSWER,
    MAX_MESSAGE_BYTES,
    Answer,
    Ended,
    Forked,
    Launch,
    Prepare,
    Ready,
    Refused,
    Signal,
)
from autotune.trial.starter import await_set_up, describe_end, import_path, start_module

_MAX_LOG_BYTES = 2**18
_FORK_SECONDS = 60.0
_END_SECONDS = 10.0


class ForkServer:
    """A fork server that this process has started; see ``fork_server.py`` for its own side."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = open_pipe()
        # Without a name: nothing stays behind, however this process ends.
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the log closes it
        self._drain = LogDrain(reading, log=TrialLog(file, max_bytes=_MAX_LOG_BYTES))
        self._drain.start()
        self._process = start_module("autotune.trial.fork_server", descriptor=theirs.fileno(), output=writing)
        theirs.close()
        os.close(writing)
        self._facts: TorchFacts | None = None
        self._knobs: tuple[TaskKnob, ...] = ()
        self._ended: list[Ended] = []

    @classmethod
    def start(cls, task: str, *, tell: Callable[[str], None]) -> Self:
        """Start a process and set the task up in it; ``tell`` is told a line where that takes long.

        Raises TaskError when the task can't be imported or set up, or ends the process in the attempt.
        """
        server = cls()
        try:
            server._prepare(task, tell=tell)
        except BaseException:  # Ctrl-C included: nothing may stay behind
            server.close()
            raise
        return server

    @property
    def facts(self) -> TorchFacts:
        """What torch answers in a trial's process."""
        assert self._facts is not None
        return self._facts

    @property
    def knobs(self) -> tuple[TaskKnob, ...]:
        """Speed parameters that the task declares itself; see Starter."""
        return self._knobs

    @property
    def outlives_the_coordinator(self) -> bool:
        """The server sees the end of its socket; see Starter."""
        return True

    def start_trial(self, launch: Launch, *, near: socket.socket, far: socket.socket, log: int) -> int:
        """Fork a trial; see Starter."""
        del near  # it stays here
        try:
            socket.send_fds(self._control, [launch.model_dump_json().encode()], [far.fileno(), log])
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None
        while True:
            answer = self._receive(timeout=_FORK_SECONDS)
            match answer:
                case Forked():
                    return answer.pid
                case Ended():
                    self._ended.append(answer)
                case Refused():
                    raise ForkServerError(answer.reason)
                case None | Ready():
                    raise self._lost()

    def fileno(self) -> int:
        """Readable when a trial or the server itself has ended."""
        return self._control.fileno()

    def read_ended(self) -> list[Ended]:
        """Trials that have ended since the last call; see Starter."""
        while select.select([self._control], [], [], 0)[0]:
            answer = self._receive(timeout=0)
            if answer is None:
                if self._ended:  # first what it still told; its end is seen again at the next call
                    break
                raise self._lost()
            assert isinstance(answer, Ended), answer
            self._ended.append(answer)
        ended, self._ended = self._ended, []
        return ended

    def signal(self, pid: int, *, number: int) -> None:
        """Let the server signal: it alone knows whether the number is still the trial's."""
        try:
            self._control.send(Signal(pid=pid, number=number).model_dump_json().encode())
        except (BrokenPipeError, ConnectionResetError):
            signal_group(pid, number=number)

    def close(self) -> None:
        """Close the socket, at which the server kills everything below it and ends."""
        with contextlib.suppress(OSError):  # not connected: the server is gone
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            signal_group(self._process.pid, number=signal.SIGKILL)
            self._process.wait()
        self._drain.finish()

    def _prepare(self, task: str, *, tell: Callable[[str], None]) -> None:
        """Have the server set the task up; raises TaskError where it can't."""
        request = Prepare(task=task, import_path=import_path())
        # A server that ended at once, without torch for example, is noticed by its missing answer.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(request.model_dump_json().encode())
        await_set_up(self._control, task=task, tell=tell, last_line=lambda: self._drain.tail(num_lines=1))
        answer = self._receive(timeout=None)
        match answer:
            case Ready():
                self._facts, self._knobs = answer.facts, answer.knobs
            case Refused():
                raise TaskError(answer.reason)
            case _:
                words = self._last_words()
                raise TaskError(f"task {task}: importing it and its setup() must not end the process, got {words}")

    def _receive(self, *, timeout: float | None) -> Answer | None:
        """The next message; None when the server is gone or silent."""
        if not select.select([self._control], [], [], timeout)[0]:
            return None
        try:
            packet = self._control.recv(MAX_MESSAGE_BYTES)
        except ConnectionResetError:
            return None
        return ANSWER.validate_json(packet) if packet else None

    def _lost(self) -> ForkServerError:
        """The error for a server that has ended."""
        return ForkServerError(
            f"fork server: it must live as long as what it trains for, got {self._last_words()}; "
            "type the same command again: a study's trials go on from their checkpoints"
        )

    def _last_words(self) -> str:
        """How the server ended, with the last lines of its log."""
        try:
            end = describe_end(self._process.wait(_END_SECONDS))
        except subprocess.TimeoutExpired:
            end = f"no answer for {_FORK_SECONDS:.0f} s"
        self._drain.join(1.0)
        lines = self._drain.tail(num_lines=8)
        return f"{end}, last lines:\n{lines}\n" if lines else end
