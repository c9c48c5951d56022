"""A task that does what its parameter ``behaviour`` says, good or bad."""

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from autotune.training import TaskKnob, Trial

NUM_CHATTY_BYTES = 100 * 2**20


def train(trial: Trial) -> None:
    behaviour: Callable[[Trial], None] = globals()[str(trial.params.behaviour)]
    behaviour(trial)


train.knobs = (TaskKnob(name="decoder", choices=("pillow", "turbo")),)  # type: ignore[attr-defined] # as users write it


def report_thrice(trial: Trial) -> None:
    for epoch in (1, 2, 3):
        trial.report(epoch, val_accuracy=epoch / 10)


def train_until_stopped(trial: Trial) -> None:
    trial.report(1, val_accuracy=0.1)
    while not trial.should_stop():
        time.sleep(0.01)


def report_cores(trial: Trial) -> None:
    cores = os.sched_getaffinity(0)
    trial.report(1, val_accuracy=0.1, num_cores=len(cores), core=min(cores))
    while not trial.should_stop():
        time.sleep(0.01)


def report_device_order(trial: Trial) -> None:
    trial.report(1, val_accuracy=0.1, is_by_bus=float(os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"))


def report_killability(trial: Trial) -> None:
    trial.report(1, val_accuracy=0.1, score=int(Path("/proc/self/oom_score_adj").read_text()))


def report_and_segfault(trial: Trial) -> None:
    for epoch in range(1, 51):
        trial.report(epoch, val_accuracy=0.1)
    ctypes.string_at(0)


def leave_with_seven(trial: Trial) -> None:
    trial.report(1, val_accuracy=0.1)
    os._exit(7)


def raise_an_error(_trial: Trial) -> None:
    raise ZeroDivisionError("nothing to divide by")


def exit_as_a_script(_trial: Trial) -> None:
    sys.exit("enough")


def ignore_sigterm(trial: Trial) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    trial.report(1, val_accuracy=0.1)
    time.sleep(600)


def fork_grandchildren(trial: Trial) -> None:
    """A child that ignores SIGTERM, and one of that child's; both hold the pipe and the log."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        time.sleep(600)
    trial.report(1, val_accuracy=0.1, child=child)


def fork_grandchildren_and_wait(trial: Trial) -> None:
    fork_grandchildren(trial)
    time.sleep(600)


def leave_the_group(trial: Trial) -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    trial.report(1, val_accuracy=0.1, child=child.pid)
    time.sleep(600)


def hold_the_gil(trial: Trial) -> None:
    trial.report(1, val_accuracy=0.1)
    ctypes.PyDLL(None).sleep(600)


def chatter(trial: Trial) -> None:
    sys.stdout.write("the first line\n")
    line = "x" * 1023 + "\n"
    for _ in range(NUM_CHATTY_BYTES // 1024):
        sys.stdout.write(line)
    libc = ctypes.CDLL(None)
    libc.puts(b"a line of C code")
    libc.fflush(None)
    sys.stderr.write("the last line\n")
    trial.report(1, val_accuracy=0.1)


def chatter_without_end(trial: Trial) -> None:
    trial.report(1, val_accuracy=0.1)
    while True:
        sys.stdout.write("x" * 1023 + "\n")


def write_garbage(trial: Trial) -> None:
    os.write(_pipe_to_coordinator(), b"\x00no event\n")
    while not trial.should_stop():
        time.sleep(0.01)


def write_without_end(_trial: Trial) -> None:
    descriptor = _pipe_to_coordinator()
    os.set_blocking(descriptor, True)
    while True:
        os.write(descriptor, b"x" * 65536)


def load_with_workers(trial: Trial) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.zeros(10_000, 4)), batch_size=4, num_workers=2, persistent_workers=True)
    Path(str(trial.params.note)).write_text(str(os.getpid()))
    while not trial.should_stop():
        for epoch, _ in enumerate(loader, start=1):
            if epoch == 1:
                trial.report(1, val_accuracy=0.1)


def add_in_parallel(trial: Trial) -> None:
    """A parallel operation, which would hang if the fork server had a pool of threads."""
    import torch

    torch.set_num_threads(2)
    trial.report(1, val_accuracy=float((torch.rand(2000, 2000) @ torch.rand(2000, 2000)).mean().isfinite()))


def _pipe_to_coordinator() -> int:
    """The one socket whose pair another process made."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as end:
            made_by, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if made_by != os.getpid():
                return int(entry.name)
    raise LookupError("no socket leads out of this process")
