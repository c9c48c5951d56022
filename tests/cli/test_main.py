import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.recording.database import open_database
from tests.out_of_memory import NATIVE, NATIVE_IN_SHORT

SPEC = """task: tiny.py:Tiny
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 1}
learning: {lr: {low: 1e-3, high: 1e-1}}
"""

# The command with threads that are inside of compiled code whenever it ends, as the publisher may be.
BUSY = """
import threading, time
from typing import Annotated
from pydantic import AfterValidator, TypeAdapter
from autotune.cli.main import main

numbers = TypeAdapter(list[Annotated[int, AfterValidator(lambda number: time.sleep(0.001) or number)]])

def work():
    while True:
        numbers.validate_python([1] * 100)

for _ in range(20):
    threading.Thread(target=work, daemon=True).start()
main()
"""


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autotune", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ.copy(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "list"),
        ("study", "show", "mnist"),
        ("study", "best", "mnist", "--json"),
        ("study", "trials", "mnist"),
        ("study", "resume", "mnist"),
        ("study", "delete", "mnist", "--yes"),
        ("study", "start", "no_such_space"),
        ("study", "start", ""),
        ("study", "start", "digits", "--name", ""),
        ("study", "start", "digits", "--seed", "-1"),
        ("study", "start", "digits", "--tracking-uri", "localhost:5000"),
        ("study", "start", "digits", "--storage", "sqlite:///none/a.db"),
        ("dashboard",),
        ("study", "list", "--storage", "nonsense"),
        ("space", "show", "no_such_space"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    answer = run(*arguments, folder=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: ")
    assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "start", "--jobs", "0"),
        ("study", "start", "--trials", "x"),
        ("study", "start", "--jobs", "99999999999"),
        ("study", "start", "--seconds", "nan", "--trials", "0"),
        ("study", "start", "--tracking-uri", ""),
        ("study", "best"),
        ("study", "start", "-q"),
        *(
            (*command, value)
            for command in (
                ("study", "start", "--grace"),
                ("study", "start", "--seconds"),
                ("study", "confirm", "mnist", "--grace"),
                ("study", "confirm", "mnist", "--target"),
                ("study", "watch", "mnist", "--interval"),
                ("study", "watch", "mnist", "--wait"),
                ("study", "sync", "--timeout"),
                ("study", "rebuild-mlflow", "mnist", "--timeout"),
                ("speed", "mnist", "--seconds"),
            )
            for value in ("nan", "inf")
        ),
        ("study", "import", "mnist", "--from", "a.db", "--assume", "lr=NaN"),
        ("study", "sync", "--timeout", "1e300"),
        ("init", ""),
        ("init", "folder", "--from", ""),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    answer = run(*arguments, folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_version_is_the_distribution_s(tmp_path: Path) -> None:
    answer = run("--version", folder=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout.startswith("autotune, version ")


def test_name_that_is_no_text_is_no_study(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/autotune.db", create=True).dispose()
    answer = run("study", "show", os.fsdecode(b"\xff"), folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "Error: study \\udcff: no such study here; there is none yet\n"


def test_working_directory_that_was_deleted_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'rmdir "$1" && exec "$2" -m autotune space list', "sh", str(gone), sys.executable]
    answer = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == "Error: working directory: it must exist, got one that was deleted; change to another\n"


def test_closed_stdout_takes_nothing_and_ends_nothing(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$1" -m autotune space list >&-', "sh", sys.executable]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_text_that_the_terminal_can_not_show_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("# größer → besser\n" + SPEC)
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "autotune", "space", "show", "s.yaml"]
    answer = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.decode("latin-1").startswith("# größer ? besser")


@pytest.mark.parametrize(
    ("arguments", "status", "stream", "last_line"),
    [
        (("--version",), 0, "stdout", "autotune, version "),
        (("study", "show", "tiny"), 2, "stderr", "Error: sqlite:///autotune.db: "),
        (("space", "lost"), 2, "stderr", "Error: No such command "),
    ],
)
def test_threads_that_are_at_work_when_the_program_ends_leave_its_status_as_it_is(
    arguments: tuple[str, ...], status: int, stream: str, last_line: str, tmp_path: Path
) -> None:
    """The interpreter's own end would unwind their stacks, and abort: FATAL: exception not rethrown."""
    command = [sys.executable, "-c", BUSY, *arguments]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == status, answer.stderr
    assert getattr(answer, stream).splitlines()[-1].startswith(last_line)


def test_error_that_quotes_torch_on_memory_says_it_in_short(tmp_path: Path) -> None:
    task = f"from autotune.training import Task\nclass Tiny(Task):\n    pass\nraise RuntimeError({NATIVE!r})\n"
    (tmp_path / "tiny.py").write_text(task)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    answer = run("study", "start", "tiny.yaml", folder=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert f"RuntimeError: {NATIVE_IN_SHORT}" in answer.stderr
    assert "by PyTorch" not in answer.stderr
