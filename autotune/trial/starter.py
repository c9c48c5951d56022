"""What starts trial processes: from a fork server, or each anew."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Protocol

from autotune.hardware import TorchFacts
from autotune.task_knob import TaskKnob
from autotune.trial.messages import Ended, Launch

_SILENT_SECONDS = 15.0
"""A set-up that takes this long is told of; importing torch takes 5 to 7 s."""


class Starter(Protocol):
    """Starts, signals and reaps the processes of one task's trials."""

    @property
    def facts(self) -> TorchFacts:
        """What torch answers in a trial's process."""

    @property
    def knobs(self) -> tuple[TaskKnob, ...]:
        """Speed parameters that the task declares itself."""

    @property
    def outlives_the_coordinator(self) -> bool:
        """It ends its processes when the coordinator dies, those too that are stopped and can't notice."""

    def start_trial(self, launch: Launch, *, near: socket.socket, far: socket.socket, log: int) -> int:
        """Start a process and return its id, which is also that of its process group.

        The caller owns the descriptors and closes ``far`` and ``log`` afterwards.

        Args:
            launch: What the process does.
            near: The coordinator's end of the socket for events.
            far: The trial's end of it.
            log: Where its stdout and stderr go.

        Raises:
            ForkServerError: The process that starts trials has ended, or can't start one.
        """

    def fileno(self) -> int:
        """Readable when ``read_ended`` has something to tell."""

    def read_ended(self) -> list[Ended]:
        """Processes that have ended since the last call; never waits.

        Raises ForkServerError when the process that starts trials has ended.
        """

    def signal(self, pid: int, *, number: int) -> None:
        """Send a signal to a trial's process group; nothing happens if it is gone."""

    def close(self) -> None:
        """End every trial and the process that they start from."""


def await_set_up(
    answer: socket.socket, *, task: str, tell: Callable[[str], None], last_line: Callable[[], str]
) -> None:
    """Wait until a process answers that imports a task and sets it up, and tell of that at 15, 30, 60, ... seconds.

    There is no limit: a set-up may download data for an hour, and nobody else knows whether it hangs.

    Args:
        answer: Readable when the process has answered, or has ended.
        task: The task's name.
        tell: Told one line each time.
        last_line: Gives the last line that the process has written; empty for none.
    """
    began, pause = time.monotonic(), _SILENT_SECONDS
    while not select.select([answer], [], [], pause)[0]:
        pause = time.monotonic() - began  # twice as long in all
        said = f", and said last: {line}" if (line := last_line()) else ""
        tell(f"task {task}: its import and setup() have taken {pause:.0f} s so far{said}; Ctrl-C ends this")


def start_module(module: str, *, descriptor: int, output: int) -> subprocess.Popen[bytes]:
    """Run a module of ours with this interpreter, in a session of its own.

    Args:
        module: Its name; its one argument is the descriptor's number.
        descriptor: A socket of this process that it inherits.
        output: Where its stdout and stderr go.
    """
    return subprocess.Popen(  # noqa: S603 - our own module
        # -P keeps the working directory out of the import path until our own modules are found: a user's
        # ``autotune.py`` must not stand in for the package.
        (sys.executable, "-P", "-m", module, str(descriptor)),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        # CUDA counts the fastest device first, NVML, which tells their names, by their place on the bus.
        env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ},
        pass_fds=[descriptor],
        # Ctrl-C in the terminal is for the coordinator alone; a session is a process group as well.
        start_new_session=True,
    )


def import_path() -> tuple[str, ...]:
    """Where this process finds modules; the working directory is added where the task is imported."""
    return tuple(entry for entry in sys.path if entry)


def describe_end(returncode: int) -> str:
    """How a process ended, in words; the returncode is negative where a signal ended it."""
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"signal {signal_name(-returncode)}"


def signal_name(number: int) -> str:
    """Such as ``SIGSEGV``; of a real-time signal, which has no name, the number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
