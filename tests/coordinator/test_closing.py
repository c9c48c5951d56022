import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typing_extensions import override

from autotune.coordinator.books import Books
from autotune.coordinator.closing import close_books
from autotune.coordinator.interrupts import Interrupts
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.places import Places
from tests.coordinator.simulated import NAME, Told, open_books, study_url
from tests.e2e.home import wait_until
from tests.trial.listening import is_gone

LEFT_OUT = f"stopped before the model of trial 4 was logged to MLflow; `autotune study resume {NAME}` logs it"


HANGING = """
import os, time
open({folder!r} + "/" + str(os.getpid()), "w").close()
time.sleep(60)
"""


@dataclass
class Signaller(Told):
    """Sends a signal to this process once the process that logs a model runs, which hangs as it starts."""

    folder: Path = Path()
    number: signal.Signals = signal.SIGINT

    @override
    def note(self, line: str) -> None:
        super().note(line)
        if "logging the model" in line:
            threading.Thread(target=self._signal, daemon=True).start()

    def _signal(self) -> None:
        wait_until(lambda: bool(self.hanging()), timeout=45, what="the process that logs the model")
        os.kill(os.getpid(), self.number)

    def hanging(self) -> list[int]:
        """The processes that were started."""
        return [int(file.name) for file in self.folder.glob("[0-9]*")]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """Of a study whose search is over."""
    with open_books(tmp_path) as books:
        yield books


def close(books: Books, folder: Path, *, interrupts: Interrupts, observer: Told) -> None:
    places = Places(storage=study_url(folder), tracking_uri=f"sqlite:///{folder}/mlflow.db")
    close_books(books, places=places, best_number=4, is_last=True, interrupts=interrupts, observer=observer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_model_is_logged_ends_that_and_says_what_logs_it(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANGING.format(folder=str(tmp_path)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    observer = Signaller(folder=tmp_path, number=number)
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        close(books, tmp_path, interrupts=interrupts, observer=observer)
        assert interrupts.should_stop

    assert observer.lines == [
        "all results are recorded; logging the model of trial 4 to MLflow (Ctrl-C leaves it out)",
        LEFT_OUT,
    ]
    (pid,) = observer.hanging()
    assert is_gone(pid)


@contextmanager
def undelivered(books: Books, folder: Path) -> Iterator[Books]:
    """The books with a publisher whose MLflow takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        publisher = Publisher(study_url(folder), study=NAME, tracking_uri=uri)
        publisher.start()
        yield replace(books, publisher=publisher)


def test_signal_while_mlflow_does_not_answer_ends_the_waiting(books: Books, tmp_path: Path) -> None:
    observer = Told()
    with undelivered(books, tmp_path) as waiting, Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        with alarm(seconds=2.0):
            close(waiting, tmp_path, interrupts=interrupts, observer=observer)

    assert observer.lines == ["stopped before MLflow had the last 1 records; the next start delivers them", LEFT_OUT]


def test_ctrl_c_twice_before_the_closing_waits_for_nothing(books: Books, tmp_path: Path) -> None:
    """It took a third one to end the wait of half a minute."""
    observer = Told()
    with undelivered(books, tmp_path) as waiting, Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        close(waiting, tmp_path, interrupts=interrupts, observer=observer)

    assert observer.lines == ["stopped before MLflow had the last 1 records; the next start delivers them", LEFT_OUT]


@contextmanager
def alarm(*, seconds: float) -> Iterator[None]:
    """SIGINT comes in so many seconds."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    yield
    timer.join()


def test_signal_between_the_last_training_and_the_closing_is_not_forgotten(books: Books, tmp_path: Path) -> None:
    observer = Told()
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        os.kill(os.getpid(), signal.SIGINT)
        close(books, tmp_path, interrupts=interrupts, observer=observer)

    assert observer.lines == [LEFT_OUT]
