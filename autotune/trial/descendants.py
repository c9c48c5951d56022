"""Adopts, reaps and kills processes that outlive the one that started them."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Death:
    """How a child process ended."""

    pid: int
    status: int
    """Its exit status; 128 + the signal's number where a signal ended it."""
    signal: int | None


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, on Linux.

    So they are reaped, also in a container whose first process reaps nothing, and are found when
    everything must end, also those that left their trial's process group.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def next_death() -> Death | None:
    """A child that has ended and is not reaped yet, so that its number can't belong to another process."""
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if info is None:
        return None
    if info.si_code == os.CLD_EXITED:
        return Death(info.si_pid, status=info.si_status, signal=None)
    return Death(info.si_pid, status=128 + info.si_status, signal=info.si_status)


def signal_group(group: int, *, number: int) -> None:
    """Send a signal to every process of a group; nothing happens when none is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def end_group(group: int, *, timeout: float = 1.0) -> None:
    """Kill what is left of a group and reap those of it that are children of this process.

    Gives up after the timeout, since a process inside a driver or a network file system may
    take any time to die.
    """
    signal_group(group, number=signal.SIGKILL)
    deadline = time.monotonic() + timeout
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-group, os.WNOHANG) == (0, 0):
                time.sleep(0.001)


def end_descendants(*, timeout: float = 5.0) -> None:
    """Kill and reap every process below this one, whatever its group."""
    deadline = time.monotonic() + timeout
    this = psutil.Process()
    while (descendants := this.children(recursive=True)) and time.monotonic() < deadline:
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        while (death := next_death()) is not None:
            os.waitpid(death.pid, 0)
        time.sleep(0.005)
