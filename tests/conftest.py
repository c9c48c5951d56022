import atexit
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import pytest
from filelock import FileLock

from tests.ports import free_port
from tests.postgres import running_server

MadeOnce: TypeAlias = Callable[[str, Callable[[Path], None]], Path]

# Small models on busy cores: one thread each, in this process and in every one that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
# Workers import all that we stand on, and keep it: Python looks for garbage among it ever so often.
gc.set_threshold(50_000, 20, 20)
# A developer's own settings must not lead a test into a real study.
SETTINGS = ("AUTOTUNE_STORAGE", "AUTOTUNE_FILES", "MLFLOW_TRACKING_URI")


# Studies of tests are no company of a developer's own ones, nor of those of tests that run beside these.
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="autotune-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


def _forget_settings() -> None:
    for name in SETTINGS:
        os.environ.pop(name, None)


_forget_settings()


@pytest.fixture(autouse=True)
def _no_settings() -> Iterator[None]:
    """Neither must what MLflow sets, as it goes, for the process: also not fixtures of a session, which come before."""
    _forget_settings()
    yield
    _forget_settings()


# Jobs in a shell's background ignore Ctrl-C, those under nohup a hang-up; so would every program that a test starts
# and stops with one of these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

IN_MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2 * 2**30
if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ENOUGH_BYTES:
    # Thousands of commits each wait for the disk (synchronous=FULL), which on a busy one is most of the time.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Gives the folder of this name, which the first of all workers that asks for it has filled: tests only read it."""
    top = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent

    def give(name: str, fill: Callable[[Path], None]) -> Path:
        folder, ready = top / name, top / f"{name}.ready"
        with FileLock(top / f"{name}.lock"):
            if not ready.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed on the way
                folder.mkdir()
                fill(folder)
                ready.touch()
        return folder

    return give


@pytest.fixture(scope="session")
def empty_store(made_once: MadeOnce) -> Path:
    """An MLflow store without experiments: making one takes seconds."""

    def fill(folder: Path) -> None:
        from autotune.recording.mlflow.store import open_client

        open_client(f"sqlite:///{folder}/mlflow.db")

    return made_once("store", fill) / "mlflow.db"


class OwnTime(SimpleNamespace):
    """Stands for the module ``time``: sleeping alone moves it on, and a look by a microsecond."""

    _LOOK_SECONDS = 1e-6

    def __init__(self) -> None:
        super().__init__(**vars(time))
        self._seconds = 1000.0
        self._lock = threading.Lock()
        self.perf_counter = self.monotonic = self._look
        self.sleep = self._pass

    def _look(self) -> float:
        self._pass(self._LOOK_SECONDS)
        return self._seconds

    def _pass(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds


@pytest.fixture
def own_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give our modules and the test's one a time of this test's own: a busy machine makes nothing late.

    Libraries, and processes that the test starts anew, keep the machine's.
    """
    own = OwnTime()
    ours = [module for name, module in sys.modules.items() if name.startswith("autotune.")]
    for module in [request.module, *ours]:
        if getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", own)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes in one thread, as in trials that have one core each."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """torch.compile as a new process finds it: what it learns of code, as that its shapes differ, is the process's."""
    import torch

    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of this test run."""
    with running_server(has_locks=True) as server:
        yield server.get_uri()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    yield postgres_server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
