import contextlib
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.study_book import StudyBook
from tests.stores import copy_store


@contextlib.contextmanager
def _start(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-m", "autotune", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _first_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C" in line:
            found = re.search(r"http://\S+", line)
            assert found is not None
            return found.group()
    raise AssertionError(process.stderr.read() if process.stderr else "it ended")


def _make_storage(folder: Path) -> None:
    from autotune.recording.engines import configure_engine
    from autotune.search.storage import open_storage

    url = f"sqlite:///{folder / 'autotune.db'}"
    StudyBook(url)
    open_storage(url, configure_engine=configure_engine).engine.dispose()


def _answer_and_stop(command: str, *, path: str, number: signal.Signals, port: int, folder: Path) -> None:
    """The server prints its address, answers there, and stops at the signal."""
    with _start(command, "--port", str(port), folder=folder) as process:
        address = _first_address(process)
        assert address == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{address}{path}", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(number)
        assert process.wait(timeout=45) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dashboard_prints_its_address_and_stops_with_a_signal(
    number: signal.Signals, port: int, tmp_path: Path
) -> None:
    _make_storage(tmp_path)
    _answer_and_stop("dashboard", path="/dashboard/", number=number, port=port, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_mlflow_prints_its_address_and_stops_with_a_signal(
    number: signal.Signals, port: int, tmp_path: Path, empty_store: Path
) -> None:
    copy_store(empty_store, folder=tmp_path)
    _answer_and_stop("mlflow", path="/health", number=number, port=port, folder=tmp_path)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


@pytest.mark.parametrize("command", ["dashboard", "mlflow"])
def test_port_in_use_is_one_line(command: str, taken_port: int, tmp_path: Path) -> None:
    _make_storage(tmp_path)
    with _start(command, "--port", str(taken_port), folder=tmp_path) as process:
        output, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output == ""
    assert len(error.splitlines()) == 1
    assert str(taken_port) in error
