"""Restarts a trial's program for settings that hold only from a process's start: memory allocators of host and CUDA.

A forked trial that needs another allocator replaces its program by a fresh interpreter under the
same process id. That imports torch again, which takes seconds.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Mapping

from autotune.events import Scalar
from autotune.hardware import find_allocator
from autotune.speed.knobs.code import CUDA_ALLOCATORS
from autotune.trial.messages import MAX_MESSAGE_BYTES, Launch


def wanted_environment(parameters: Mapping[str, Scalar]) -> dict[str, str]:
    """Environment variables that ``allocator`` and ``cuda_allocator`` need, without those that are already set so."""
    wanted: dict[str, str] = {}
    library = find_allocator(str(parameters.get("allocator", "default")))
    if library is not None and library not in os.environ.get("LD_PRELOAD", ""):
        wanted["LD_PRELOAD"] = " ".join(filter(None, (library, os.environ.get("LD_PRELOAD"))))
    # https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-alloc-conf
    setting = CUDA_ALLOCATORS.get(str(parameters.get("cuda_allocator", "native")))
    # torch reads the old name only where the new one is not set: the user's own settings move over.
    given = os.environ.get("PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", ""))
    if setting is not None and setting not in given:
        wanted["PYTORCH_ALLOC_CONF"] = ",".join(filter(None, (given, setting)))
    return wanted


def relaunch_if_needed(launch: Launch, *, events: socket.socket) -> None:
    """Replace this process's program where its order needs other variables, and then never return."""
    if sys.platform != "linux" or launch.purpose == "rehearse":
        return
    wanted = wanted_environment(launch.order.parameters)
    if not wanted:
        return
    paths = launch.import_path or tuple(entry for entry in sys.path if entry)
    with tempfile.TemporaryFile() as file:
        file.write(launch.model_copy(update={"import_path": paths}).model_dump_json().encode())
        file.seek(0)
        for descriptor in (file.fileno(), events.fileno()):
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keyword
        sys.stdout.flush()
        sys.stderr.flush()
        arguments = ("-P", "-m", "autotune.trial.child", str(events.fileno()), str(file.fileno()))
        os.execve(sys.executable, (sys.executable, *arguments), {**os.environ, **wanted})  # noqa: S606 - our own module


def read_launch(descriptor: int) -> Launch:
    """The launch that the replaced program of this process has written for this one."""
    try:
        return Launch.model_validate_json(os.read(descriptor, MAX_MESSAGE_BYTES))
    finally:
        os.close(descriptor)
