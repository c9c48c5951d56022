"""Commands of ours, each a process that is forked from one that has imported what they need.

A study of a second takes six to start, most of which are imports. A forked process has all else of the program: its own
``main``, streams, exit status and end. Those that tests signal or kill start from nothing, and so do some of each kind.
"""

import atexit
import functools
import gc
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from tests.processes import CHECKOUT

ROOMS = ("cli", "coordinator", "recording", "report", "search")
"""Of the coordinator's side, which never imports torch."""


class _Order(BaseModel):
    words: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    timeout_seconds: float


class _Done(BaseModel):
    status: int
    """As ``subprocess`` gives it: negative for a signal."""
    stdout: str
    stderr: str


def run(words: Sequence[str], *, folder: Path, timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run ``autotune`` with these words in this folder, in the environment that this process has now.

    Its status is that of SIGKILL where it took longer.
    """
    order = _Order(words=words, folder=folder, environment=os.environ, timeout_seconds=timeout)
    process = _parent()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{order.model_dump_json()}\n")
        process.stdin.flush()
        done = _Done.model_validate_json(process.stdout.readline())
    except BaseException:  # a test's time is up: the answer would be taken for the next one's
        _parent.cache_clear()
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(list(words), done.status, done.stdout, done.stderr)


@functools.cache
def _parent() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", __name__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    atexit.register(process.communicate)  # its input ends, and so does it
    return process


def main() -> None:
    """Carry out the orders on stdin, a line each; a line of stdout says what came of it."""
    warnings.simplefilter("ignore")  # as the program does; Arrow's allocator has a thread, which is ready for a fork
    _import()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = _Order.model_validate_json(line)
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            pid = os.fork()
            if pid == 0:
                _become(order, stdout=stdout, stderr=stderr)
                from autotune.cli.main import main as program

                program()
            status = _wait(pid, timeout_seconds=order.timeout_seconds)
            done = _Done(status=status, stdout=_text(stdout), stderr=_text(stderr))
        sys.stdout.write(f"{done.model_dump_json()}\n")
        sys.stdout.flush()


def _import() -> None:
    from autotune.recording.mlflow.store import ENVIRONMENT

    for room in ROOMS:
        package = importlib.import_module(f"autotune.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations." not in module.name:  # Alembic runs them
                importlib.import_module(module.name)
    os.environ.update(ENVIRONMENT)
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    assert "torch" not in sys.modules


def _become(order: _Order, *, stdout: IO[bytes], stderr: IO[bytes]) -> None:
    """Turn this process into the program's, as a shell starts it."""
    with Path(os.devnull).open("rb") as nothing:
        for number, file in enumerate((nothing, stdout, stderr)):
            os.dup2(file.fileno(), number)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv, sys.path[0] = ["autotune", *order.words], str(order.folder)


def _wait(pid: int, *, timeout_seconds: float) -> int:
    deadline = time.monotonic() + timeout_seconds
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        time.sleep(0.01)
        if time.monotonic() > deadline:
            os.kill(pid, 9)
    return os.waitstatus_to_exitcode(ended[1])


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main()
